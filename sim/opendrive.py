"""What is read from OpenDRIVE itself: lengths, limits, sections, lane types and road marks.

Geometry comes from `carla.Map`, so that the picture and the ground under the wheels agree.
"""

from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import dataclass

from bicameral.errors import DataError
from bicameral.units import mps_from_kmh

_MPS_PER_UNIT = {"m/s": 1.0, "km/h": mps_from_kmh(1.0), "mph": 0.44704}


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkLine:
    """One painted line of a road mark; `space_m` is 0 for an unbroken line."""

    offset_m: float
    width_m: float
    length_m: float
    space_m: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RoadMark:
    """A road mark on a lane's outer edge, from `start_m` along the road.

    `kind` is OpenDRIVE's type ("solid", "broken", "solid solid", ...); `lines` are explicit lines
    from the file, with offsets towards the left of the reference line, or empty.
    """

    start_m: float
    kind: str
    colour: str
    width_m: float
    lines: tuple[MarkLine, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """A lane of one lane section; id 0 is the reference line and holds only road marks."""

    lane_id: int
    kind: str
    marks: tuple[RoadMark, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneSection:
    """A stretch of road with the same lanes, from `start_m` to `end_m` along the road."""

    start_m: float
    end_m: float
    lanes: tuple[Lane, ...]

    def side(self, sign: int) -> tuple[Lane, ...]:
        """Return the lanes right (-1) or left (+1) of the reference line, from inside out."""
        chosen = [lane for lane in self.lanes if lane.lane_id * sign > 0]
        return tuple(sorted(chosen, key=lambda lane: abs(lane.lane_id)))

    def centre(self) -> Lane | None:
        """Return the centre lane, or None if the file has none."""
        return next((lane for lane in self.lanes if lane.lane_id == 0), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Road:
    """A road.

    Attributes:
        road_id: Its id.
        junction_id: -1 outside junctions.
        length_m: Its length.
        speed_limits: (start along the road in m, limit in m/s) of each limit that is a number.
        sections: In the order of the road.
    """

    road_id: int
    junction_id: int
    length_m: float
    speed_limits: tuple[tuple[float, float], ...]
    sections: tuple[LaneSection, ...]


def read_roads(text: str) -> tuple[Road, ...]:
    """Read the roads of an OpenDRIVE document; `DataError` if it is not XML."""
    try:
        # The document already passed carla.Map's parser; expat itself limits entity expansion.
        root = ElementTree.fromstring(text)  # noqa: S314
    except ElementTree.ParseError as error:
        raise DataError(
            f"cannot read the OpenDRIVE text: {error}; expected an <OpenDRIVE> document"
        ) from error
    return tuple(_read_road(element) for element in root.iter("road"))


def number_of(text: str | None) -> float | None:
    """Return the number that an attribute is, None if it is none or is not there."""
    try:
        return float(text) if text is not None else None
    except ValueError:
        return None


def _number(element: ElementTree.Element, name: str, default: float = 0.0) -> float:
    value = number_of(element.get(name))
    return default if value is None else value


def _read_road(element: ElementTree.Element) -> Road:
    length = _number(element, "length")
    sections = element.findall("./lanes/laneSection")
    starts = [_number(section, "s") for section in sections]
    ends = [*starts[1:], length]
    return Road(
        road_id=int(_number(element, "id")),
        junction_id=int(_number(element, "junction", -1.0)),
        length_m=length,
        speed_limits=tuple(_read_limits(element)),
        sections=tuple(
            _read_section(section, start, end)
            for section, start, end in zip(sections, starts, ends, strict=True)
        ),
    )


def _read_limits(road: ElementTree.Element) -> Iterator[tuple[float, float]]:
    """Yield the limits (OpenDRIVE 1.4, 5.3.2); ``no limit`` and ``undefined`` are legal, too."""
    for kind in road.iterfind("type"):
        speed = kind.find("speed")
        limit = None if speed is None else number_of(speed.get("max"))
        if speed is not None and limit is not None and math.isfinite(limit):
            scale = _MPS_PER_UNIT.get(speed.get("unit", "m/s"), 1.0)
            yield _number(kind, "s"), limit * scale


def _read_section(element: ElementTree.Element, start_m: float, end_m: float) -> LaneSection:
    return LaneSection(
        start_m=start_m,
        end_m=end_m,
        lanes=tuple(_read_lane(lane, start_m) for lane in element.iter("lane")),
    )


def _read_lane(element: ElementTree.Element, section_start_m: float) -> Lane:
    marks = [
        RoadMark(
            start_m=section_start_m + _number(mark, "sOffset"),
            kind=mark.get("type", "none"),
            colour=mark.get("color", "standard"),
            width_m=_number(mark, "width"),
            lines=tuple(
                MarkLine(
                    offset_m=_number(line, "tOffset"),
                    width_m=_number(line, "width", _number(mark, "width")),
                    length_m=_number(line, "length"),
                    space_m=_number(line, "space"),
                )
                for line in mark.iter("line")
            ),
        )
        for mark in element.findall("roadMark")
    ]
    return Lane(
        lane_id=int(_number(element, "id")),
        kind=element.get("type", "none"),
        marks=tuple(sorted(marks, key=lambda mark: mark.start_m)),
    )
