"""What leaderboard 2.1 and Bench2Drive expect of Python, given back to a newer one.

They call `Element.getchildren`, which Python 3.9 took away; the carla client of 0.9.16 exists for
Python 3.10 to 3.12 only. Python runs this file first where its folder is in `PYTHONPATH`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

sys.modules["_elementtree"] = None  # type: ignore[assignment] # the class written in C takes no new methods

from xml.etree import ElementTree  # noqa: E402


def _as_list(method: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self: list(method(self))


_Element: Any = ElementTree.Element
_Element.getchildren = _as_list(iter)
# The class written in C answers with lists, the other with views that have no [0].
_Element.items, _Element.keys = _as_list(_Element.items), _as_list(_Element.keys)
