"""An expert that drives among others; it looks at the simulator's state."""

from __future__ import annotations

from typing import Final

from agent.expert import expert_steer
from agent.longitudinal import SpeedController
from agent.progress import RouteGuide
from agent.traffic_labels import TrafficLabel, label_state
from agent.way_ahead import HALF_LENGTH_M
from bicameral.types import CameraSpec, Control, Decision, Observation, Route, Surroundings

#: The speed controller brakes no harder than 4 m/s2; who would come too late brakes fully.
_EMERGENCY_MPS2: Final = 4.5
#: Slower than this at a stop sign's line is standing.
_STANDING_MPS: Final = 0.1
_AT_LINE_M: Final = 4.0


class TrafficExpert:
    """Drives a route by its geometry, the others and the lights: a `DrivingAgent`.

    Steering is the other expert's; without surroundings it drives as that one does.
    """

    def __init__(self) -> None:
        self._guide: RouteGuide | None = None
        self._speed = SpeedController()
        self._obeyed_m: set[float] = set()

    @property
    def name(self) -> str:
        """Short name for tables and files."""
        return "expert"

    @property
    def privileged(self) -> bool:
        """True: it knows the lane centre, the others and the lights."""
        return True

    @property
    def camera(self) -> CameraSpec | None:
        """None: it looks at nothing."""
        return None

    def begin(self, route: Route, seed: int) -> None:
        """Prepare for a route; the expert has no randomness, the seed is ignored."""
        del seed
        self._guide = RouteGuide(route)
        self._speed = SpeedController()
        self._obeyed_m = set()

    def act(self, observation: Observation) -> Decision:
        """Decide the control for the next tick.

        Args:
            observation: Pose, speed and surroundings are used.

        Returns:
            The control; the branch is the cause of the speed, ``"expert"`` where nobody else is.

        Raises:
            RuntimeError: If `begin` was not called.
        """
        guide = self._guide
        if guide is None:
            raise RuntimeError("TrafficExpert.act was called before begin(route, seed)")
        position = guide.update(observation.pose)
        target_mps = guide.target_speed_ahead(observation.speed_mps)
        cause, emergency = "expert", False
        if observation.surroundings is not None and not guide.finished:
            label = self._label(guide, observation, observation.surroundings)
            target_mps, cause = label.target_speed_mps, label.cause
            emergency = label.deceleration_mps2 > _EMERGENCY_MPS2
        throttle, brake = self._speed.control(observation.speed_mps, target_mps)
        steer = expert_steer(guide, observation.pose, observation.speed_mps)
        return Decision(
            control=Control(
                throttle=0.0 if emergency else throttle,
                steer=steer,
                brake=1.0 if emergency else brake,
            ),
            branch=cause,
            diagnostics={
                "cross_track_m": position.cross_track_m,
                "target_speed_mps": target_mps,
            },
        )

    def close(self) -> None:
        """Nothing to release."""

    def _label(
        self, guide: RouteGuide, observation: Observation, surroundings: Surroundings
    ) -> TrafficLabel:
        front_m = guide.position.s_m + HALF_LENGTH_M
        if abs(observation.speed_mps) < _STANDING_MPS:
            self._obeyed_m |= {
                line.s_m
                for line in surroundings.stop_lines
                if line.light is None and 0.0 <= line.s_m - front_m < _AT_LINE_M
            }
        return label_state(
            guide, observation.pose, observation.speed_mps, surroundings, self._obeyed_m
        )
