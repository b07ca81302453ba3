"""The one error that becomes an answer: a status, a text, and headers."""

from __future__ import annotations

from collections.abc import Mapping
from reprlib import Repr

from pydantic import ValidationError

from bicameral.errors import BicameralError, MachineError, UserError

#: What does not fit a thousand times over is told by its first problems.
_TOLD_PROBLEMS = 3

#: Kinds of problems whose message says it all.
_WITHOUT_VALUE = ("missing", "too_long")

_repr = Repr()
_repr.maxlevel = 2
_repr.maxlist = 8
_repr.maxdict = 4
_repr.maxstring = _repr.maxother = 80


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


def request_error(error: BicameralError) -> RequestError:
    """Return the refusal that stands for an error: 400 for the user's, 503 for the machine's."""
    if isinstance(error, RequestError):
        return error
    if isinstance(error, UserError):
        return RequestError(400, str(error))
    if isinstance(error, MachineError):
        return RequestError(503, str(error))
    return RequestError(500, str(error))


def unfit(what: str, error: ValidationError, place: str = "") -> RequestError:
    """Return the refusal of something whose fields do not fit; it names the fields.

    Args:
        what: What it is.
        error: Pydantic's.
        place: Goes before the fields' names, e.g. ``query.``.
    """
    problems = error.errors(include_url=False)
    told = "; ".join(
        f"{place}{'.'.join(map(str, problem['loc'])) or 'JSON'}: {problem['msg']}"
        + ("" if problem["type"] in _WITHOUT_VALUE else f", got {shown(problem['input'])}")
        for problem in problems[:_TOLD_PROBLEMS]
    )
    more = f"; and {len(problems) - _TOLD_PROBLEMS} more" if problems[_TOLD_PROBLEMS:] else ""
    return RequestError(400, f"{what} does not fit: {told}{more}")


def shown(value: object) -> str:
    """Return a value of a request as text, cut off so that no request makes a message long."""
    return _repr.repr(value)
