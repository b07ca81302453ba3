"""Poses scenes among others instead of driving to them, and records what the expert would do.

An expert that drives seldom comes too fast to a red light, stands in the middle of nowhere, or sees
a walker on the lane: an agent that errs does. Here chance decides where the vehicle is and how
fast, who is before it, and what the light shows. A scene is two pictures, `SCENE_TICKS` apart.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, fields, replace
from typing import Any

import carla
import numpy as np
from numpy.typing import NDArray

from bicameral.progress import points_ahead
from bicameral.protocols import DrivingAgent
from bicameral.simulation import TICK_S
from bicameral.types import LightState, Observation, Pose, RoadUser, Route, StopLine, Surroundings
from sim.client.ego import Ego, transform_from_pose
from sim.client.traffic import TrafficDensity, car_blueprints, walker_blueprints
from sim.collection.plan import AHEAD_M
from sim.evaluation.others import RouteStopLine
from sim.routes.network import RoadNetwork

#: From the first picture of a scene to the second, and from one scene to the next.
SCENE_TICKS = 6
_NEXT_SCENE_TICKS = 40

_LIGHTS = (
    (LightState.RED, carla.TrafficLightState.Red, 0.45),
    (LightState.YELLOW, carla.TrafficLightState.Yellow, 0.1),
    (LightState.GREEN, carla.TrafficLightState.Green, 0.45),
)
#: Share of the scenes before a light, where the route has one, and how far before it they are.
_LIGHT_SHARE = 0.6
_BEFORE_LIGHT_M = (1.0, 48.0)
#: Share of the scenes in which the vehicle stands, and the fastest it drives, as a multiple of the
#: route's profile.
_STANDING_SHARE = 0.2
_FASTEST = 1.3
#: Shares of scenes with a vehicle ahead, one before that, and a walker who is on the way or near.
_LEAD_SHARE, _SECOND_SHARE, _WALKER_SHARE = 0.5, 0.3, 0.25
_NEAREST_M, _FARTHEST_M = 1.5, 45.0
_FRONT_M = 2.4
#: Others are this near, and no nearer than this to each other.
_AROUND_M, _APART_M = 70.0, 7.0
#: Who is not in a scene is far below it.
_NOWHERE_M = -200.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Actor:
    """Somebody who can be put anywhere."""

    actor_id: int
    half_length_m: float
    half_width_m: float
    walker: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Placed:
    """Where somebody is in a scene, and how fast he moves straight ahead."""

    actor: _Actor
    pose: Pose
    speed_mps: float

    def before(self, seconds: float) -> Pose:
        """Return where he was."""
        return _ahead(self.pose, -self.speed_mps * seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A state to be labelled.

    Attributes:
        route: From a little before the vehicle on.
        pose: Of the vehicle.
        speed_mps: How fast it moves.
        others: The others.
        lines: Stop lines of that route, with what their lights are to show.
        lights: The light of each, None of a stop sign.
    """

    route: Route
    pose: Pose
    speed_mps: float
    others: tuple[_Placed, ...]
    lines: tuple[StopLine, ...]
    lights: tuple[Any, ...]


class SceneStage:
    """A world in which scenes are posed; a context manager.

    Args:
        client: Of the simulator.
        world: Freshly loaded and synchronous.
        ego: Its vehicle, with a camera that gives a picture per tick.
        network: The town's lanes.
    """

    def __init__(
        self, client: carla.Client, world: carla.World, ego: Ego, network: RoadNetwork
    ) -> None:
        self._client = client
        self._world = world
        self._ego = ego
        self._map = network.carla_map
        self._stack = ExitStack()
        lanes = list(network.lanes.values())
        self._places = np.concatenate([lane.xyz_m[:-1] for lane in lanes])
        ahead = np.concatenate([np.diff(lane.xyz_m, axis=0) for lane in lanes])
        self._yaws = np.arctan2(ahead[:, 1], ahead[:, 0])
        self._shown: dict[int, LightState] = {}
        self.vehicles: tuple[_Actor, ...] = ()
        self.walkers: tuple[_Actor, ...] = ()

    def __enter__(self) -> SceneStage:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def hire(self, density: TrafficDensity, rng: np.random.Generator) -> None:
        """Spawn everybody, and let nobody move by himself."""
        self._world.freeze_all_traffic_lights(True)
        self._ego.vehicle.set_simulate_physics(False)
        points = self._world.get_map().get_spawn_points()
        order = rng.permutation(len(points))
        looks = car_blueprints(self._world), walker_blueprints(self._world)
        cars, walkers = density.vehicles, density.walkers
        found: list[list[_Actor]] = [[], []]
        for number, index in enumerate(order[: cars + walkers]):
            walker = number >= cars
            choice = looks[walker][int(rng.integers(len(looks[walker])))]
            place = points[index]
            actor = self._world.try_spawn_actor(choice, place)
            if actor is None:
                continue
            self._stack.callback(actor.destroy)
            actor.set_simulate_physics(False)
            box = actor.bounding_box.extent
            found[walker].append(
                _Actor(actor_id=actor.id, half_length_m=box.x, half_width_m=box.y, walker=walker)
            )
        self.vehicles, self.walkers = tuple(found[0]), tuple(found[1])

    def draw(self, route: Route, lines: Sequence[RouteStopLine], rng: np.random.Generator) -> Scene:
        """Draw a scene on a route."""
        lit = [line for line in lines if line.light is not None]
        last_m = route.length_m - 10.0
        s_m = float(rng.uniform(2.0, last_m))
        if lit and rng.uniform() < _LIGHT_SHARE:
            line = lit[int(rng.integers(len(lit)))]
            s_m = line.s_m - _FRONT_M - float(rng.uniform(*_BEFORE_LIGHT_M))
        s_m = min(max(s_m, 2.0), last_m)
        part, begin_m = _route_from(route, s_m - 2.0)
        profile_mps = float(np.interp(s_m, route.s_m, route.target_speed_mps))
        standing = rng.uniform() < _STANDING_SHARE
        kept = [line for line in lines if line.s_m > begin_m]
        return Scene(
            route=part,
            pose=_beside(part, s_m - begin_m, rng.normal(0.0, 0.2), rng.normal(0.0, 0.03)),
            speed_mps=0.0 if standing else float(rng.uniform(0.0, _FASTEST * profile_mps)),
            others=tuple(self._draw_others(part, s_m - begin_m, rng)),
            lines=tuple(
                StopLine(s_m=line.s_m - begin_m, light=_draw_light(line, rng)) for line in kept
            ),
            lights=tuple(line.light for line in kept),
        )

    def show(self, scene: Scene, *, ticks_before: int) -> Observation:
        """Put everybody where the scene has him, some ticks before, and look.

        The observation says what the scene does, not what the simulator believes.
        """
        seconds = ticks_before * TICK_S
        pose = _ahead(scene.pose, -scene.speed_mps * seconds)
        there = {one.actor.actor_id: one.before(seconds) for one in scene.others}
        commands: list[Any] = [
            carla.command.ApplyTransform(self._ego.vehicle.id, transform_from_pose(pose))
        ]
        for actor in (*self.vehicles, *self.walkers):
            place = there.get(actor.actor_id, Pose(x_m=0.0, y_m=0.0, z_m=_NOWHERE_M))
            lift_m = 0.95 if actor.walker else 0.0
            commands.append(
                carla.command.ApplyTransform(actor.actor_id, transform_from_pose(place, lift_m))
            )
        colours = {state: colour for state, colour, _ in _LIGHTS}
        for line, light in zip(scene.lines, scene.lights, strict=True):
            if line.light is not None and self._shown.get(light.id) is not line.light:
                light.set_state(colours[line.light])
                self._shown[light.id] = line.light
        self._client.apply_batch(commands)
        seen = self._ego.observe(int(self._world.tick()), 0.0)
        others = tuple(self._road_user(one, there[one.actor.actor_id]) for one in scene.others)
        return replace(
            seen,
            pose=pose,
            speed_mps=scene.speed_mps,
            surroundings=Surroundings(others=others, stop_lines=scene.lines),
        )

    def _draw_others(self, route: Route, s_m: float, rng: np.random.Generator) -> Iterator[_Placed]:
        """Yield a vehicle ahead and one before it, some elsewhere, and walkers."""
        vehicles = [self.vehicles[index] for index in rng.permutation(len(self.vehicles))]
        walkers = [self.walkers[index] for index in rng.permutation(len(self.walkers))]
        taken: list[tuple[float, float]] = [_xy(_beside(route, s_m, 0.0, 0.0))]
        front_m = s_m + _FRONT_M
        if vehicles and rng.uniform() < _LEAD_SHARE:
            reach_m = _FARTHEST_M * float(rng.uniform()) ** 1.3
            for _ in range(1 + (rng.uniform() < _SECOND_SHARE)):
                car = vehicles.pop()
                front_m += max(_NEAREST_M, reach_m) + car.half_length_m
                if front_m > route.length_m or not vehicles:
                    break
                pose = _beside(route, front_m, rng.normal(0.0, 0.25), rng.normal(0.0, 0.03))
                speed_mps = 0.0 if rng.uniform() < 0.4 else float(rng.uniform(0.0, 10.0))
                taken.append(_xy(pose))
                yield _Placed(actor=car, pose=pose, speed_mps=speed_mps)
                front_m += car.half_length_m
                reach_m = float(rng.uniform(_NEAREST_M, 15.0))
        yield from self._draw_elsewhere(route, taken, vehicles, rng)
        if walkers and rng.uniform() < _WALKER_SHARE:
            at_m = s_m + _FRONT_M + float(rng.uniform(2.0, 28.0))
            yield _walker_on_way(walkers.pop(), route, min(at_m, route.length_m), rng)
        for walker in walkers[: int(rng.integers(4))]:
            at_m = min(s_m + float(rng.uniform(4.0, 40.0)), route.length_m)
            side_m = float(rng.choice((-1.0, 1.0)) * rng.uniform(5.0, 10.0))
            pose = _beside(route, at_m, side_m, float(rng.choice((0.0, math.pi))))
            yield _Placed(actor=walker, pose=pose, speed_mps=1.4 * float(rng.integers(2)))

    def _draw_elsewhere(
        self,
        route: Route,
        taken: list[tuple[float, float]],
        vehicles: Sequence[_Actor],
        rng: np.random.Generator,
    ) -> Iterator[_Placed]:
        """Yield vehicles on other lanes nearby, driving or standing as one does there."""
        away = np.hypot(*(self._places[:, :2] - taken[0]).T)
        near = np.flatnonzero(away < _AROUND_M)
        wanted = int(rng.integers(0, 7))
        for car, index in zip(vehicles[:wanted], rng.permutation(near)[:wanted], strict=False):
            x_m, y_m, z_m = self._places[index].tolist()
            beside = np.hypot(route.xyz_m[:, 0] - x_m, route.xyz_m[:, 1] - y_m).min()
            if beside < 2.6 or any(math.hypot(x_m - x, y_m - y) < _APART_M for x, y in taken):
                continue
            taken.append((x_m, y_m))
            pose = Pose(x_m=x_m, y_m=y_m, z_m=z_m, yaw_rad=float(self._yaws[index]))
            speed_mps = 0.0 if rng.uniform() < 0.4 else float(rng.uniform(2.0, 9.0))
            yield _Placed(actor=car, pose=pose, speed_mps=speed_mps)

    def _road_user(self, placed: _Placed, pose: Pose) -> RoadUser:
        lane = self._map.get_waypoint(carla.Location(x=pose.x_m, y=pose.y_m, z=pose.z_m))
        speed, yaw = placed.speed_mps, pose.yaw_rad
        return RoadUser(
            walker=placed.actor.walker,
            pose=pose,
            velocity_mps=(speed * math.cos(yaw), speed * math.sin(yaw)),
            yaw_rate_radps=0.0,
            half_length_m=placed.actor.half_length_m,
            half_width_m=placed.actor.half_width_m,
            in_junction=bool(lane is not None and lane.is_junction),
        )


def label_scene(
    stage: SceneStage, expert: DrivingAgent, scene: Scene, number: int
) -> tuple[list[NDArray[np.uint8]], list[dict[str, Any]]]:
    """Return the two pictures of a scene and their rows."""
    images, rows = [], []
    for ticks_before in (SCENE_TICKS, 0):
        seen = stage.show(scene, ticks_before=ticks_before)
        expert.begin(scene.route, number)
        decision = expert.act(seen)
        assert seen.image is not None  # noqa: S101 - the camera gives one per tick
        images.append(seen.image)
        frame = number * _NEXT_SCENE_TICKS - ticks_before
        rows.append(
            {
                "frame": frame,
                "time_s": frame * TICK_S,
                "steer_expert": decision.control.steer,
                "steer_applied": decision.control.steer,
                "throttle": decision.control.throttle,
                "brake": decision.control.brake,
                "perturbed": False,
                "expert_in_charge": True,
                "cross_track_m": decision.diagnostics["cross_track_m"],
                "speed_mps": seen.speed_mps,
                **_place_row(scene.route, seen.pose),
                **decision.diagnostics,
            }
        )
    return images, rows


def _place_row(route: Route, pose: Pose) -> dict[str, Any]:
    away = np.hypot(route.xyz_m[:, 0] - pose.x_m, route.xyz_m[:, 1] - pose.y_m)
    nearest = int(away.argmin())
    return {
        "command": route.command[nearest],
        "in_junction": route.in_junction[nearest],
        "heading_error_rad": pose.yaw_rad - float(route.yaw_rad[nearest]),
        "x_m": pose.x_m,
        "y_m": pose.y_m,
        "z_m": pose.z_m,
        "yaw_rad": pose.yaw_rad,
        "ahead_m": points_ahead(route, float(route.s_m[nearest]), pose, AHEAD_M),
    }


def _draw_light(line: RouteStopLine, rng: np.random.Generator) -> LightState | None:
    if line.light is None:
        return None
    chosen = rng.choice(len(_LIGHTS), p=[share for _, _, share in _LIGHTS])
    return _LIGHTS[int(chosen)][0]


def _walker_on_way(walker: _Actor, route: Route, at_m: float, rng: np.random.Generator) -> _Placed:
    """Put a walker onto the way or beside it, who crosses it or stands."""
    side_m = float(rng.uniform(-5.0, 5.0))
    towards = -math.copysign(math.pi / 2.0, side_m)
    pose = _beside(route, at_m, side_m, towards + float(rng.normal(0.0, 0.2)))
    return _Placed(actor=walker, pose=pose, speed_mps=1.4 * float(rng.uniform() < 0.7))


def _route_from(route: Route, s_m: float) -> tuple[Route, float]:
    """Return the rest of a route, and where on it that begins."""
    first = max(int(np.searchsorted(route.s_m, s_m)) - 1, 0)
    begin_m = float(route.s_m[first])
    cut = {
        one.name: getattr(route, one.name)[first:]
        for one in fields(route)
        if one.name not in ("name", "town", "kind")
    }
    cut["s_m"] = cut["s_m"] - begin_m
    return replace(route, **cut), begin_m


def _beside(route: Route, s_m: float, right_m: float, turned_rad: float) -> Pose:
    x_m, y_m, z_m = (float(np.interp(s_m, route.s_m, route.xyz_m[:, axis])) for axis in range(3))
    yaw_rad = float(np.interp(s_m, route.s_m, route.yaw_rad))
    return Pose(
        x_m=x_m - math.sin(yaw_rad) * right_m,
        y_m=y_m + math.cos(yaw_rad) * right_m,
        z_m=z_m,
        yaw_rad=yaw_rad + turned_rad,
    )


def _ahead(pose: Pose, distance_m: float) -> Pose:
    x_m = pose.x_m + math.cos(pose.yaw_rad) * distance_m
    return replace(pose, x_m=x_m, y_m=pose.y_m + math.sin(pose.yaw_rad) * distance_m)


def _xy(pose: Pose) -> tuple[float, float]:
    return pose.x_m, pose.y_m
