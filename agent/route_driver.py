"""What every agent with a camera does alike: follow the route, set the pedals, apply in time."""

from __future__ import annotations

import math
from collections import deque

from agent.longitudinal import SpeedController
from agent.progress import RouteGuide
from bicameral.errors import ConfigError
from bicameral.types import Control, Pose, RoadOption, Route


class RouteDriver:
    """Turns a steering value per tick into bounded controls, perhaps delayed.

    Throttle and brake follow the speed profile of the planned route, which a navigation system
    knows: limited by curvature and speed limit. The command comes from the route, too.

    Attributes:
        output_errors: Steering values so far in this episode that were no number or lay outside
            -1..1.
    """

    def __init__(self, delay_ticks: int) -> None:
        """Set the delay.

        Args:
            delay_ticks: Further ticks between a picture and its control; until the first one
                arrives the vehicle rolls without pedals.

        Raises:
            ConfigError: If it is negative.
        """
        if delay_ticks < 0:
            raise ConfigError(f"delay_ticks is {delay_ticks}, expected 0 or more")
        self._delay_ticks = delay_ticks
        self._pending: deque[Control] = deque()
        self._guide: RouteGuide | None = None
        self._speed = SpeedController()
        self._last_steer = 0.0
        self.output_errors = 0

    def begin(self, route: Route) -> None:
        """Forget the last episode and prepare for this route."""
        self._guide = RouteGuide(route)
        self._speed = SpeedController()
        self._pending = deque([Control()] * self._delay_ticks)
        self._last_steer = 0.0
        self.output_errors = 0

    def update(self, pose: Pose) -> RoadOption:
        """Follow the vehicle to its pose of this tick and return what the navigation asks for.

        Raises:
            RuntimeError: If `begin` was not called.
        """
        if self._guide is None:
            raise RuntimeError("act was called before begin(route, seed)")
        self._guide.update(pose)
        return self._guide.command

    def control(self, speed_mps: float, steer: float, speed_factor: float) -> Control:
        """Take the steering for this tick's picture and return the control that is due.

        Args:
            speed_mps: Forward speed now.
            steer: Raw steer; it is clipped, and one that is no number repeats the last.
            speed_factor: Factor 0..1 on the wanted speed.
        """
        assert self._guide is not None  # noqa: S101 - update has checked it
        target_mps = self._guide.target_speed_ahead(speed_mps)
        throttle, brake = self._speed.control(speed_mps, target_mps, speed_factor)
        bounded = min(max(steer, -1.0), 1.0) if math.isfinite(steer) else self._last_steer
        self.output_errors += bounded != steer
        self._last_steer = bounded
        self._pending.append(Control(throttle=throttle, steer=bounded, brake=brake))
        return self._pending.popleft()
