"""The expert: steers along the lane centre that it is told, and can label any state.

The law is Stanley's idea (Hoffmann et al., "Autonomous Automobile Trajectory Tracking for Off-Road
Driving", 2007) written in curvature: the cross-track error sets a wanted course towards the route,
the course error sets a curvature, and the curvature of the route is added as feed-forward. It has
no memory, so the same state always gets the same label, on the route or off it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from agent.longitudinal import SpeedController
from agent.progress import RouteGuide
from agent.vehicle_model import sideslip_rad, steer_from_curvature
from bicameral.types import CameraSpec, Control, Decision, Observation, Pose, Route

#: The steering acts about this much later than the pose was measured: one tick until the control
#: is applied, and the lag of wheels and tyres.
_LATENCY_S: Final = 0.1
#: Arc length over which a course error is steered out: at least, and per m/s of speed.
_COURSE_LENGTH_M: Final = 2.5
_COURSE_LENGTH_S: Final = 0.45
#: The cross-track error decays over this multiple of it; 3 gives a damping ratio of 0.87.
_CROSS_TRACK_FACTOR: Final = 3.0
#: The steepest course back to the route.
_MAX_RETURN_RAD: Final = 0.5


def expert_steer(guide: RouteGuide, pose: Pose, speed_mps: float) -> float:
    """Return the steering that leads back to the route and along it.

    Args:
        guide: Already updated to (about) this pose.
        pose: Any pose within some metres of the route.
        speed_mps: Forward speed.

    Returns:
        Steering in -1..1, positive right.
    """
    speed_mps = max(speed_mps, 0.0)
    curvature = guide.curvature_at(guide.position.s_m)
    soon = _predict(pose, speed_mps, curvature)
    position = guide.look_from(soon)
    length_m = max(_COURSE_LENGTH_M, _COURSE_LENGTH_S * speed_mps)
    curvature = guide.curvature_at(position.s_m)
    course_error_rad = position.heading_error_rad + sideslip_rad(curvature, speed_mps)
    back_rad = math.atan(position.cross_track_m / (_CROSS_TRACK_FACTOR * length_m))
    back_rad = max(-_MAX_RETURN_RAD, min(_MAX_RETURN_RAD, back_rad))
    wanted = curvature - (course_error_rad + back_rad) / length_m
    return steer_from_curvature(wanted, speed_mps)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast the expert wants to be.

    Attributes:
        target_mps: Wanted speed.
        cause: What decided it; the branch of the decision.
        full_brake: Whether to brake harder than the speed controller would.
        reasons: Further numbers for the decision's diagnostics.
    """

    target_mps: float
    cause: str = "expert"
    full_brake: bool = False
    reasons: Mapping[str, float] = field(default_factory=dict)


class ExpertAgent:
    """Drives a route from its geometry alone; a `bicameral.protocols.DrivingAgent`."""

    name = "expert"
    #: It knows the lane centre and its own pose, if not more.
    privileged = True
    #: It looks at nothing.
    camera: CameraSpec | None = None

    def __init__(self) -> None:
        self._guide: RouteGuide | None = None
        self._speed = SpeedController()

    def begin(self, route: Route, seed: int) -> None:
        """Prepare for a route; the expert has no randomness, the seed is ignored."""
        del seed
        self._guide = RouteGuide(route)
        self._speed = SpeedController()

    def act(self, observation: Observation) -> Decision:
        """Decide the control for the next tick.

        Args:
            observation: Pose and speed are used, and the surroundings by those who look at them.

        Returns:
            The control, with diagnostics `cross_track_m` and `target_speed_mps`. The branch is the
            cause of the speed, ``"expert"`` if that is the route alone.

        Raises:
            RuntimeError: If `begin` was not called.
        """
        guide = self._guide
        if guide is None:
            raise RuntimeError(f"{type(self).__name__}.act was called before begin(route, seed)")
        position = guide.update(observation.pose)
        pace = self._pace(guide, observation)
        throttle, brake = self._speed.control(observation.speed_mps, pace.target_mps)
        if pace.full_brake:
            throttle, brake = 0.0, 1.0
        steer = expert_steer(guide, observation.pose, observation.speed_mps)
        return Decision(
            control=Control(throttle=throttle, steer=steer, brake=brake),
            branch=pace.cause,
            diagnostics={
                "cross_track_m": position.cross_track_m,
                "target_speed_mps": pace.target_mps,
                **pace.reasons,
            },
        )

    def close(self) -> None:
        """Nothing to release."""

    def _pace(self, guide: RouteGuide, observation: Observation) -> Pace:
        """Return how fast to be here."""
        return Pace(target_mps=guide.target_speed_ahead(observation.speed_mps))


def _predict(pose: Pose, speed_mps: float, curvature_per_m: float) -> Pose:
    """Move a pose along the route's arc for the latency of the steering."""
    distance_m = speed_mps * _LATENCY_S
    turned_rad = distance_m * curvature_per_m
    course_rad = pose.yaw_rad + sideslip_rad(curvature_per_m, speed_mps) + turned_rad / 2.0
    return Pose(
        x_m=pose.x_m + distance_m * math.cos(course_rad),
        y_m=pose.y_m + distance_m * math.sin(course_rad),
        z_m=pose.z_m,
        yaw_rad=pose.yaw_rad + turned_rad,
    )
