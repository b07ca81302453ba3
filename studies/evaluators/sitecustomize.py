"""What leaderboard 2.1 and Bench2Drive expect of Python, given back to a newer one.

They call `Element.getchildren`, which Python 3.9 took away; the carla client of 0.9.16 exists for
Python 3.10 to 3.12 only. Python runs this file first where its folder is in `PYTHONPATH`.
"""

import sys

sys.modules["_elementtree"] = None  # type: ignore[assignment] # the class written in C takes no new methods

from xml.etree import ElementTree  # noqa: E402

ElementTree.Element.getchildren = lambda self: list(self)  # type: ignore[attr-defined]
