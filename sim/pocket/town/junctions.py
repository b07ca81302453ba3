"""Junctions where streets meet: which lane leads where, connecting roads, lights, crosswalks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from bicameral.units import wrap_rad
from sim.pocket.town.curves import Path, Pose, connect
from sim.pocket.town.document import (
    CARLA_TRAFFIC_LIGHT,
    STOP_SIGN,
    Junction,
    Lane,
    LaneKind,
    Link,
    Road,
    Sign,
    TownDocument,
    Width,
)

Control = Literal["lights", "stop", "none"]
JUNCTION_SPEED_KMH = 30
_CROSSWALK_CENTRE_M = 2.5  # before the end of the road
_STRAIGHT_ON_RAD = math.radians(40.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """How one road meets a junction, before the road exists.

    `pose` lies on the road's reference line where the road begins, heading out of the junction.
    """

    pose: Pose
    lanes_in: int
    lanes_out: int
    lane_width_m: float
    shoulder_m: float
    sidewalk_m: float  # 0: none
    has_crosswalk: bool  # where there are lights

    def entry(self, lane: int) -> Pose:
        """Return the left edge of an incoming lane (1 = beside the centre), heading inwards."""
        return self.pose.turned().right((lane - 1) * self.lane_width_m)

    def exit(self, lane: int) -> Pose:
        """Return the left edge of an outgoing lane, heading outwards."""
        return self.pose.right((lane - 1) * self.lane_width_m)


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """An arm together with its road."""

    arm: Arm
    road_id: int
    at_start: bool  # the junction is where the road's s is 0
    road_length_m: float

    def lane_in(self, lane: int) -> int:
        """Return the OpenDRIVE id of an incoming lane, counted from the centre."""
        return lane if self.at_start else -lane

    def lane_out(self, lane: int) -> int:
        """Return the OpenDRIVE id of an outgoing lane, counted from the centre."""
        return -self.lane_in(lane)

    def s_from_distance(self, distance_m: float) -> float:
        """Return the road's s at a distance before the junction."""
        return distance_m if self.at_start else self.road_length_m - distance_m

    def beside(self, distance_m: float, *, leaving: bool) -> dict[str, Any]:
        """Return where a `Sign` stands for those who leave the junction here, or come to it."""
        arm = self.arm
        count, lane = (arm.lanes_out, self.lane_out) if leaving else (arm.lanes_in, self.lane_in)
        forward = self.at_start == leaving
        side_m = count * arm.lane_width_m + arm.shoulder_m + 0.6
        return {
            "s_m": self.s_from_distance(distance_m),
            "t_m": -side_m if forward else side_m,
            "forward": forward,
            "lanes": (lane(1), lane(count)),
        }

    @property
    def link(self) -> Link:
        """The link of a connecting road to this road."""
        return Link(target_id=self.road_id, contact="start" if self.at_start else "end")


@dataclass(frozen=True, slots=True, kw_only=True)
class Movement:
    """Neighbouring lanes that cross a junction together: pairs (incoming, outgoing)."""

    source: int
    target: int
    pairs: tuple[tuple[int, int], ...]


def _turn(source: Arm, target: Arm) -> float:
    """Return the change of heading between two arms, positive to the left."""
    return wrap_rad(target.pose.heading_rad - source.pose.heading_rad - math.pi)


def assign_lanes(arms: Sequence[Arm]) -> list[Movement]:
    """Decide which lane leads where.

    Straight on keeps the lane, left turns go from the left to the left lane, right turns from the
    right to the right lane. A lane that would lead nowhere, or be reached from nowhere, joins the
    movement that turns least.
    """
    movements: list[Movement] = []
    for source, a in enumerate(arms):
        for target, b in enumerate(arms):
            if source == target or not a.lanes_in or not b.lanes_out:
                continue
            turn = _turn(a, b)
            if abs(turn) < _STRAIGHT_ON_RAD:
                both = min(a.lanes_in, b.lanes_out)
                pairs = tuple((lane, lane) for lane in range(1, both + 1))
            else:
                pairs = ((1, 1),) if turn > 0.0 else ((a.lanes_in, b.lanes_out),)
            movements.append(Movement(source=source, target=target, pairs=pairs))
    return movements + _serve_left_out_lanes(arms, movements)


def _serve_left_out_lanes(arms: Sequence[Arm], movements: Sequence[Movement]) -> list[Movement]:
    left = {(m.source, lane) for m in movements for lane, _ in m.pairs}
    reached = {(m.target, lane) for m in movements for _, lane in m.pairs}
    extra: list[Movement] = []

    def gentlest(candidates: Sequence[Movement]) -> Movement:
        return min(candidates, key=lambda m: abs(_turn(arms[m.source], arms[m.target])))

    for index, arm in enumerate(arms):
        for lane in range(1, arm.lanes_in + 1):
            if (index, lane) not in left:
                best = gentlest([m for m in movements if m.source == index])
                pair = (lane, min(lane, arms[best.target].lanes_out))
                extra.append(Movement(source=index, target=best.target, pairs=(pair,)))
                reached.add((best.target, pair[1]))
    for index, arm in enumerate(arms):
        for lane in range(1, arm.lanes_out + 1):
            if (index, lane) not in reached:
                best = gentlest([m for m in movements if m.target == index])
                pair = (min(lane, arms[best.source].lanes_in), lane)
                extra.append(Movement(source=best.source, target=index, pairs=(pair,)))
    return extra


def movement_path(source: Arm, target: Arm, pairs: Sequence[tuple[int, int]]) -> Path:
    """Return the reference line of a movement: the left edge of its first lane."""
    first_in, first_out = pairs[0]
    return connect(source.entry(first_in), target.exit(first_out))


def smallest_turn_radius_m(arms: Sequence[Arm]) -> float:
    """Return the radius of the sharpest lane centre across the junction."""
    smallest = math.inf
    for movement in assign_lanes(arms):
        a, b = arms[movement.source], arms[movement.target]
        radius_m = movement_path(a, b, movement.pairs).smallest_radius_m
        smallest = min(smallest, radius_m + math.copysign(0.5, _turn(a, b)) * a.lane_width_m)
    return smallest


class JunctionBuilder:
    """Adds the connecting roads and the furniture of one junction to a document."""

    def __init__(self, document: TownDocument, junction_id: int, ports: Sequence[Port]) -> None:
        self._document = document
        self._junction = Junction(junction_id)
        self._ports = tuple(ports)
        self._arms = tuple(port.arm for port in ports)

    def build(self, control: Control) -> None:
        """Add everything; `control` says who yields."""
        roads: dict[int, list[tuple[int, int]]] = {index: [] for index in range(len(self._ports))}
        for movement in assign_lanes(self._arms):
            roads[movement.source].append((self._connect(movement), len(movement.pairs)))
        if control == "lights":
            for index, port in enumerate(self._ports):
                if port.arm.lanes_in:
                    self._add_light(port, roads[index])
                if port.arm.has_crosswalk:
                    self._add_crosswalk(port)
        elif control == "stop":
            self._add_sign(self._ports[self._side_street()], STOP_SIGN, "Sign_Stop", 2.0, 2.2)
        self._document.add_junction(self._junction)

    def _connect(self, movement: Movement) -> int:
        source, target = self._ports[movement.source], self._ports[movement.target]
        path = movement_path(source.arm, target.arm, movement.pairs)
        lanes = [
            Lane(
                kind="driving",
                widths=(Width(start_m=source.arm.lane_width_m),),
                predecessor=source.lane_in(lane_in),
                successor=target.lane_out(lane_out),
            )
            for lane_in, lane_out in movement.pairs
        ]
        if self._follows_the_kerb(movement):
            lanes.extend(_kerb_lanes(source, target, path.length_m))
        road_id = self._document.add_road(
            Road(
                name=f"junction {self._junction.junction_id}",
                path=path,
                right=tuple(lanes),
                speed_kmh=JUNCTION_SPEED_KMH,
                junction_id=self._junction.junction_id,
                predecessor=source.link,
                successor=target.link,
            )
        )
        self._junction.connect(source.road_id, road_id, lanes)
        return road_id

    def _follows_the_kerb(self, movement: Movement) -> bool:
        """Is this the outermost lane of the rightmost movement?"""
        source, target = self._arms[movement.source], self._arms[movement.target]
        if movement.pairs[-1] != (source.lanes_in, target.lanes_out):
            return False
        turn = _turn(source, target)
        others = [a for a in self._arms if a is not source and a is not target]
        return all(_turn(source, other) > turn for other in others)

    def _add_sign(self, port: Port, kind: str, name: str, distance_m: float, z_m: float) -> str:
        """Put a sign beside the lanes that lead into the junction; return its id."""
        sign = Sign(kind=kind, name=name, z_m=z_m, **port.beside(distance_m, leaving=False))
        return self._document.add_sign(port.road_id, sign)

    def _add_light(self, port: Port, connecting: Sequence[tuple[int, int]]) -> None:
        signal_id = self._add_sign(port, CARLA_TRAFFIC_LIGHT, "Signal_3Light_Post01", 0.5, 5.0)
        self._junction.light_ids.append(signal_id)
        for road_id, lanes in connecting:
            self._document.refer_to_signal(road_id, signal_id, -port.arm.lane_width_m / 2.0, lanes)

    def _add_crosswalk(self, port: Port) -> None:
        arm = port.arm
        half_m = max(arm.lanes_in, arm.lanes_out) * arm.lane_width_m + arm.shoulder_m
        self._document.add_crosswalk(
            port.road_id, port.s_from_distance(_CROSSWALK_CENTRE_M), half_m
        )

    def _side_street(self) -> int:
        """Return the arm that no other arm faces: the stem of a T."""

        def straightest(index: int) -> float:
            arm = self._arms[index]
            return min(abs(_turn(arm, other)) for other in self._arms if other is not arm)

        return max(range(len(self._arms)), key=straightest)


def _kerb_lanes(source: Port, target: Port, length_m: float) -> list[Lane]:
    """Carry shoulder and sidewalk round the corner."""
    a, b = source.arm, target.arm
    kinds: list[tuple[LaneKind, float, float]] = [("shoulder", a.shoulder_m, b.shoulder_m)]
    if a.sidewalk_m and b.sidewalk_m:
        kinds.append(("sidewalk", a.sidewalk_m, b.sidewalk_m))
    return [
        Lane(
            kind=kind,
            widths=(Width(start_m=first_m, slope=(last_m - first_m) / length_m),),
            predecessor=source.lane_in(a.lanes_in + beyond),
            successor=target.lane_out(b.lanes_out + beyond),
        )
        for beyond, (kind, first_m, last_m) in enumerate(kinds, start=1)
    ]
