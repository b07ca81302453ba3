"""Maps that somebody else made: harmless faults are mended, harmful ones get a sentence.

`carla.Map` ends its process on some maps, so a foreign map is first built in a process of its own
(`sim.pocket.map_trial`). What passed once is remembered by the hash of its text.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import re
import signal
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

from bicameral.errors import DataError
from bicameral.files import user_cache_folder
from bicameral.simulation import CARLA_VERSION
from sim.opendrive import number_of
from sim.pocket.map_process import LONGEST_S, MapProcess

#: Raised when a trial looks at more than before, so that passed maps are tried again.
_TRIAL_REVISION = 1
_POLL_S = 0.01
_DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
_BEFORE_DECLARATION = re.compile(r"\A\ufeff?\s*(?:<!--.*?-->\s*)*(?=<\?xml)", re.DOTALL)

_passed: set[str] = set()
_refused: dict[str, str] = {}


def mend(text: str) -> str:
    """Return OpenDRIVE text without the faults that have one obvious meaning.

    Comments before the XML declaration go, an arc or spiral without curvature is a line, a spiral
    of constant curvature an arc, and a reference to a signal that there is not is nothing. A text
    without such faults comes back as it is.

    Raises:
        DataError: It is no XML.
    """
    text = _BEFORE_DECLARATION.sub("", text, count=1)
    root = _parsed(text)
    mended = [_strip_namespace(root), _straighten(root), _drop_dangling_references(root)]
    if not any(mended):
        return text
    return _DECLARATION + ElementTree.tostring(root, encoding="unicode")


def _parsed(text: str) -> ElementTree.Element:
    try:
        return ElementTree.fromstring(text)  # noqa: S314 - expat bounds entity expansion
    except (ElementTree.ParseError, ValueError) as error:
        raise DataError(f"it is no XML: {error}") from error


def _strip_namespace(root: ElementTree.Element) -> bool:
    found = False
    for element in root.iter():
        if isinstance(element.tag, str) and element.tag.startswith("{"):
            element.tag = element.tag.rpartition("}")[2]
            found = True
    return found


def _straighten(root: ElementTree.Element) -> bool:
    """Replace arcs and spirals that carla's parser divides by zero for."""
    found = False
    for geometry in root.iter("geometry"):
        for shape in geometry:
            names = {"arc": ("curvature", "curvature"), "spiral": ("curvStart", "curvEnd")}
            first, last = (number_of(shape.get(name)) for name in names.get(shape.tag, ("", "")))
            if first is None or first != last or (shape.tag == "arc" and first != 0.0):
                continue
            shape.attrib.clear()
            shape.tag = "arc" if first else "line"
            if first:
                shape.set("curvature", repr(first))
            found = True
    return found


def _drop_dangling_references(root: ElementTree.Element) -> bool:
    found = False
    known = {signal_element.get("id") for signal_element in root.iter("signal")}
    for signals in root.iter("signals"):
        for reference in signals.findall("signalReference"):
            if reference.get("id") not in known:
                signals.remove(reference)
                found = True
    return found


def find_fault(text: str) -> str | None:
    """Say what is wrong with a map that carla's parser refuses or dies of, if that can be told."""
    root = _parsed(text)
    return next(itertools.chain(_road_faults(root), _junction_faults(root)), None)


def _road_faults(root: ElementTree.Element) -> Iterator[str]:
    for road in root.iter("road"):
        name = f"road {road.get('id')}"
        length = number_of(road.get("length"))
        if length is None or not 0.0 < length < float("inf"):
            yield f"{name}: its length is {road.get('length')}; expected metres above 0"
        geometry = road.find("planView/geometry")
        if geometry is None:
            yield f"{name}: it has no <geometry> in its <planView>"
        elif number_of(geometry.get("s")) != 0.0:
            yield f"{name}: its first <geometry> begins at {geometry.get('s')} m; expected 0"
        sections = road.findall("lanes/laneSection")
        for begin in (section.get("s") for section in sections):
            if length is not None and (number_of(begin) or 0.0) > length:
                yield f"{name}: a <laneSection> begins at {begin} m, behind the end at {length:g} m"
        if not sections:
            yield f"{name}: it has no <laneSection>"
        numbers = [_lane_ids(section) for section in sections]
        for ids in numbers:
            if not ids or sorted(ids) != list(range(min(ids), max(ids) + 1)) or 0 not in ids:
                yield (
                    f"{name}: its lane ids {sorted(ids)} have a gap; expected whole numbers that "
                    "count from 0, the centre lane, to both sides"
                )
        yield from _link_faults(name, sections, numbers)


def _lane_ids(section: ElementTree.Element) -> list[int]:
    numbers = (number_of(lane.get("id")) for lane in section.iter("lane"))
    return [int(number) for number in numbers if number is not None]


def _link_faults(
    name: str, sections: list[ElementTree.Element], ids: list[list[int]]
) -> Iterator[str]:
    for (section, _), (_, following) in itertools.pairwise(zip(sections, ids, strict=True)):
        for lane in section.iter("lane"):
            link = lane.find("link/successor")
            if link is not None and number_of(link.get("id")) not in following:
                yield (
                    f"{name}: its lane {lane.get('id')} goes on as lane {link.get('id')} of the "
                    "next section, which has no such lane"
                )


def _junction_faults(root: ElementTree.Element) -> Iterator[str]:
    roads = {road.get("id") for road in root.iter("road")}
    for junction in root.iter("junction"):
        for connection in junction.iter("connection"):
            for kind in ("incomingRoad", "connectingRoad"):
                road = connection.get(kind)
                if road is not None and road not in roads:
                    yield f"road {road}: junction {junction.get('id')} names it, but there is none"


def verdict(text: str) -> str | None:
    """Return why a mended map was refused, "" if it passed, None if it was never tried."""
    digest = _digest(text)
    if digest in _refused:
        return _refused[digest]
    if digest in _passed or _mark(digest).is_file():
        _passed.add(digest)
        return ""
    return None


class MapTrial:
    """One foreign map that is built in a process of its own; `verdict` knows the outcome.

    Args:
        text: The mended OpenDRIVE text.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._process = MapProcess("sim.pocket.map_trial", text)

    def is_over(self) -> bool:
        """Return whether the outcome is known; never waits."""
        code = self._process.exit_code
        if code is None and not self._process.is_late:
            return False
        digest = _digest(self._text)
        if code == 0:
            _passed.add(digest)
            _leave_mark(digest)
        else:
            _refused[digest] = self._reason(code)
        self.end()
        return True

    def end(self) -> None:
        """Stop the process, whatever it does, and remove its files."""
        self._process.end()

    def _reason(self, code: int | None) -> str:
        if code is None:
            return f"building it takes longer than {LONGEST_S:.0f} s"
        fault = find_fault(self._text)
        if fault is not None:
            return fault
        if self._process.reason is not None:
            return self._process.reason
        ended = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return f"carla's parser ends its process ({ended}), and no fault of a kind known was found"


def try_out(text: str) -> str:
    """Return the verdict on a mended map; waits for a trial if there was none."""
    known = verdict(text)
    if known is None:
        trial = MapTrial(text)
        while not trial.is_over():
            time.sleep(_POLL_S)
        known = verdict(text) or ""
    return known


def _digest(text: str) -> str:
    revision = f"{CARLA_VERSION} {_TRIAL_REVISION}\n"
    return hashlib.sha256((revision + text).encode("utf-8", "surrogateescape")).hexdigest()


def _mark(digest: str) -> Path:
    return user_cache_folder() / "passed-maps" / digest


def _leave_mark(digest: str) -> None:
    """Remember beyond this process, where that is possible."""
    with contextlib.suppress(OSError):
        _mark(digest).parent.mkdir(parents=True, exist_ok=True)
        _mark(digest).touch()
