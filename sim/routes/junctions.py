"""Which command leads through a junction, and whether there is anything to choose.

A junction offers a choice to a road when the lanes of that road, all together, lead to at least two
different roads. Then the way through is named by its geometry: LEFT or RIGHT when the heading
changes by more than 0.5 rad (29 degrees), otherwise STRAIGHT; where several ways are that straight
(a highway and its ramp), the straightest keeps STRAIGHT and the others are LEFT or RIGHT of it.
Without a choice the command stays LANE_FOLLOW: the road alone says where to go.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from bicameral.types import RoadOption
from bicameral.units import wrap_rad
from sim.routes.network import Lane, LaneKey, RoadNetwork, heading_change_rad

#: Heading change above which a way through a junction is a turn; half a typical T-junction's 90
#: degrees would be 0.79, and slanted arms reach down to 0.6.
TURN_RAD = 0.5

_MAX_LANES_IN_JUNCTION = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way through a junction: its lanes and the road that it leads to (None: a dead end)."""

    lanes: tuple[LaneKey, ...]
    exit_road: int | None
    heading_change_rad: float
    bearing_rad: float

    @property
    def bend_rad(self) -> float:
        """How far it leads to the right: heading change plus bearing of its end."""
        return self.heading_change_rad + self.bearing_rad


@dataclass(frozen=True, slots=True, kw_only=True)
class Movement:
    """A way through a junction from a certain lane, with the command that asks for it."""

    entry: LaneKey
    way: Way
    command: RoadOption


class JunctionTable:
    """The movements of a map, computed once per entry lane.

    Args:
        network: The map's lanes.
    """

    def __init__(self, network: RoadNetwork) -> None:
        self._network = network
        self._ways: dict[LaneKey, tuple[Way, ...]] = {}
        self._movements: dict[LaneKey, tuple[Movement, ...]] = {}

    def movements(self, entry: LaneKey) -> tuple[Movement, ...]:
        """Return every way through the junction after a lane; empty if none follows."""
        if entry not in self._movements:
            self._movements[entry] = tuple(
                Movement(entry=entry, way=way, command=self._command(entry, way))
                for way in self._ways_from(entry)
            )
        return self._movements[entry]

    def all_movements(self) -> tuple[Movement, ...]:
        """Return the movements of every lane that enters a junction, in order of the lanes."""
        outside = (key for key, lane in self._network.lanes.items() if lane.junction < 0)
        return tuple(movement for key in outside for movement in self.movements(key))

    def _ways_from(self, entry: LaneKey) -> tuple[Way, ...]:
        if entry not in self._ways:
            self._ways[entry] = tuple(
                way
                for first in self._network.lanes[entry].successors
                if self._network.lanes[first].junction >= 0
                for way in _extend(self._network, (first,))
            )
        return self._ways[entry]

    def _command(self, entry: LaneKey, way: Way) -> RoadOption:
        by_exit: dict[int | None, Way] = {}
        for sibling in self._network.siblings(entry):
            for other in self._ways_from(sibling):
                known = by_exit.get(other.exit_road)
                if known is None or abs(other.bend_rad) < abs(known.bend_rad):
                    by_exit[other.exit_road] = other
        by_exit[way.exit_road] = way
        if len(by_exit) < 2:
            return RoadOption.LANE_FOLLOW
        if abs(way.heading_change_rad) > TURN_RAD:
            return RoadOption.RIGHT if way.heading_change_rad > 0.0 else RoadOption.LEFT
        straight = [
            other for other in by_exit.values() if abs(other.heading_change_rad) <= TURN_RAD
        ]
        straightest = min(straight, key=lambda other: (abs(other.bend_rad), other.lanes))
        if way.exit_road == straightest.exit_road:
            return RoadOption.STRAIGHT
        return RoadOption.RIGHT if way.bend_rad > straightest.bend_rad else RoadOption.LEFT


def _extend(network: RoadNetwork, lanes: tuple[LaneKey, ...]) -> list[Way]:
    """Follow a chain of connecting lanes to the junction's end, along every fork inside it."""
    last = network.lanes[lanes[-1]]
    ways: list[Way] = []
    leaving: set[int] = set()
    for successor in last.successors:
        inside = network.lanes[successor].junction == last.junction
        if inside and successor not in lanes and len(lanes) < _MAX_LANES_IN_JUNCTION:
            ways.extend(_extend(network, (*lanes, successor)))
        elif not inside:
            leaving.add(successor.road)
    exits: list[int | None] = [*sorted(leaving)] if leaving or ways else [None]
    chain = [network.lanes[key] for key in lanes]
    ways.extend(
        Way(
            lanes=lanes,
            exit_road=exit_road,
            heading_change_rad=heading_change_rad(chain),
            bearing_rad=_bearing_rad(chain),
        )
        for exit_road in exits
    )
    return ways


def _bearing_rad(lanes: list[Lane]) -> float:
    """Return the direction of the chain's end as seen from its start; right is positive."""
    start, end = lanes[0].xyz_m[0], lanes[-1].xyz_m[-1]
    return wrap_rad(math.atan2(end[1] - start[1], end[0] - start[0]) - lanes[0].start_yaw_rad)
