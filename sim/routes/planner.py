"""Routes over a map: A* on the lanes, then a dense centre line with commands and speeds.

Commands (see `sim.routes.junctions` for their names) switch 15 m of arc length before a junction
and hold until its end; a lane change is announced while it lasts. Everything else is LANE_FOLLOW.

Speed limits are those of the OpenDRIVE roads (`<type><speed>`), capped at 90 km/h. A road without
one, as most connecting roads are, keeps the limit of the road before it on the route.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import carla
import numpy as np
from numpy.typing import NDArray

from bicameral.errors import RouteError
from bicameral.speed_profile import target_speed_mps
from bicameral.types import RoadOption, Route
from sim.routes.junctions import JunctionTable
from sim.routes.network import DEFAULT_SPEED_LIMIT_MPS, Lane, LaneKey, RoadNetwork

#: Arc length before a junction at which its command begins.
COMMAND_DISTANCE_M = 15.0
#: Spacing of the points of a route.
POINT_SPACING_M = 1.0
#: A lane change costs as much as this detour, so routes change lanes only where they must.
LANE_CHANGE_COST_M = 500.0
#: A lane change lasts this long at the speed limit, and is never shorter than the minimum.
LANE_CHANGE_S = 3.5
MIN_LANE_CHANGE_M = 20.0

_MIN_POINT_DISTANCE_M = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A stretch of one lane that a route follows.

    Attributes:
        lane: The lane.
        from_m: Arc length along it where the stretch begins.
        to_m: Arc length where it ends.
        changed_from: The lane that the route still has to leave at the beginning, or None.
        change_length_m: Length of that lane change.
    """

    lane: LaneKey
    from_m: float
    to_m: float
    changed_from: LaneKey | None = None
    change_length_m: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A junction on a route: where it lies (arc length of the route) and what leads through it."""

    junction: int
    begin_m: float
    end_m: float
    command: RoadOption


@dataclass(frozen=True, slots=True)
class _Node:
    """A state of the search: a lane, where it was entered, and how."""

    lane: LaneKey
    entered_m: float
    parent: int
    left_parent_at_m: float
    change_length_m: float = 0.0


class RoutePlanner:
    """Plans on one map.

    Args:
        carla_map: From `carla.World.get_map` or from OpenDRIVE text.
        town: Name to write into the routes.

    Attributes:
        network: The lanes.
        junctions: The movements.
        town: As given.
    """

    def __init__(self, carla_map: carla.Map, town: str) -> None:
        self.network = RoadNetwork(carla_map)
        self.junctions = JunctionTable(self.network)
        self.town = town

    def plan_through(
        self, locations: Sequence[carla.Location], *, name: str, kind: str = "mixed"
    ) -> Route:
        """Plan the shortest route that passes the places in order.

        Args:
            locations: Start, goal and what lies between; each is projected to the nearest driving
                lane.
            name: Name of the route.
            kind: What the route is there to test.

        Returns:
            The dense route.

        Raises:
            RouteError: If there is no road at one of them, or no way from one to the next.
        """
        if len(locations) < 2:
            raise RouteError(
                f"route {name!r} has {len(locations)} waypoints; at least a start and a goal "
                "are needed"
            )
        places = [self.network.locate(location) for location in locations]
        steps: list[Step] = []
        for start, goal in itertools.pairwise(places):
            for step in self._search(start, goal, name):
                joins = steps and steps[-1].lane == step.lane and step.changed_from is None
                if joins and steps[-1].to_m <= step.from_m + 1e-6:
                    steps[-1] = replace(steps[-1], to_m=step.to_m)
                else:
                    steps.append(step)
        return self.route_along(steps, name=name, kind=kind)

    def route_along(self, steps: Sequence[Step], *, name: str, kind: str) -> Route:
        """Sample a chain of lanes into a route.

        Args:
            steps: Stretches of lanes that continue each other.
            name: Name of the route.
            kind: What the route is there to test.

        Returns:
            The route, sampled about every metre.

        Raises:
            RouteError: If it is shorter than two points.
        """
        line = _Line(self.network, steps)
        if line.length_m < 2.0 * POINT_SPACING_M:
            raise RouteError(
                f"route {name!r} is {line.length_m:.2f} m long; start and goal must be at least "
                f"{2.0 * POINT_SPACING_M:.0f} m apart"
            )
        s_m = np.linspace(0.0, line.length_m, round(line.length_m / POINT_SPACING_M) + 1)
        xyz_m = line.xyz_at(s_m)
        yaw_rad = np.unwrap(np.arctan2(*np.gradient(xyz_m[:, :2], s_m, axis=0).T[::-1]))
        limit_mps = _fill_forward(line.nearest(line.limit_mps, s_m))
        return Route(
            name=name,
            town=self.town,
            kind=kind,
            xyz_m=xyz_m,
            yaw_rad=yaw_rad,
            s_m=s_m,
            command=self._commands(steps, s_m),
            in_junction=line.nearest(line.junction, s_m) >= 0,
            lane_width_m=np.interp(s_m, line.s_m, line.width_m),
            speed_limit_mps=limit_mps,
            target_speed_mps=target_speed_mps(s_m, yaw_rad, limit_mps),
        )

    def passages(self, steps: Sequence[Step]) -> tuple[Passage, ...]:
        """List the junctions of a chain of lanes, in driving order."""
        begins_m = np.concatenate([[0.0], np.cumsum([step.to_m - step.from_m for step in steps])])
        junctions = [self.network.lanes[step.lane].junction for step in steps]
        found = []
        at = 0
        for junction, group in itertools.groupby(junctions):
            end = at + len(list(group))
            if junction >= 0:
                command = self._command_through(steps, at, end)
                found.append(
                    Passage(
                        junction=junction,
                        begin_m=float(begins_m[at]),
                        end_m=float(begins_m[end]),
                        command=command,
                    )
                )
            at = end
        return tuple(found)

    def _command_through(self, steps: Sequence[Step], begin: int, end: int) -> RoadOption:
        """Name the command for the connecting lanes `steps[begin:end]`."""
        lanes = tuple(step.lane for step in steps[begin:end])
        before = self.network.predecessors[lanes[0]]
        entry = steps[begin - 1].lane if begin > 0 else before[0] if before else None
        exit_road = steps[end].lane.road if end < len(steps) else None
        for movement in self.junctions.movements(entry) if entry is not None else ():
            same_lanes = movement.way.lanes[: len(lanes)] == lanes
            if same_lanes and exit_road in (None, movement.way.exit_road):
                return movement.command
        return RoadOption.LANE_FOLLOW

    def _commands(self, steps: Sequence[Step], s_m: NDArray[np.float64]) -> NDArray[np.int8]:
        command = np.full(len(s_m), RoadOption.LANE_FOLLOW, dtype=np.int8)
        begin_m = 0.0
        for step in steps:
            if step.changed_from is not None:
                # Lane ids grow to the left of the reference line and fall to its right.
                outward = abs(step.lane.lane) > abs(step.changed_from.lane)
                option = RoadOption.CHANGE_LANE_RIGHT if outward else RoadOption.CHANGE_LANE_LEFT
                command[(s_m >= begin_m) & (s_m < begin_m + step.change_length_m)] = option
            begin_m += step.to_m - step.from_m
        for passage in self.passages(steps):
            window = (s_m >= passage.begin_m - COMMAND_DISTANCE_M) & (s_m < passage.end_m)
            command[window & (command == RoadOption.LANE_FOLLOW)] = passage.command
        return command

    def _search(
        self, start: tuple[LaneKey, float], goal: tuple[LaneKey, float], name: str
    ) -> list[Step]:
        """Find the cheapest chain of lanes with A*; the heuristic is the straight distance."""
        lanes = self.network.lanes
        goal_lane, goal_m = goal
        goal_xy = _point_at(lanes[goal_lane], goal_m)
        nodes = [_Node(start[0], start[1], -1, 0.0)]
        queue: list[tuple[float, int, float]] = [(0.0, 0, 0.0)]
        closed: set[tuple[LaneKey, bool]] = set()
        while queue:
            _, index, cost = heapq.heappop(queue)
            node = nodes[index]
            if node.left_parent_at_m < 0.0:
                return self._steps_to(nodes, node.parent, goal_m)
            state = (node.lane, node.entered_m == 0.0)
            if state in closed:
                continue
            closed.add(state)
            for child, extra in self._expand(node, index, goal_lane, goal_m):
                nodes.append(child)
                end_m = lanes[child.lane].length_m if child.left_parent_at_m >= 0.0 else goal_m
                ahead = np.hypot(*(_point_at(lanes[child.lane], end_m) - goal_xy))
                rest = max(0.0, float(ahead) - (lanes[child.lane].length_m - child.entered_m))
                estimate = cost + extra + (rest if child.left_parent_at_m >= 0.0 else 0.0)
                heapq.heappush(queue, (estimate, len(nodes) - 1, cost + extra))
        raise RouteError(
            f"route {name!r}: no way on {self.town} from road {start[0].road} lane {start[0].lane} "
            f"to road {goal_lane.road} lane {goal_lane.lane}; choose another start or goal"
        )

    def _expand(
        self, node: _Node, index: int, goal_lane: LaneKey, goal_m: float
    ) -> list[tuple[_Node, float]]:
        """Return the states after a state and what they cost; the goal has a negative departure."""
        lane = self.network.lanes[node.lane]
        free_m = node.entered_m + node.change_length_m
        children = []
        if node.lane == goal_lane and free_m <= goal_m:
            children.append((_Node(goal_lane, goal_m, index, -1.0), goal_m - node.entered_m))
        for successor in lane.successors:
            child = _Node(successor, 0.0, index, lane.length_m)
            children.append((child, lane.length_m - node.entered_m))
        limit_mps = np.nan_to_num(lane.speed_limit_mps, nan=DEFAULT_SPEED_LIMIT_MPS)
        end_m = goal_m if goal_lane in (lane.left, lane.right) else lane.length_m
        change_m = min(max(LANE_CHANGE_S * limit_mps, MIN_LANE_CHANGE_M), end_m - free_m)
        for neighbour in (lane.left, lane.right):
            if neighbour in self.network.lanes and change_m >= MIN_LANE_CHANGE_M:
                entered_m = free_m * self.network.lanes[neighbour].length_m / lane.length_m
                child = _Node(neighbour, entered_m, index, free_m, change_m)
                children.append((child, free_m - node.entered_m + LANE_CHANGE_COST_M))
        return children

    def _steps_to(self, nodes: list[_Node], index: int, goal_m: float) -> list[Step]:
        steps: list[Step] = []
        to_m = goal_m
        while index >= 0:
            node = nodes[index]
            changed = node.change_length_m > 0.0
            steps.append(
                Step(
                    lane=node.lane,
                    from_m=node.entered_m,
                    to_m=to_m,
                    changed_from=nodes[node.parent].lane if changed else None,
                    change_length_m=node.change_length_m,
                )
            )
            to_m = node.left_parent_at_m
            index = node.parent
        return steps[::-1]


class _Line:
    """The points of all steps as one polyline with arc length, without coinciding points."""

    def __init__(self, network: RoadNetwork, steps: Sequence[Step]) -> None:
        lanes = [network.lanes[step.lane] for step in steps]
        parts = [_sample_step(network, step) for step in steps]
        xyz_m = np.concatenate([part for part, _ in parts])
        counts = [len(widths_m) for _, widths_m in parts]
        gap_m = np.hypot(*np.diff(xyz_m[:, :2], axis=0).T)
        keep = np.concatenate([[True], gap_m > _MIN_POINT_DISTANCE_M])
        self._xyz_m = xyz_m[keep]
        self.width_m = np.concatenate([widths_m for _, widths_m in parts])[keep]
        self.limit_mps = np.repeat([lane.speed_limit_mps for lane in lanes], counts)[keep]
        self.junction = np.repeat([lane.junction for lane in lanes], counts)[keep]
        steps_m = np.hypot(*np.diff(self._xyz_m[:, :2], axis=0).T)
        self.s_m = np.concatenate([[0.0], np.cumsum(steps_m)])
        self.length_m = float(self.s_m[-1])

    def xyz_at(self, s_m: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.stack([np.interp(s_m, self.s_m, column) for column in self._xyz_m.T], axis=1)

    def nearest(self, values: NDArray[np.generic], s_m: NDArray[np.float64]) -> NDArray[np.float64]:
        middles = (self.s_m[1:] + self.s_m[:-1]) / 2.0
        return np.asarray(values[np.searchsorted(middles, s_m)], dtype=np.float64)


def _sample_step(
    network: RoadNetwork, step: Step
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the (N, 3) points of a step and the (N,) widths of the lane there."""
    lane = network.lanes[step.lane]
    inside = (lane.arc_m > step.from_m) & (lane.arc_m < step.to_m)
    arc_m = np.concatenate([[step.from_m], lane.arc_m[inside], [step.to_m]])
    xyz_m = np.stack([np.interp(arc_m, lane.arc_m, column) for column in lane.xyz_m.T], axis=1)
    if step.changed_from is not None:
        old = network.lanes[step.changed_from]
        old_arc_m = arc_m / lane.length_m * old.length_m
        old_xyz_m = np.stack([np.interp(old_arc_m, old.arc_m, c) for c in old.xyz_m.T], axis=1)
        t = np.clip((arc_m - step.from_m) / step.change_length_m, 0.0, 1.0)
        # The quintic smoothstep begins and ends without a jump of curvature.
        blend = (t**3 * (10.0 - 15.0 * t + 6.0 * t**2))[:, None]
        xyz_m = (1.0 - blend) * old_xyz_m + blend * xyz_m
    return xyz_m, np.interp(arc_m, lane.arc_m, lane.width_m)


def _point_at(lane: Lane, arc_m: float) -> NDArray[np.float64]:
    return np.array([np.interp(arc_m, lane.arc_m, lane.xyz_m[:, axis]) for axis in (0, 1)])


def _fill_forward(limit_mps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Replace NaN by the value before it, at the beginning by the first value there is."""
    known = np.flatnonzero(np.isfinite(limit_mps))
    if len(known) == 0:
        return np.full_like(limit_mps, DEFAULT_SPEED_LIMIT_MPS)
    last = np.maximum(np.searchsorted(known, np.arange(len(limit_mps)), side="right") - 1, 0)
    return np.asarray(limit_mps[known[last]], dtype=np.float64)
