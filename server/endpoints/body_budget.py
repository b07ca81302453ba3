"""How many bytes of bodies a worker holds at a time.

A limit on each body does not bound memory: a thousand clients may send one each, and pictures wait
for their decoder with their bodies. What arrives beyond the budget is refused while it arrives.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.errors import RequestError


class BodyBudget:
    """An application whose requests may hold only so many bytes together.

    A body counts from its arrival until its request is answered.
    """

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        """Wrap an application.

        Args:
            app: Answers the requests; where it reads a body, it must expect a `RequestError`.
            max_bytes: Of all bodies that are arriving or being answered.
        """
        self._app = app
        self._max_bytes = max_bytes
        self._held_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        held = 0

        async def receive_counting() -> Message:
            nonlocal held
            message = await receive()
            size = len(message.get("body", b""))
            held += size
            self._held_bytes += size
            if self._held_bytes > self._max_bytes:
                raise RequestError(
                    429,
                    f"this server holds bodies of more than {self._max_bytes:,} bytes at the "
                    "moment, which is all that it may; try again",
                    {"Retry-After": "1", "Connection": "close"},
                )
            return message

        try:
            await self._app(scope, receive_counting, send)
        finally:
            self._held_bytes -= held
