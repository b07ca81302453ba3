"""The one error that becomes an answer: a status, a text, and headers."""

from __future__ import annotations

from collections.abc import Mapping

from bicameral.errors import BicameralError


class RequestError(BicameralError):
    """A request that is refused; answered as ``{"error": message}``.

    Attributes:
        status: HTTP status.
        message: What was wrong: the field or tensor, what was given, what was expected.
        headers: Further headers of the answer, e.g. ``Retry-After``.
    """

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers: Mapping[str, str] = headers or {}
