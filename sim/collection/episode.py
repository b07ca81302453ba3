"""Drives one episode of a collection and records it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from typing import Any

import carla
import numpy as np
from numpy.typing import NDArray

import bicameral
from bicameral.progress import RoutePosition, RouteProgress, points_ahead
from bicameral.protocols import DrivingAgent
from bicameral.simulation import CARLA_VERSION, TICK_S
from bicameral.types import Control, Observation, Pose, Route
from sim.client.connection import simulator_errors
from sim.client.ego import CameraSetup, Ego, transform_from_pose
from sim.client.traffic import Traffic
from sim.client.weather import Weather, apply_weather, perturb_weather, weather_by_name
from sim.collection.legs import Leg, bursts, draw_legs, pedal_bursts
from sim.collection.plan import AHEAD_M, SCHEMA, CollectionPlan, EpisodePlan
from sim.collection.scenes import SCENE_TICKS, SceneStage, label_scene
from sim.collection.storage import COLUMNS, TRAFFIC_COLUMNS, EpisodeWriter
from sim.evaluation.others import RouteStopLine, Watch, find_stop_lines
from sim.routes.planner import RoutePlanner

#: Pictures of a vehicle that stands teach nothing about steering. Among others they teach when to
#: go on: of so many ticks the first is kept, and the one that is `SCENE_TICKS` later.
STATIONARY_MPS = 0.3
STANDING_TICKS = 20
#: Ticks after the vehicle was put somewhere in which nothing is recorded: it settles.
SETTLE_TICKS = 4
#: A route is given up beyond these errors: no expert would come back from there on a road.
LOST_M = 2.5
LOST_RAD = 1.0
#: A route is left this far before its end, and given up after this much time and thrice the time
#: of its profile.
ARRIVAL_M = 3.0
PATIENCE_S = 20.0
#: A vehicle that is this far off already is not pushed further.
BURST_ENDS_M = 1.3
#: Offsets of bursts are those at walking pace and fall with the square of speed over this.
BURST_SPEED_MPS = 7.0

#: Among others a route begins where nobody is this near, and is left out after so many ticks.
FREE_START_M = 12.0
FREE_START_TICKS = 200

_WARM_UP_TICKS = 10
_PUT_DOWN_M = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Crew:
    """Who drives.

    Attributes:
        expert: Labels every tick, and drives unless there is a driver.
        driver: Steers instead, for a DAgger round; None lets the expert drive. The pedals are
            always the expert's.
    """

    expert: DrivingAgent
    driver: DrivingAgent | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where an episode takes place.

    Attributes:
        client: Of the simulator.
        world: Freshly loaded world of the town, synchronous.
        planner: Plans on its map.
        driven_on: ``"pocket"`` or ``"carla"``.
    """

    client: carla.Client
    world: carla.World
    planner: RoutePlanner
    driven_on: str


def record_episode(
    place: Place, plan: CollectionPlan, episode: EpisodePlan, crew: Crew
) -> dict[str, Any]:
    """Drive an episode and store it.

    Args:
        place: The world to drive in.
        plan: Settings, and where the episode is stored.
        episode: Which one.
        crew: Who drives.

    Returns:
        The content of its episode.json.

    Raises:
        RouteError: If the town holds no route of any wanted kind.
        SimulatorLostError: If the simulator stops answering.
    """
    rng = np.random.default_rng(episode.entropy)
    folder = plan.output / episode.town / episode.episode_id
    # CARLA's sensor interval drifts with rounding; the pocket simulator's does not. A driver that
    # sees needs every picture.
    skips = place.driven_on == "pocket" and crew.driver is None and not plan.scenes
    setup = CameraSetup(interval_s=plan.capture_every_ticks * TICK_S if skips else 0.0)
    camera = plan.camera_of(driven=crew.driver is not None)
    with simulator_errors(f"collecting {episode.town}/{episode.episode_id}"):
        weather = perturb_weather(weather_by_name(episode.weather), rng)
        apply_weather(place.world, weather)
        legs = draw_legs(place.planner, plan, episode, rng)
        columns = COLUMNS | (TRAFFIC_COLUMNS if plan.traffic else {})
        with (
            EpisodeWriter(folder, camera, columns) as writer,
            Ego(place.world, legs[0].start, camera=camera, camera_setup=setup) as ego,
        ):
            record_legs = _pose_scenes if plan.scenes else _drive_legs
            for images, rows in record_legs(place, plan, crew, legs, ego):
                writer.add(images, rows)
            record = _describe(plan, episode, legs, weather, len(writer))
            record |= {"camera": asdict(camera), "driven_on": place.driven_on}
            writer.finish(record)
    return record


_Recorded = tuple[list[NDArray[np.uint8]], list[dict[str, Any]]]


def _drive_legs(
    place: Place, plan: CollectionPlan, crew: Crew, legs: list[Leg], ego: Ego
) -> Iterator[_Recorded]:
    """Drive one leg after the other, and yield its pictures and rows."""
    tape = _Tape(place.world, ego, plan.capture_every_ticks, crew.driver is not None)
    with ExitStack() as stack:
        traffic = None
        if plan.traffic:
            start, seed = legs[0].start, legs[0].seed
            traffic = stack.enter_context(
                Traffic(place.client, place.world, plan.traffic, start=start, seed=seed)
            )
        for number, leg in enumerate(legs):
            if traffic is not None:
                lines = _stop_lines(place, leg)
                tape.watch = Watch(traffic, place.planner.network.carla_map, lines)
            yield _LegDrive(tape, plan, crew, leg, number).record()


def _pose_scenes(
    place: Place, plan: CollectionPlan, crew: Crew, legs: list[Leg], ego: Ego
) -> Iterator[_Recorded]:
    """Pose scenes on one leg after the other, and yield the pictures and rows of each."""
    rng = np.random.default_rng(legs[0].seed)
    with SceneStage(place.client, place.world, ego, place.planner.network) as stage:
        stage.hire(plan.traffic, rng)
        lines = [_stop_lines(place, leg) for leg in legs]
        for number in range(plan.scenes):
            leg = number * len(legs) // plan.scenes
            scene = stage.draw(legs[leg].route, lines[leg], rng)
            images, rows = label_scene(stage, crew.expert, scene, number + 1)
            yield images, [row | {"route": leg} for row in rows]


def _stop_lines(place: Place, leg: Leg) -> tuple[RouteStopLine, ...]:
    return find_stop_lines(place.world, place.planner.network.carla_map, leg.route)


class _Tape:
    """The clock of an episode: ticks the world and knows which frames have a picture.

    Attributes:
        ego: The vehicle.
        watch: Who else is there, on the present route; None where nobody is.
    """

    def __init__(self, world: carla.World, ego: Ego, every_ticks: int, all_images: bool) -> None:
        self._world = world
        self._every_ticks = every_ticks
        self._all_images = all_images
        self.ego = ego
        self.watch: Watch | None = None
        ego.apply(Control(brake=1.0))
        # The camera's interval counts from the first tick of its life.
        self._first = self._now = int(world.tick())
        for _ in range(_WARM_UP_TICKS):
            self.tick()

    @property
    def frame(self) -> int:
        """Frames since the beginning of the episode; the simulator's own count goes on."""
        return self._now - self._first

    @property
    def is_due(self) -> bool:
        """Whether this frame is one to keep."""
        return self.frame % self._every_ticks == 0

    def tick(self) -> None:
        """Advance the world."""
        self._now = int(self._world.tick())

    def observe(self, tick: int) -> Observation:
        """Return what there is to see, at a tick of the route."""
        with_image = self._all_images or self.is_due
        seen = self.ego.observe(self._now, tick * TICK_S, with_image=with_image)
        if self.watch is None:
            return seen
        return replace(seen, surroundings=self.watch.surroundings(self._world.get_snapshot()))

    def wait_for_room(self, pose: Pose) -> bool:
        """Tick until nobody is near a place, and return whether that came about."""
        if self.watch is None:
            return True
        self.ego.apply(Control(brake=1.0))
        for _ in range(FREE_START_TICKS):
            others = self.watch.surroundings(self._world.get_snapshot()).others
            if not any(
                math.hypot(one.pose.x_m - pose.x_m, one.pose.y_m - pose.y_m) < FREE_START_M
                for one in others
            ):
                return True
            self.tick()
        return False

    def put_down(self, pose: Pose, speed_mps: float) -> None:
        """Put the vehicle somewhere, moving straight ahead."""
        self.ego.vehicle.set_transform(transform_from_pose(pose, _PUT_DOWN_M))
        self.ego.vehicle.set_target_velocity(
            carla.Vector3D(
                speed_mps * math.cos(pose.yaw_rad), speed_mps * math.sin(pose.yaw_rad), 0.0
            )
        )
        self.ego.vehicle.set_target_angular_velocity(carla.Vector3D(0.0, 0.0, 0.0))
        self.ego.apply(Control())
        self.tick()


class _LegDrive:
    """One route of an episode, tick by tick."""

    def __init__(
        self, tape: _Tape, plan: CollectionPlan, crew: Crew, leg: Leg, number: int
    ) -> None:
        self._tape = tape
        self._plan = plan
        self._crew = crew
        self._leg = leg
        self._number = number
        self._progress = RouteProgress(leg.route)
        pushed = leg.disturbed and crew.driver is None
        self._bursts = bursts(plan.disturbances, leg.seed) if pushed else None
        hurried = leg.disturbed and tape.watch is not None
        self._pedal_bursts = pedal_bursts(plan.pedals, leg.seed) if hurried else None
        self._expert_in_charge = crew.driver is None

    def record(self) -> tuple[list[NDArray[np.uint8]], list[dict[str, Any]]]:
        """Drive the route to its end, or until it is lost; return pictures and rows."""
        images: list[NDArray[np.uint8]] = []
        rows: list[dict[str, Any]] = []
        contacts = len(self._tape.ego.collisions)
        if not self._tape.wait_for_room(self._leg.start):
            return images, rows
        self._tape.put_down(self._leg.start, self._leg.start_speed_mps)
        for agent in (self._crew.expert, self._crew.driver):
            if agent is not None:
                agent.begin(self._leg.route, self._leg.seed)
        for tick in range(_patience_ticks(self._leg.route)):
            seen = self._tape.observe(tick)
            pose = seen.pose
            position = self._progress.update(pose.x_m, pose.y_m, pose.yaw_rad)
            if self._is_over(position) or len(self._tape.ego.collisions) > contacts:
                break
            label = self._crew.expert.act(seen)
            steer, pushed = self._steer(seen, position, label.control)
            applied = replace(self._pedals(seen, position, label.control), steer=steer)
            self._tape.ego.apply(applied)
            if self._tape.is_due and tick >= SETTLE_TICKS and self._teaches(seen, tick):
                assert seen.image is not None  # noqa: S101 - every frame that is due has one
                images.append(seen.image)
                rows.append(self._row(seen, position, applied) | _traffic_row(label.diagnostics))
                rows[-1] |= {"steer_expert": label.control.steer, "perturbed": pushed}
            self._tape.tick()
        return images, rows

    def _teaches(self, seen: Observation, tick: int) -> bool:
        if seen.speed_mps >= STATIONARY_MPS:
            return True
        return self._tape.watch is not None and tick % STANDING_TICKS in (0, SCENE_TICKS)

    def _pedals(self, seen: Observation, position: RoutePosition, label: Control) -> Control:
        """Return the pedals to apply: the expert's, unless it brakes as hard as it can, disturbed.

        A steering of the expert's stays in it.
        """
        push = 0.0 if self._pedal_bursts is None else next(self._pedal_bursts)
        route = self._leg.route
        fastest_mps = self._plan.pedals.fastest * float(
            np.interp(position.s_m, route.s_m, route.target_speed_mps)
        )
        if push == 0.0 or label.brake == 1.0 or (push > 0.0 and seen.speed_mps > fastest_mps):
            return label
        return replace(label, throttle=max(push, 0.0), brake=max(-push, 0.0))

    def _is_over(self, position: RoutePosition) -> bool:
        # A route that began one lane off is allowed to be that far off.
        return (
            abs(position.cross_track_m) > LOST_M + abs(self._leg.lane_off_m)
            or abs(position.heading_error_rad) > LOST_RAD
            or position.s_m > self._leg.route.length_m - ARRIVAL_M
        )

    def _steer(
        self, seen: Observation, position: RoutePosition, label: Control
    ) -> tuple[float, bool]:
        """Return the steering to apply and whether it is a disturbed one."""
        off_m = abs(position.cross_track_m)
        push = 0.0 if self._bursts is None else next(self._bursts)
        if off_m > BURST_ENDS_M:
            push = 0.0
        push /= 1.0 + (seen.speed_mps / BURST_SPEED_MPS) ** 2
        steer = label.steer
        if self._crew.driver is not None:
            wanted = self._crew.driver.act(seen).control.steer
            limit_m = self._plan.give_back_m if self._expert_in_charge else self._plan.take_over_m
            self._expert_in_charge = off_m > limit_m
            steer = label.steer if self._expert_in_charge else wanted
        return min(max(steer + push, -1.0), 1.0), push != 0.0

    def _row(self, seen: Observation, position: RoutePosition, applied: Control) -> dict[str, Any]:
        route = self._leg.route
        nearest = min(int(np.searchsorted(route.s_m, position.s_m)), len(route.s_m) - 1)
        return {
            "frame": self._tape.frame,
            "time_s": self._tape.frame * TICK_S,
            "steer_applied": applied.steer,
            "throttle": applied.throttle,
            "brake": applied.brake,
            "speed_mps": seen.speed_mps,
            "command": route.command[nearest],
            "cross_track_m": position.cross_track_m,
            "heading_error_rad": position.heading_error_rad,
            "x_m": seen.pose.x_m,
            "y_m": seen.pose.y_m,
            "z_m": seen.pose.z_m,
            "yaw_rad": seen.pose.yaw_rad,
            "in_junction": route.in_junction[nearest],
            "route": self._number,
            "expert_in_charge": self._expert_in_charge,
            "ahead_m": points_ahead(route, position.s_m, seen.pose, AHEAD_M),
        }


def _traffic_row(reasons: Mapping[str, float]) -> dict[str, float]:
    """Return what an expert that minds others says of its speed."""
    return {name: reasons[name] for name in TRAFFIC_COLUMNS if name in reasons}


def _patience_ticks(route: Route) -> int:
    profile_s = float(np.sum(np.diff(route.s_m) / np.maximum(route.target_speed_mps[1:], 0.5)))
    return round((PATIENCE_S + 3.0 * profile_s) / TICK_S)


def _describe(
    plan: CollectionPlan, episode: EpisodePlan, legs: list[Leg], weather: Weather, frames: int
) -> dict[str, Any]:
    """Return the content of episode.json; nothing in it may differ from run to run."""
    return {
        "schema": SCHEMA,
        "town": episode.town,
        "episode_id": episode.episode_id,
        "weather": episode.weather,
        "weather_parameters": asdict(weather),
        "driver": episode.driver,
        "split": plan.split,
        "seed": plan.seed,
        "entropy": list(episode.entropy),
        "frames": frames,
        "tick_s": TICK_S,
        "capture_interval_s": plan.capture_every_ticks * TICK_S,
        "routes": [
            {
                "name": leg.route.name,
                "kind": leg.route.kind,
                "length_m": leg.route.length_m,
                "disturbed": leg.disturbed,
                "lane_off_m": leg.lane_off_m,
            }
            for leg in legs
        ],
        "settings": plan.describe(),
        "versions": {"bicameral": bicameral.__version__, "carla": CARLA_VERSION},
    }
