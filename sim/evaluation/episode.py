"""One drive of one route by one agent, tick by tick."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, replace
from typing import Any

import carla
import numpy as np

import bicameral
from bicameral.errors import AgentLostError
from bicameral.progress import RoutePosition, RouteProgress
from bicameral.protocols import DrivingAgent
from bicameral.simulation import CARLA_VERSION, TICK_S
from bicameral.types import Control, Decision, Observation
from sim.client.connection import simulator_errors
from sim.client.ego import CHASE_CAMERA, CameraSetup, Ego
from sim.client.traffic import Traffic
from sim.client.weather import apply_weather
from sim.evaluation.collisions import count_collisions
from sim.evaluation.conditions import CameraFault
from sim.evaluation.limits import Limits, Referee, Status
from sim.evaluation.others import Watch, find_stop_lines
from sim.evaluation.perturbation import Disturbance, draw_disturbance, steering_noise
from sim.evaluation.plan import EpisodeSpec
from sim.evaluation.records import COLUMNS, EpisodeRecord, Trajectory
from sim.evaluation.video import VideoWriter
from sim.routes.weathers import weather_along

_LOG = logging.getLogger(__name__)

#: Braked ticks before the first observation: the vehicle drops onto the road and comes to rest.
WARM_UP_TICKS = 20

_TRAFFIC_LIGHT_CODES = {"Red": 1, "Yellow": 2, "Green": 3}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Where an episode takes place.

    Attributes:
        client: Of the simulator.
        world: Freshly loaded world of the route's town, synchronous.
        town_map: Its map.
        driven_on: ``"pocket"`` or ``"carla"``.
        limits: Rules that end the episode.
    """

    client: carla.Client
    world: carla.World
    town_map: carla.Map
    driven_on: str
    limits: Limits


def run_episode(
    stage: Stage, spec: EpisodeSpec, agent: DrivingAgent, video: VideoWriter | None = None
) -> EpisodeRecord:
    """Drive one episode.

    Args:
        stage: The world to drive in.
        spec: What to drive.
        agent: Who drives; an exception in it ends the episode as "Agent crashed".
        video: Where each tick's picture goes, or None.

    Returns:
        The record, with restarts 0.

    Raises:
        SimulatorLostError: If the simulator stops answering.
        AgentLostError: If an agent elsewhere does.
    """
    began = time.perf_counter()
    disturbance = _disturbance(spec)
    with simulator_errors(f"driving episode {spec.episode_id!r}"):
        apply_weather(stage.world, disturbance.weather)
        chase = None if video is None else CHASE_CAMERA
        with (
            Ego(
                stage.world,
                disturbance.start,
                camera=agent.camera,
                camera_setup=CameraSetup(
                    error=_camera_fault(spec).mount,
                    # Agents are anyone's code; few have such a camera.
                    pace=getattr(agent, "pace_camera", None),
                ),
                chase_camera=chase,
            ) as ego,
            _traffic_of(stage, spec, disturbance) as traffic,
        ):
            watch = None if traffic is None else _watch(stage, spec, traffic)
            drive = _Drive(stage, spec, agent, _Eyes(ego=ego, watch=watch, video=video))
            status, message = drive.run(disturbance)
            # Events of the last tick may still be on their way.
            for _ in range(2):
                stage.world.tick()
    trajectory = drive.trajectory()
    collisions, ticks_hit_standing = count_collisions(ego.collisions, drive.first_frame, trajectory)
    return EpisodeRecord(
        **_identity(spec, disturbance, stage.driven_on),
        privileged=agent.privileged,
        status=status,
        message=message,
        collisions=collisions,
        ticks_hit_standing=ticks_hit_standing,
        lane_invasions=tuple(
            replace(event, frame=event.frame - drive.first_frame)
            for event in sorted(ego.lane_invasions, key=lambda event: event.frame)
            if 0 <= event.frame - drive.first_frame < drive.ticks
        ),
        branches=tuple(drive.branches),
        wall_time_s=time.perf_counter() - began,
        trajectory=trajectory,
        **({} if watch is None else watch.record(drive.ticks)),
    )


def crashed_episode(spec: EpisodeSpec, driven_on: str, message: str) -> EpisodeRecord:
    """Return the record of an episode that the simulator never let finish: no ticks at all."""
    return EpisodeRecord(
        **_identity(spec, _disturbance(spec), driven_on),
        status=Status.SIMULATION_CRASHED,
        message=message,
        trajectory=Trajectory(**{name: [] for name in COLUMNS}),
    )


class _AgentCrashedError(Exception):
    """Whatever an agent raised; agents are anyone's code, so it may be anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Eyes:
    """What an episode is seen through: the vehicle, who watches the others, and the video."""

    ego: Ego
    watch: Watch | None
    video: VideoWriter | None


class _Drive:
    """The loop of one episode and the rows it records."""

    def __init__(
        self,
        stage: Stage,
        spec: EpisodeSpec,
        agent: DrivingAgent,
        eyes: _Eyes,
    ) -> None:
        self._stage = stage
        self._spec = spec
        self._agent = agent
        self._ego = eyes.ego
        self._watch = eyes.watch
        self._patch = _camera_fault(spec).patch
        self._video = eyes.video
        self._columns: dict[str, Any] = {name: [] for name in COLUMNS}
        self._diagnostics: dict[str, list[float]] = {}
        self._percentage = 0
        self.branches: list[str] = []
        self.first_frame = 0

    @property
    def ticks(self) -> int:
        """Number of recorded rows."""
        return len(self._columns["frame"])

    def run(self, disturbance: Disturbance) -> tuple[Status, str]:
        """Drive until the referee or an error of the agent ends it."""
        route = self._spec.route
        progress = RouteProgress(route)
        referee = Referee(route, self._stage.limits)
        noise = steering_noise(self._spec.perturbation, disturbance.noise_seed)
        try:
            self._begin()
            for observation in self._observations():
                decision = self._ask(observation)
                sent = _disturb(decision.control, next(noise))
                self._ego.apply(sent)
                pose = observation.pose
                position = progress.update(pose.x_m, pose.y_m, pose.yaw_rad)
                self._record(observation, decision, sent, position)
                if self._video is not None and self._video.wants_next():
                    self._video.add(self._ego.chase_image(), observation, decision)
                self._change_weather(position.s_m)
                status = referee.judge(observation.time_s, position, observation.speed_mps)
                if status is not None:
                    return status, ""
        except _AgentCrashedError as crash:
            _LOG.warning("episode %s: agent crashed", self._spec.episode_id, exc_info=crash)
            return Status.AGENT_CRASHED, str(crash)
        raise AssertionError("the observations never end")

    def trajectory(self) -> Trajectory:
        """Return the recorded rows; a tick that the agent did not survive is left out."""
        return Trajectory(**self._columns, diagnostics=self._diagnostics)

    def _begin(self) -> None:
        try:
            self._agent.begin(self._spec.route, self._spec.seed)
        except AgentLostError:
            raise
        except Exception as error:
            raise _AgentCrashedError(f"{type(error).__name__}: {error}") from error

    def _ask(self, observation: Observation) -> Decision:
        try:
            decision = self._agent.act(observation)
        except AgentLostError:
            raise
        except Exception as error:
            raise _AgentCrashedError(f"{type(error).__name__}: {error}") from error
        control = decision.control
        if not all(map(math.isfinite, (control.throttle, control.steer, control.brake))):
            raise _AgentCrashedError(f"a control must be finite, the agent gave {control}")
        return decision

    def _observations(self) -> Iterator[Observation]:
        world = self._stage.world
        for _ in range(WARM_UP_TICKS):
            self._ego.apply(Control(brake=1.0))
            self.first_frame = int(world.tick())
        frame = self.first_frame
        while True:
            yield self._observe(frame)
            frame = int(world.tick())

    def _change_weather(self, s_m: float) -> None:
        """Set the weather that the route has here, in steps of a hundredth of the route."""
        percentage = math.floor(100.0 * s_m / self._spec.route.length_m)
        if len(self._spec.sky) < 2 or percentage == self._percentage:
            return
        self._percentage = percentage
        apply_weather(self._stage.world, weather_along(self._spec.sky, percentage))

    def _observe(self, frame: int) -> Observation:
        seen = self._ego.observe(frame, (frame - self.first_frame) * TICK_S)
        if self._watch is not None:
            snapshot = self._stage.world.get_snapshot()
            self._watch.look(snapshot)
            if self._agent.privileged:
                seen = replace(seen, surroundings=self._watch.surroundings(snapshot))
        if self._patch is None or seen.image is None:
            return seen
        return replace(seen, image=self._patch.cover(seen.image))

    def _record(
        self,
        observation: Observation,
        decision: Decision,
        sent: Control,
        position: RoutePosition,
    ) -> None:
        pose = observation.pose
        if decision.branch not in self.branches:
            self.branches.append(decision.branch)
        self._column(
            frame=observation.frame - self.first_frame,
            time_s=observation.time_s,
            x_m=pose.x_m,
            y_m=pose.y_m,
            z_m=pose.z_m,
            yaw_rad=pose.yaw_rad,
            speed_mps=observation.speed_mps,
            steer=sent.steer,
            throttle=sent.throttle,
            brake=sent.brake,
            steer_noise=sent.steer - decision.control.steer,
            steer_raw=_number(decision.steer_raw),
            confidence=_number(decision.confidence),
            entropy=_number(decision.entropy),
            branch=self.branches.index(decision.branch),
            asked_b=float(decision.diagnostics.get("asked_b", 0.0) > 0.0),
            inference_s=decision.inference_s,
            progress_m=position.s_m,
            cross_track_m=position.cross_track_m,
            heading_error_rad=position.heading_error_rad,
            off_road=float(self._is_off_road(observation)),
            traffic_light=self._traffic_light_code(),
        )
        self._record_diagnostics(decision.diagnostics)

    def _record_diagnostics(self, values: Mapping[str, float]) -> None:
        earlier = self.ticks - 1
        for name in values:
            if name != "asked_b" and name not in self._diagnostics:
                self._diagnostics[name] = [np.nan] * earlier
        for name, column in self._diagnostics.items():
            column.append(float(values.get(name, np.nan)))

    def _column(self, **values: float) -> None:
        for name, value in values.items():
            self._columns[name].append(value)

    def _is_off_road(self, observation: Observation) -> bool:
        pose = observation.pose
        waypoint = self._stage.town_map.get_waypoint(
            carla.Location(x=pose.x_m, y=pose.y_m, z=pose.z_m),
            project_to_road=False,
            lane_type=carla.LaneType.Driving,
        )
        return waypoint is None

    def _traffic_light_code(self) -> int:
        vehicle = self._ego.vehicle
        if not vehicle.is_at_traffic_light():
            return 0
        return _TRAFFIC_LIGHT_CODES.get(str(vehicle.get_traffic_light_state()), 4)


def _traffic_of(
    stage: Stage, spec: EpisodeSpec, disturbance: Disturbance
) -> AbstractContextManager[Traffic | None]:
    if not spec.traffic:
        return nullcontext()
    return Traffic(stage.client, stage.world, spec.traffic, start=disturbance.start, seed=spec.seed)


def _watch(stage: Stage, spec: EpisodeSpec, traffic: Traffic) -> Watch:
    lines = find_stop_lines(stage.world, stage.town_map, spec.route)
    return Watch(traffic, stage.town_map, lines)


def _disturb(control: Control, noise: float) -> Control:
    return replace(control, steer=min(max(control.steer + noise, -1.0), 1.0))


def _disturbance(spec: EpisodeSpec) -> Disturbance:
    # A routes file says exactly which weather is to be driven.
    perturbation = replace(spec.perturbation, weather=0.0) if spec.sky else spec.perturbation
    return draw_disturbance(spec.route, spec.condition.weather, perturbation, spec.seed)


def _camera_fault(spec: EpisodeSpec) -> CameraFault:
    return spec.condition.draw_fault(spec.seed)


def _identity(spec: EpisodeSpec, disturbance: Disturbance, driven_on: str) -> dict[str, Any]:
    """Return what is known of an episode before it is driven."""
    return {
        "episode_id": spec.episode_id,
        "role": spec.role,
        "agent": spec.agent.name,
        "correction": spec.agent.correction,
        "route": spec.route.name,
        "town": spec.route.town,
        "weather": spec.weather,
        "seed": spec.seed,
        "repetition": spec.repetition,
        "versions": {
            "bicameral": bicameral.__version__,
            "carla": CARLA_VERSION,
            "simulator": CARLA_VERSION,
        },
        "trained_on": spec.agent.trained_on,
        "driven_on": driven_on,
        "weather_parameters": asdict(disturbance.weather),
        "camera_fault": _camera_fault(spec).describe(),
        "start": asdict(disturbance.start),
    }


def _number(value: float | None) -> float:
    return np.nan if value is None else value
