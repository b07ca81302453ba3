"""Whether the server lives, and whether it can answer."""

from __future__ import annotations

from collections.abc import Callable

from server.endpoints.asgi import Answer, json_answer
from server.errors import RequestError

#: Why the server is not ready; None: it is.
Readiness = Callable[[], str | None]


def live_answer() -> Answer:
    """Answer ``GET /v2/health/live``: whoever answers at all is alive."""
    return json_answer({"live": True})


def ready_answer(why_not_ready: Readiness) -> Answer:
    """Answer ``GET /v2/health/ready``.

    Raises:
        RequestError: 503 with the reason.
    """
    reason = why_not_ready()
    if reason is not None:
        raise RequestError(503, f"the server is not ready: {reason}", {"Retry-After": "1"})
    return json_answer({"ready": True})
