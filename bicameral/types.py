"""The vocabulary that all parts share: plain frozen values, numpy arrays, no behaviour.

Frame: CARLA's world frame everywhere, left-handed, x forward, y right, z up, metres. Yaw turns x
towards y, so positive yaw and positive steering both mean *right*.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class RoadOption(IntEnum):
    """What the navigation asks for; the numbers are those of CARLA's own planner."""

    LEFT = 1
    RIGHT = 2
    STRAIGHT = 3
    LANE_FOLLOW = 4
    CHANGE_LANE_LEFT = 5
    CHANGE_LANE_RIGHT = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Pose:
    """A position and an orientation in the world frame."""

    x_m: float
    y_m: float
    z_m: float = 0.0
    pitch_rad: float = 0.0
    yaw_rad: float = 0.0
    roll_rad: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """One command to a vehicle: throttle and brake 0..1, steer -1..1 (positive right)."""

    throttle: float = 0.0
    steer: float = 0.0
    brake: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraSpec:
    """A pinhole camera on the vehicle; the pose is relative to the vehicle's origin."""

    width: int
    height: int
    fov_deg: float
    x_m: float
    z_m: float
    pitch_deg: float


#: The camera of every agent that this project trains. Place and field of view are CARIL's
#: (x 1.5 m, z 2.4 m, 110 degrees); it looks 15 degrees down and is wide rather than square, so
#: that few pixels are spent on the sky. Negative pitch looks down.
AGENT_CAMERA = CameraSpec(width=320, height=160, fov_deg=110.0, x_m=1.5, z_m=2.4, pitch_deg=-15.0)

#: A second camera in the same place, for others and lights. It has twice as many pixels a degree: a
#: lamp of 0.27 m is 3 pixels wide at 20 m. It looks 20 degrees up, where the head on a light's arm
#: is at 10 m, and 18 down, to the road 7 m ahead.
PACE_CAMERA = CameraSpec(width=320, height=160, fov_deg=70.0, x_m=1.5, z_m=2.4, pitch_deg=1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """The lane centre line to drive, sampled about every metre, with what a navigator knows.

    All arrays have N rows, in driving order.

    Attributes:
        name: Unique within an evaluation, e.g. ``"RouteScenario_3"``.
        town: Name of the map.
        kind: What the route is there to test: ``curves``, ``highway``, ``left``, ``right``,
            ``straight`` or ``mixed``.
        xyz_m: (N, 3) float64, world frame.
        yaw_rad: (N,) float64, heading of the lane, unwrapped (no jumps of 2 pi).
        s_m: (N,) float64, distance along the route, starting at 0.
        command: (N,) int8, a `RoadOption` per point.
        in_junction: (N,) bool.
        lane_width_m: (N,) float64.
        speed_limit_mps: (N,) float64.
        target_speed_mps: (N,) float64, speed profile limited by curvature and speed limit.
    """

    name: str
    town: str
    kind: str
    xyz_m: NDArray[np.float64]
    yaw_rad: NDArray[np.float64]
    s_m: NDArray[np.float64]
    command: NDArray[np.int8]
    in_junction: NDArray[np.bool_]
    lane_width_m: NDArray[np.float64]
    speed_limit_mps: NDArray[np.float64]
    target_speed_mps: NDArray[np.float64]

    @property
    def length_m(self) -> float:
        """Length of the route."""
        return float(self.s_m[-1])


@dataclass(frozen=True, slots=True, kw_only=True)
class RoadUser:
    """Another vehicle or a walker.

    Attributes:
        walker: Whether it is a walker.
        pose: Of its origin.
        velocity_mps: Forward and to the right in the world frame: x and y.
        yaw_rate_radps: How fast it turns, positive to the right.
        half_length_m: Of its box, along its heading.
        half_width_m: Of its box, across.
        in_junction: Whether it is a vehicle in a junction.
    """

    walker: bool
    pose: Pose
    velocity_mps: tuple[float, float]
    yaw_rate_radps: float
    half_length_m: float
    half_width_m: float
    in_junction: bool


class LightState(IntEnum):
    """What a traffic light shows, with the numbers of a stored trajectory."""

    RED = 1
    YELLOW = 2
    GREEN = 3
    OTHER = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class StopLine:
    """A line on the route at which one may have to stop.

    Attributes:
        s_m: Where it is, as arc length of the route.
        light: What its light shows; None for a stop sign.
    """

    s_m: float
    light: LightState | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What only the simulator knows: who else is there, and what the lights of the route show.

    Attributes:
        others: Everybody but the vehicle itself.
        stop_lines: All of the route, in order.
    """

    others: tuple[RoadUser, ...]
    stop_lines: tuple[StopLine, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What an agent sees at one tick.

    Attributes:
        frame: Simulator frame number.
        time_s: Simulated time since the episode began.
        image: (H, W, 3) uint8 RGB of the agent's camera at exactly this frame; None if the agent
            has no camera.
        pace_image: Likewise of the camera for its pace.
        pose: Pose of the vehicle (what a positioning system knows).
        speed_mps: Forward speed.
        surroundings: For a privileged agent among others: what the simulator knows of them;
            otherwise None.
    """

    frame: int
    time_s: float
    image: NDArray[np.uint8] | None
    pose: Pose
    speed_mps: float
    surroundings: Surroundings | None = None
    pace_image: NDArray[np.uint8] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What an agent decided, and how sure it was.

    Attributes:
        control: The command for the next tick.
        confidence: How sure the agent is, 0..1: the calibrated probability of the most probable
            steering class, or, of an agent that sees the path, that the path is right within half a
            metre, 10 m ahead. None when it has no classifier.
        entropy: Entropy of the calibrated class probabilities in nats, or None.
        branch: Name of the branch of the correction rule that was taken, e.g. ``"none"``,
            ``"paper_4_jitter"``, ``"second_opinion_b"``.
        steer_raw: Steering of the regression head before any correction, -1..1, or None.
        diagnostics: Further numbers to record per tick, e.g. ``{"asked_b": 1.0}``.
        inference_s: CPU time of the networks.
    """

    control: Control
    confidence: float | None = None
    entropy: float | None = None
    branch: str = "none"
    steer_raw: float | None = None
    diagnostics: Mapping[str, float] = field(default_factory=dict)
    inference_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A number that cannot lose its unit, and that says when there was nothing to measure."""

    value: float
    unit: str
    valid: bool = True


class Trace(NamedTuple):
    """How the answer for one image came about.

    A tuple, for there is one an image, and a frozen dataclass takes five times as long to make.

    Attributes:
        stage: Who answered: ``memory``, ``a``, ``b`` (A and B combined), ``c`` and so on, or
            ``block_k`` of an early exit.
        memory_hit: Whether the result memory answered.
        confidence_a: The gate's score of A, or after the first block, 0..1; None if it did not run.
        stage_times_s: Seconds per stage. A stage computes a whole batch at once, so this is the
            image's share of it.
    """

    stage: str
    memory_hit: bool
    confidence_a: float | None
    stage_times_s: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """Answers for N images.

    Attributes:
        probabilities: (N, C) float32, calibrated, rows sum to 1.
        confidence: (N,) float32, 0..1, high = sure: the most probable class's probability.
        trace: One entry per image, or None where a single network answered.
    """

    probabilities: NDArray[np.float32]
    confidence: NDArray[np.float32]
    trace: tuple[Trace, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryCounters:
    """What a result memory did since it was made.

    Attributes:
        lookups: Images looked up.
        hits: Lookups that were answered.
        verified: Hits whose stored thumbnail was compared with the image.
        rejected: Candidates that the comparison refused.
        stored: Results stored.
        not_stored: Results that were not confident enough to store.
        evicted: Entries dropped because the memory was full.
        expired: Entries dropped because of their age.
        skipped: Lookups and stores that an unreachable backend did not answer in time.
        suspended: Lookups that looked for the same pixels only, because near duplicates had become
            rare on this stream.
        entries: Entries held now.
    """

    lookups: int = 0
    hits: int = 0
    verified: int = 0
    rejected: int = 0
    stored: int = 0
    not_stored: int = 0
    evicted: int = 0
    expired: int = 0
    skipped: int = 0
    suspended: int = 0
    entries: int = 0
