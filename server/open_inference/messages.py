"""What error messages show of a request, so that no request makes a message long."""

from __future__ import annotations

from reprlib import Repr

_repr = Repr()
_repr.maxlevel = 2
_repr.maxlist = 8
_repr.maxdict = 4
_repr.maxstring = _repr.maxother = 80


def shown(value: object) -> str:
    """Return a value from JSON as text, cut off where it is long."""
    return _repr.repr(value)
