"""Who else is on the road, and where the route's stop lines are: what the simulator knows."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import carla
import numpy as np

from bicameral.types import LightState, Pose, RoadUser, Route, StopLine, Surroundings
from sim.client.traffic import Traffic
from sim.landmarks import lanes_of, lights_by_lane

_STATES = {
    carla.TrafficLightState.Red: LightState.RED,
    carla.TrafficLightState.Yellow: LightState.YELLOW,
    carla.TrafficLightState.Green: LightState.GREEN,
}
_STOP_SIGN = "206"


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteStopLine:
    """A stop line of a route.

    Attributes:
        s_m: Where it is, as arc length of the route.
        light: Its traffic light; None for a stop sign.
    """

    s_m: float
    light: carla.TrafficLight | None


def find_stop_lines(
    world: carla.World, town_map: carla.Map, route: Route
) -> tuple[RouteStopLine, ...]:
    """Find where a route meets a light or a stop sign: at the entries of their junctions.

    A signal of a map stands for lanes, either in front of the junction or inside it. Both are told
    by road and lane, so that the lights of other lanes do not count.
    """
    lights = lights_by_lane(world)
    signs = {
        (sign.road_id, lane)
        for sign in town_map.get_all_landmarks_of_type(_STOP_SIGN)
        for lane in lanes_of(sign)
        if town_map.get_waypoint_xodr(sign.road_id, lane, sign.s) is not None
    }
    points = [
        town_map.get_waypoint(carla.Location(x=x_m, y=y_m, z=z_m))
        for x_m, y_m, z_m in route.xyz_m.tolist()
    ]
    found: list[RouteStopLine] = []
    for index, (before, here) in enumerate(itertools.pairwise(points)):
        if before.is_junction or not here.is_junction:
            continue
        s_m = float(route.s_m[index])
        lanes = ((here.road_id, here.lane_id), (before.road_id, before.lane_id))
        light = next((lights[lane] for lane in lanes if lane in lights), None)
        if light is not None or any(lane in signs for lane in lanes):
            found.append(RouteStopLine(s_m=s_m, light=light))
    return tuple(found)


class Watch:
    """Looks at the others tick by tick, for the record and for an agent that may know of them.

    Args:
        traffic: They.
        town_map: Of the world.
        stop_lines: Of the route.
    """

    def __init__(
        self, traffic: Traffic, town_map: carla.Map, stop_lines: Sequence[RouteStopLine]
    ) -> None:
        self._map = town_map
        self._lines = stop_lines
        self._bodies = [
            (actor.id, actor.bounding_box.extent, walker)
            for actors, walker in ((traffic.vehicles, False), (traffic.walkers, True))
            for actor in actors
        ]
        self._rows: list[list[tuple[float, float, float]]] = []
        self._light_lines = [(line.s_m, line.light) for line in stop_lines if line.light]
        self._lights: list[list[LightState]] = []

    def look(self, snapshot: carla.WorldSnapshot) -> None:
        """Record where everybody is, NaN for who has gone, and what the route's lights show."""
        self._lights.append([_state_of(light) for _, light in self._light_lines])
        row = []
        for actor_id, _, _ in self._bodies:
            state = snapshot.find(actor_id)
            if state is None:
                row.append((math.nan, math.nan, math.nan))
                continue
            pose = state.get_transform()
            row.append((pose.location.x, pose.location.y, math.radians(pose.rotation.yaw)))
        self._rows.append(row)

    def surroundings(self, snapshot: carla.WorldSnapshot) -> Surroundings:
        """Return what an agent may know that may know everything."""
        others = [
            self._road_user(state, extent, walker=walker)
            for actor_id, extent, walker in self._bodies
            if (state := snapshot.find(actor_id)) is not None
        ]
        lines = tuple(
            StopLine(s_m=line.s_m, light=None if line.light is None else _state_of(line.light))
            for line in self._lines
        )
        return Surroundings(others=tuple(others), stop_lines=lines)

    def record(self, ticks: int) -> dict[str, Any]:
        """Return what an `EpisodeRecord` keeps of the first ticks."""
        walkers = sum(walker for _, _, walker in self._bodies)
        rows, lights = self._rows[:ticks], self._lights[:ticks]
        return {
            "vehicles": len(self._bodies) - walkers,
            "walkers": walkers,
            "stop_signs_m": tuple(line.s_m for line in self._lines if line.light is None),
            "light_lines_m": tuple(s_m for s_m, _ in self._light_lines),
            "others": np.asarray(rows, np.float32).reshape(len(rows), len(self._bodies), 3),
            "lights": np.asarray(lights, np.uint8).reshape(len(lights), len(self._light_lines)),
        }

    def _road_user(self, state: Any, extent: carla.Vector3D, *, walker: bool) -> RoadUser:
        transform, velocity = state.get_transform(), state.get_velocity()
        place = transform.location
        # Asking the map takes longest here, and it is of no use to know of walkers.
        lane = None if walker else self._map.get_waypoint(place)
        return RoadUser(
            walker=walker,
            pose=Pose(
                x_m=place.x, y_m=place.y, z_m=place.z, yaw_rad=math.radians(transform.rotation.yaw)
            ),
            velocity_mps=(velocity.x, velocity.y),
            yaw_rate_radps=math.radians(state.get_angular_velocity().z),
            half_length_m=extent.x,
            half_width_m=extent.y,
            in_junction=bool(lane is not None and lane.is_junction),
        )


def _state_of(light: carla.TrafficLight) -> LightState:
    return _STATES.get(light.get_state(), LightState.OTHER)
