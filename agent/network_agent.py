"""What every agent with a driver's network does alike, from a camera picture to a control.

Only the steering is learned. Throttle and brake follow the speed profile of the planned route,
which a navigation system knows: limited by curvature and speed limit. The command comes from the
route, too. An agent sees no obstacles and no traffic lights without a network that sets its pace.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import deque
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from agent.correction.protocol import Answers, Correction, Rule
from agent.longitudinal import SpeedController
from agent.progress import RouteGuide
from bicameral.errors import ConfigError, DataError
from bicameral.types import CameraSpec, Control, Decision, Observation, Pose, RoadOption, Route
from edge.driver_model import DriverModel

ModelT = TypeVar("ModelT", bound=DriverModel[Any])
RuleT = TypeVar("RuleT", bound=Rule)


class NetworkAgent(ABC, Generic[ModelT, RuleT]):
    """A `bicameral.protocols.DrivingAgent` with one or two networks.

    The control for tick t+1 comes from the picture of tick t, or of tick t - `delay_ticks`.
    """

    _kind: ClassVar[str]
    #: A camera, a speedometer, and a navigator; where the map counts, a noisy one.
    privileged = False

    def __init__(
        self, models: tuple[ModelT, ModelT | None], rule: RuleT, *, delay_ticks: int = 0
    ) -> None:
        """Join networks and rule.

        Args:
            models: Network A, and network B or None.
            rule: What becomes of their answers.
            delay_ticks: Further ticks between a picture and its control; until the first one
                arrives the vehicle rolls without pedals.

        Raises:
            ConfigError: If the delay is negative, or the two networks want different cameras.
        """
        self._models = models
        self._networks = [model for model in models if model is not None]
        if any(one.agent.camera != self._network.agent.camera for one in self._networks):
            names = " and ".join(repr(one.name) for one in self._networks)
            raise ConfigError(f"{names} were trained with different cameras")
        self._rule = rule
        self._driver = RouteDriver(delay_ticks)

    @property
    def name(self) -> str:
        """Kind of the agent and name of network A."""
        return f"{self._kind}-{self._network.name}"

    @property
    def correction(self) -> str:
        """Name of the correction."""
        return self._rule.name

    @property
    def trained_on(self) -> str:
        """Simulator of network A's training data."""
        return self._network.agent.trained_on

    @property
    def camera(self) -> CameraSpec | None:
        """The camera of the training data."""
        return self._network.agent.camera

    def begin(self, route: Route, seed: int) -> None:
        """Forget the last episode and prepare for this route."""
        self._driver.begin(route)
        self._rule.begin(seed)

    def act(self, observation: Observation) -> Decision:
        """Decide the control for the next tick.

        Confidence, branch and diagnostics belong to this tick's picture, also when the control is
        delayed. The diagnostic ``output_errors`` counts the ticks so far in this episode in which
        an answer or the steering was no number, or the steering lay outside -1..1.

        Raises:
            RuntimeError: If `begin` was not called.
            DataError: If the observation has no picture.
        """
        command = self._driver.update(observation.pose)
        if observation.image is None:
            raise DataError(f"frame {observation.frame} has no picture; mount the agent's camera")
        correction, answers = self._decide(observation, observation.image, command)
        control = self._driver.control(
            observation.speed_mps,
            correction.steer,
            correction.speed_factor,
            limit_mps=correction.limit_mps,
            least_brake=correction.least_brake,
        )
        return Decision(
            control=control,
            confidence=correction.confidence,
            entropy=correction.entropy,
            branch=correction.branch,
            steer_raw=correction.steer_raw,
            diagnostics={
                **correction.diagnostics,
                "output_errors": float(self._driver.output_errors),
            },
            inference_s=answers.inference_s,
        )

    def close(self) -> None:
        """Release the networks."""
        for network in self._networks:
            network.close()

    @property
    def _network(self) -> ModelT:
        return self._models[0]

    @abstractmethod
    def _decide(
        self, observation: Observation, picture: NDArray[np.uint8], command: RoadOption
    ) -> tuple[Correction, Answers[Any, Any]]:
        """Return what the rule makes of this tick, and the answers that it asked for."""


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

    def control(
        self,
        speed_mps: float,
        steer: float,
        speed_factor: float,
        *,
        limit_mps: float = math.inf,
        least_brake: float = 0.0,
    ) -> Control:
        """Take the steering for this tick's picture and return the control that is due.

        Args:
            speed_mps: Forward speed now.
            steer: Raw steer; it is clipped, and one that is no number repeats the last.
            speed_factor: Factor 0..1 on the wanted speed.
            limit_mps: How fast to drive at most.
            least_brake: Brake at least so hard, 0..1; above 0 without throttle.
        """
        assert self._guide is not None  # noqa: S101 - update has checked it
        target_mps = min(self._guide.target_speed_ahead(speed_mps), limit_mps)
        throttle, brake = self._speed.control(speed_mps, target_mps, speed_factor)
        if least_brake > 0.0:
            throttle, brake = 0.0, max(brake, least_brake)
        bounded = min(max(steer, -1.0), 1.0) if math.isfinite(steer) else self._last_steer
        self.output_errors += bounded != steer
        self._last_steer = bounded
        self._pending.append(Control(throttle=throttle, steer=bounded, brake=brake))
        return self._pending.popleft()
