"""Write roads, junctions and signals as OpenDRIVE 1.4 text, the dialect that CARLA reads.

Written here rather than with `scenariogeneration`, because the same recipe must give the same
bytes: that library numbers signals and objects in process-wide registries (a second town in one
process gets other ids), stamps the wall clock, wraps crosswalks so that `carla.Map` finds none,
knows no `<controller>`, and takes longer to import than a town takes to generate.
"""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET  # writing only; nothing is parsed here
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from sim.pocket.town.curves import Path, Pose

CARLA_TRAFFIC_LIGHT = "1000001"
SPEED_SIGN = "274"
STOP_SIGN = "206"
_GEO_REFERENCE = (
    "+proj=tmerc +lat_0=48.0 +lon_0=9.0 +k=1 +x_0=0 +y_0=0 +ellps=WGS84 +datum=WGS84 "
    "+units=m +no_defs"
)
_DIGITS = 12
_NOISE = 1e-12
_FIRST_CROSSWALK_ID = 100000
CROSSWALK_M = 3.0
MARK_WIDTH_M = 0.15
DASH_M = 3.0
DASH_GAP_M = 6.0

LaneKind = Literal["driving", "shoulder", "sidewalk"]
MarkKind = Literal["none", "solid", "broken", "solid solid"]
MarkColour = Literal["white", "yellow"]
Contact = Literal["start", "end"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A road marking from an arc length on; `may_cross` allows lane changes both ways."""

    kind: MarkKind
    colour: MarkColour = "white"
    from_m: float = 0.0
    may_cross: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Width:
    """A lane width from an arc length on: start_m + slope * (s - from_m)."""

    start_m: float
    slope: float = 0.0
    from_m: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """One lane; links are lane ids of the road before and after."""

    kind: LaneKind
    widths: tuple[Width, ...]
    marks: tuple[Mark, ...] = (Mark(kind="none"),)
    predecessor: int | None = None
    successor: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """What a road begins or ends at; a junction has no contact."""

    target_id: int
    contact: Contact | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Road:
    """A road with one lane section; lanes are listed from the centre outwards."""

    name: str
    path: Path
    left: tuple[Lane, ...] = ()
    right: tuple[Lane, ...] = ()
    centre_marks: tuple[Mark, ...] = (Mark(kind="none"),)
    speed_kmh: int
    motorway: bool = False
    rise_m: float = 0.0  # of a smooth hump that begins and ends level
    junction_id: int | None = None
    predecessor: Link
    successor: Link


@dataclass(frozen=True, slots=True, kw_only=True)
class Sign:
    """A signal beside a road; `forward` says for which direction of s."""

    kind: str
    name: str
    s_m: float
    t_m: float
    z_m: float
    forward: bool
    lanes: tuple[int, int]
    speed_kmh: int | None = None


@dataclass(slots=True)
class Junction:
    """Connections (incoming road, connecting road, lane pairs) and traffic lights of a junction."""

    junction_id: int
    connections: list[tuple[int, int, tuple[tuple[int, int], ...]]] = field(default_factory=list)
    light_ids: list[str] = field(default_factory=list)

    def connect(self, incoming_id: int, connecting_id: int, lanes: Sequence[Lane]) -> None:
        """Let a road lead into a connecting road with these lanes on its right side."""
        pairs = tuple(
            (lane.predecessor, -number)
            for number, lane in enumerate(lanes, start=1)
            if lane.predecessor is not None
        )
        self.connections.append((incoming_id, connecting_id, pairs))


class TownDocument:
    """Collects the parts of one town and renders them."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._roads: list[ET.Element] = []
        self._poses: list[Pose] = []
        self._junctions: list[Junction] = []
        self._signal_count = 0
        self._crosswalk_count = 0

    def add_road(self, road: Road) -> int:
        """Add a road and return its id."""
        road_id = len(self._roads) + 1
        element = _element(
            None,
            "road",
            name=road.name,
            length=road.path.length_m,
            id=road_id,
            junction=-1 if road.junction_id is None else road.junction_id,
        )
        links = _element(element, "link")
        for tag, link in (("predecessor", road.predecessor), ("successor", road.successor)):
            if link.contact is None:
                _element(links, tag, elementType="junction", elementId=link.target_id)
            else:
                _element(
                    links,
                    tag,
                    elementType="road",
                    elementId=link.target_id,
                    contactPoint=link.contact,
                )
        kind = _element(element, "type", s=0, type="motorway" if road.motorway else "town")
        _element(kind, "speed", max=road.speed_kmh, unit="km/h")
        self._add_plan_view(element, road.path)
        _add_elevation(element, road.path.length_m, road.rise_m)
        _element(element, "lateralProfile")
        _add_lanes(element, road)
        _element(element, "objects")
        _element(element, "signals")
        self._roads.append(element)
        return road_id

    def _add_plan_view(self, road: ET.Element, path: Path) -> None:
        view = _element(road, "planView")
        poses = path.poses()
        self._poses.extend(poses)
        s_m = 0.0
        for pose, (start, end, length_m) in zip(poses, path.pieces, strict=False):
            geometry = _element(
                view,
                "geometry",
                s=s_m,
                x=pose.x_m,
                y=pose.y_m,
                hdg=pose.heading_rad,
                length=length_m,
            )
            if start == 0.0 and end == 0.0:
                _element(geometry, "line")
            elif math.isclose(start, end):
                _element(geometry, "arc", curvature=start)
            else:
                _element(geometry, "spiral", curvStart=start, curvEnd=end)
            s_m += length_m

    def _part(self, road_id: int, tag: str) -> ET.Element:
        part = self._roads[road_id - 1].find(tag)
        if part is None:
            raise AssertionError(f"road {road_id} was made without <{tag}>")
        return part

    def add_sign(self, road_id: int, sign: Sign) -> str:
        """Put a sign or a traffic light beside a road and return its id."""
        self._signal_count += 1
        is_light = sign.kind == CARLA_TRAFFIC_LIGHT
        signal = _element(
            self._part(road_id, "signals"),
            "signal",
            name=sign.name,
            id=self._signal_count,
            s=sign.s_m,
            t=sign.t_m,
            zOffset=sign.z_m,
            hOffset=0.0,
            roll=0.0,
            pitch=0.0,
            orientation="+" if sign.forward else "-",
            dynamic="yes" if is_light else "no",
            country="OpenDRIVE",
            type=sign.kind,
            subtype=-1 if sign.speed_kmh is None else sign.speed_kmh,
            value=-1 if sign.speed_kmh is None else sign.speed_kmh,
            text="",
            height=1.2 if is_light else 0.6,
            width=0.6,
        )
        if sign.speed_kmh is not None:
            signal.set("unit", "km/h")
        _element(signal, "validity", fromLane=min(sign.lanes), toLane=max(sign.lanes))
        return str(self._signal_count)

    def refer_to_signal(self, road_id: int, signal_id: str, t_m: float, lanes: int) -> None:
        """Say that a connecting road with right lanes obeys a light, as CARLA's own towns do."""
        reference = _element(
            self._part(road_id, "signals"),
            "signalReference",
            id=signal_id,
            s=0.1,
            t=t_m,
            orientation="+",
        )
        _element(reference, "validity", fromLane=-lanes, toLane=-1)

    def add_crosswalk(self, road_id: int, s_m: float, half_width_m: float) -> None:
        """Paint a crosswalk over the whole road."""
        self._crosswalk_count += 1
        crosswalk = _element(
            self._part(road_id, "objects"),
            "object",
            id=_FIRST_CROSSWALK_ID + self._crosswalk_count,
            name="SimpleCrosswalk",
            s=s_m,
            t=0.0,
            zOffset=0.0,
            hdg=0.0,
            roll=0.0,
            pitch=0.0,
            orientation="none",
            type="crosswalk",
            width=2.0 * half_width_m,
            length=CROSSWALK_M,
        )
        outline = _element(crosswalk, "outline")
        u, v = CROSSWALK_M / 2.0, half_width_m
        for corner_u, corner_v in ((-u, -v), (u, -v), (u, v), (-u, v), (-u, -v)):
            _element(outline, "cornerLocal", u=corner_u, v=corner_v, z=0.0)

    def add_junction(self, junction: Junction) -> None:
        """Add a junction whose roads are all added."""
        self._junctions.append(junction)

    def render(self) -> str:
        """Return the OpenDRIVE text; the same parts give the same bytes."""
        root = _element(None, "OpenDRIVE")
        header = _element(
            root,
            "header",
            revMajor=1,
            revMinor=4,
            name=self._name,
            version="1.00",
            date="2000-01-01T00:00:00",  # fixed: equal recipes give equal bytes
            north=max(pose.y_m for pose in self._poses),
            south=min(pose.y_m for pose in self._poses),
            east=max(pose.x_m for pose in self._poses),
            west=min(pose.x_m for pose in self._poses),
            vendor="bicameral",
        )
        _element(header, "geoReference").text = _GEO_REFERENCE
        for road in self._roads:
            for tag in ("objects", "signals"):
                part = road.find(tag)
                if part is not None and len(part) == 0:
                    road.remove(part)
            root.append(road)
        self._add_controllers(root)
        for junction in self._junctions:
            self._add_junction_element(root, junction)
        ET.indent(root, space=" ")
        return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, "unicode") + "\n"

    def _add_controllers(self, root: ET.Element) -> None:
        for junction in self._junctions:
            for sequence, signal_id in enumerate(junction.light_ids):
                name = f"ctrl{signal_id}"
                controller = _element(
                    root, "controller", name=name, id=signal_id, sequence=sequence
                )
                _element(controller, "control", signalId=signal_id, type=0)

    def _add_junction_element(self, root: ET.Element, junction: Junction) -> None:
        number = junction.junction_id
        element = _element(root, "junction", id=number, name=f"junction {number}")
        for index, (incoming_id, connecting_id, pairs) in enumerate(junction.connections):
            connection = _element(
                element,
                "connection",
                id=index,
                incomingRoad=incoming_id,
                connectingRoad=connecting_id,
                contactPoint="start",
            )
            for from_lane, to_lane in pairs:
                _element(connection, "laneLink", attributes={"from": from_lane, "to": to_lane})
        for sequence, signal_id in enumerate(junction.light_ids):
            _element(element, "controller", id=signal_id, type=0, sequence=sequence)


def _add_lanes(element: ET.Element, road: Road) -> None:
    section = _element(_element(element, "lanes"), "laneSection", s=0.0)
    if road.left:
        left = _element(section, "left")
        for lane_id in range(len(road.left), 0, -1):
            _add_lane(left, lane_id, road.left[lane_id - 1])
    centre = _element(_element(section, "center"), "lane", id=0, type="none", level="false")
    _add_marks(centre, road.centre_marks)
    if road.right:
        right = _element(section, "right")
        for number, lane in enumerate(road.right, start=1):
            _add_lane(right, -number, lane)


def _add_lane(side: ET.Element, lane_id: int, lane: Lane) -> None:
    element = _element(side, "lane", id=lane_id, type=lane.kind, level="false")
    link = _element(element, "link")
    if lane.predecessor is not None:
        _element(link, "predecessor", id=lane.predecessor)
    if lane.successor is not None:
        _element(link, "successor", id=lane.successor)
    for width in lane.widths:
        _element(
            element,
            "width",
            sOffset=width.from_m,
            a=width.start_m,
            b=width.slope,
            c=0.0,
            d=0.0,
        )
    _add_marks(element, lane.marks)


def _add_marks(lane: ET.Element, marks: Sequence[Mark]) -> None:
    """Without a laneChange attribute CARLA allows changes across any marking."""
    for mark in marks:
        element = _element(
            lane,
            "roadMark",
            sOffset=mark.from_m,
            type=mark.kind,
            weight="standard",
            color=mark.colour,
            width=MARK_WIDTH_M,
            laneChange="both" if mark.may_cross else "none",
        )
        if mark.kind == "broken":
            line = _element(element, "type", name="broken", width=MARK_WIDTH_M)
            _element(line, "line", length=DASH_M, space=DASH_GAP_M, tOffset=0.0, sOffset=0.0)


def _add_elevation(road: ET.Element, length_m: float, rise_m: float) -> None:
    """Rise and fall with zero slope at both ends and at the top."""
    profile = _element(road, "elevationProfile")
    if rise_m == 0.0:
        _element(profile, "elevation", s=0.0, a=0.0, b=0.0, c=0.0, d=0.0)
        return
    half_m = length_m / 2.0
    square, cube = 3.0 * rise_m / half_m**2, 2.0 * rise_m / half_m**3
    _element(profile, "elevation", s=0.0, a=0.0, b=0.0, c=square, d=-cube)
    _element(profile, "elevation", s=half_m, a=rise_m, b=0.0, c=-square, d=cube)


def _element(
    parent: ET.Element | None,
    tag: str,
    attributes: dict[str, int] | None = None,
    **named: str | float,
) -> ET.Element:
    """Make an element; `attributes` holds those whose names are Python keywords."""
    texts = {key: _text(value) for key, value in {**(attributes or {}), **named}.items()}
    if parent is None:
        return ET.Element(tag, texts)
    return ET.SubElement(parent, tag, texts)


def _text(value: str | float) -> str:
    """Write numbers plainly, without the last bits that differ between mathematics libraries."""
    if isinstance(value, str | int):
        return str(value)
    return f"{value:.{_DIGITS}g}" if abs(value) > _NOISE else "0"
