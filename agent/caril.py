"""The driving agent: a camera picture to a control.

Only the steering is learned. Throttle and brake follow the speed profile of the planned route,
which a navigation system knows: limited by curvature and speed limit. The command comes from the
route, too. The agent sees no obstacles and no traffic lights.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent.correction.protocol import CorrectionRule, Opinions
from agent.correction.registry import CorrectionParts, make_correction
from agent.correction.second_opinion import SecondOpinionSettings
from agent.route_driver import RouteDriver, shared_camera
from bicameral.errors import ConfigError, DataError
from bicameral.types import CameraSpec, Decision, Observation, Route
from edge.dual_head import DualHeadModel
from edge.shipped import resolve_model


class CarilAgent:
    """A `bicameral.protocols.DrivingAgent` with one or two dual-head networks.

    The control for tick t+1 comes from the picture of tick t, or of tick t - `delay_ticks`.
    """

    def __init__(
        self,
        models: tuple[DualHeadModel, DualHeadModel | None],
        correction: CorrectionRule,
        *,
        delay_ticks: int = 0,
    ) -> None:
        """Join networks and correction.

        Args:
            models: Network A, and network B or None.
            correction: What becomes of their answers.
            delay_ticks: Further ticks between a picture and its control; until the first one
                arrives the vehicle rolls without pedals.

        Raises:
            ConfigError: If the delay is negative, or the two networks want different cameras.
        """
        networks = [model for model in models if model is not None]
        self._camera = shared_camera(
            [model.name for model in networks], [model.agent.camera for model in networks]
        )
        self._models = models
        self._correction = correction
        self._driver = RouteDriver(delay_ticks)

    @classmethod
    def load(
        cls,
        model: str | Path,
        correction: str = "none",
        second: str | Path | None = None,
        *,
        delay_ticks: int = 0,
        second_opinion: Mapping[str, Any] | None = None,
    ) -> CarilAgent:
        """Load an agent from model files.

        Args:
            model: Path of network A's ``.onnx`` or sidecar, or the name of a shipped model.
            correction: ``none``, ``paper`` or ``second_opinion``.
            second: Network B, likewise; loaded only if the correction is ``second_opinion``.
            delay_ticks: See the class.
            second_opinion: Fields of `SecondOpinionSettings` that differ from its defaults.

        Raises:
            UserError: If a model, a correction or a setting is unknown or damaged.
        """
        try:
            settings = SecondOpinionSettings(**(second_opinion or {}))
        except TypeError as error:
            raise ConfigError(f"second_opinion settings: {error}") from error
        first = DualHeadModel.load(resolve_model(model))
        other: DualHeadModel | None = None
        if second is not None and correction == "second_opinion":
            other = DualHeadModel.load(resolve_model(second))
        parts = CorrectionParts(first=first, second=other, second_opinion=settings)
        return cls((first, other), make_correction(correction, parts), delay_ticks=delay_ticks)

    @property
    def name(self) -> str:
        """``caril-`` and the name of network A."""
        return f"caril-{self._models[0].name}"

    @property
    def correction(self) -> str:
        """Name of the correction."""
        return self._correction.name

    @property
    def trained_on(self) -> str:
        """Simulator of network A's training data."""
        return self._models[0].agent.trained_on

    @property
    def privileged(self) -> bool:
        """False: a camera, a speedometer, and a navigator with the route's speed profile."""
        return False

    @property
    def camera(self) -> CameraSpec | None:
        """The camera of the training data."""
        return self._camera

    def begin(self, route: Route, seed: int) -> None:
        """Forget the last episode and prepare for this route."""
        self._driver.begin(route)
        self._correction.begin(seed)

    def act(self, observation: Observation) -> Decision:
        """Decide the control for the next tick.

        Confidence, branch and diagnostics belong to this tick's picture, also when the control is
        delayed. The diagnostic ``output_errors`` counts answers so far in this episode that were no
        number or lay outside -1..1.

        Raises:
            RuntimeError: If `begin` was not called.
            DataError: If the observation has no picture.
        """
        command = self._driver.update(observation.pose)
        if observation.image is None:
            raise DataError(f"frame {observation.frame} has no picture; mount the agent's camera")
        opinions = Opinions(self._models, observation.image, observation.speed_mps, command)
        correction = self._correction.correct(opinions)
        control = self._driver.control(
            observation.speed_mps, correction.steer, correction.speed_factor
        )
        return Decision(
            control=control,
            confidence=correction.confidence.max_probability,
            entropy=correction.confidence.entropy,
            branch=correction.branch,
            steer_raw=correction.steer_raw,
            diagnostics={
                **correction.diagnostics,
                "output_errors": float(self._driver.output_errors),
            },
            inference_s=opinions.inference_s,
        )

    def close(self) -> None:
        """Release the networks."""
        for model in self._models:
            if model is not None:
                model.close()
