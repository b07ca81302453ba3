"""The driving agent that sees the path ahead: a camera picture to a control.

Its networks answer with the path, a rule makes one path of theirs and of the map's, and pure
pursuit steers along it. As with `agent.caril`, pedals and command come from the planned route, and
it sees no obstacles and no traffic lights.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from agent.confidence import confidence_from_probabilities
from agent.correction.names import MAY_ASK_B
from agent.path.corrections import PathParts, make_path_rule
from agent.path.fusion import FusionSettings
from agent.path.navigation import NavigationSettings, Navigator
from agent.path.opinions import RECORDED_M, FusedPath, PathOpinions, PathRule
from agent.path.pursuit import pursue
from agent.route_driver import RouteDriver, shared_camera
from bicameral.errors import ConfigError, DataError, unknown_name
from bicameral.types import CameraSpec, Decision, Observation, Route
from edge.path_model import PathModel
from edge.shipped import resolve_model

#: How far off the path may be, `RECORDED_M` ahead, and still count as right.
TOLERANCE_M = 0.5


class PathAgent:
    """A `bicameral.protocols.DrivingAgent` with one or two path networks.

    The control for tick t+1 comes from the picture of tick t, or of tick t - `delay_ticks`.
    """

    def __init__(
        self,
        models: tuple[PathModel, PathModel | None],
        rule: PathRule,
        *,
        navigator: Navigator | None = None,
        delay_ticks: int = 0,
    ) -> None:
        """Join networks and rule.

        Args:
            models: Network A, and network B or None.
            rule: What becomes of their paths and of the map's.
            navigator: Knows the map's path; None for one with the default settings.
            delay_ticks: Further ticks between a picture and its control; until the first one
                arrives the vehicle rolls without pedals.

        Raises:
            ConfigError: If the delay is negative, or the two networks want different cameras or
                see the path at different distances.
        """
        networks = [model for model in models if model is not None]
        self._camera = shared_camera(
            [model.name for model in networks], [model.agent.camera for model in networks]
        )
        if len({model.agent.distances_m for model in networks}) > 1:
            told = ", ".join(f"{one.name!r} at {one.agent.distances_m} m" for one in networks)
            raise ConfigError(f"the networks see the path at different distances: {told}")
        self._models = models
        at_m = np.array([one.distance_m for one in models[0].agent.classes])
        self._class_row = int(np.abs(at_m - RECORDED_M).argmin())
        self._rule = rule
        self._navigator = navigator or Navigator(NavigationSettings())
        self._driver = RouteDriver(delay_ticks)

    @classmethod
    def load(
        cls,
        model: str | Path,
        correction: str = "none",
        second: str | Path | None = None,
        *,
        delay_ticks: int = 0,
        **settings: Mapping[str, Any],
    ) -> PathAgent:
        """Load an agent from model files.

        Args:
            model: Path of network A's ``.onnx`` or sidecar, or the name of a shipped model.
            correction: One of `agent.path.corrections.PATH_CORRECTIONS`.
            second: Network B, likewise; loaded only if the correction may ask it.
            delay_ticks: See the class.
            settings: Under ``navigation`` and ``fusion`` the fields of `NavigationSettings` and
                `agent.path.fusion.FusionSettings` that differ from their defaults.

        Raises:
            UserError: If a model, a correction or a setting is unknown or damaged.
        """
        if unknown := set(settings) - {"navigation", "fusion"}:
            raise unknown_name("setting of a path agent", min(unknown), ("navigation", "fusion"))
        try:
            navigator = Navigator(NavigationSettings(**settings.get("navigation", {})))
            fusion = FusionSettings(**settings.get("fusion", {}))
        except TypeError as error:
            raise ConfigError(f"settings of the path agent: {error}") from error
        first = PathModel.load(resolve_model(model))
        other: PathModel | None = None
        if second is not None and correction in MAY_ASK_B:
            other = PathModel.load(resolve_model(second))
        parts = PathParts(first=first, second=other, fusion=fusion)
        rule = make_path_rule(correction, parts)
        return cls((first, other), rule, navigator=navigator, delay_ticks=delay_ticks)

    @property
    def name(self) -> str:
        """``path-`` and the name of network A."""
        return f"path-{self._models[0].name}"

    @property
    def correction(self) -> str:
        """Name of the rule."""
        return self._rule.name

    @property
    def trained_on(self) -> str:
        """Simulator of network A's training data."""
        return self._models[0].agent.trained_on

    @property
    def privileged(self) -> bool:
        """False: a camera, a speedometer, and a navigator; where the map counts, a noisy one."""
        return False

    @property
    def camera(self) -> CameraSpec | None:
        """The camera of the training data."""
        return self._camera

    def begin(self, route: Route, seed: int) -> None:
        """Forget the last episode and prepare for this route."""
        self._driver.begin(route)
        self._navigator.begin(route, seed)
        self._rule.begin(seed)

    def act(self, observation: Observation) -> Decision:
        """Decide the control for the next tick.

        The confidence is the probability that the path is right within half a metre, 10 m ahead,
        by its believed standard deviation and the normal law. It, the branch and the diagnostics
        belong to this tick's picture, also when the control is delayed.

        Diagnostics: ``offset_10m`` and ``spread_10m`` are what network A says about the path 10 m
        ahead, ``followed_10m`` is the offset that is steered for, ``asked_b`` whether network B
        has answered, and ``output_errors`` counts the ticks so far in this episode in which a
        network's answer or the steering was no number. The rule adds its own.

        Raises:
            RuntimeError: If `begin` was not called.
            DataError: If the observation has no picture.
        """
        command = self._driver.update(observation.pose)
        self._navigator.update(observation.pose)
        if observation.image is None:
            raise DataError(f"frame {observation.frame} has no picture; mount the agent's camera")
        speed_mps = observation.speed_mps
        opinions = PathOpinions(
            self._models, observation.image, (speed_mps, command), self._navigator
        )
        fused = self._rule.fuse(opinions)
        steer = pursue(opinions.distances_m, fused.offsets_m, speed_mps)
        control = self._driver.control(speed_mps, steer, fused.speed_factor)
        # A rule may do without an answer that is no number, but it shall not go unseen.
        self._driver.output_errors += math.isfinite(steer) and not opinions.all_finite
        steer_raw = entropy = None
        if opinions.asked_a:
            seen = opinions.ask_a()
            steer_raw = pursue(opinions.distances_m, seen.offsets_m, speed_mps)
            entropy = confidence_from_probabilities(seen.probabilities[self._class_row]).entropy
        return Decision(
            control=control,
            confidence=_within_tolerance(opinions.at_10m(fused.std_m)),
            entropy=entropy,
            branch=fused.branch,
            steer_raw=steer_raw,
            diagnostics={
                **_diagnostics(opinions, fused),
                "output_errors": float(self._driver.output_errors),
            },
            inference_s=opinions.inference_s,
        )

    def close(self) -> None:
        """Release the networks."""
        for model in self._models:
            if model is not None:
                model.close()


def _diagnostics(opinions: PathOpinions, fused: FusedPath) -> dict[str, float]:
    found = {
        "followed_10m": opinions.at_10m(fused.offsets_m),
        "asked_b": float(opinions.asked_b),
        **fused.diagnostics,
    }
    if opinions.asked_a:
        seen = opinions.ask_a()
        found["offset_10m"] = opinions.at_10m(seen.offsets_m)
        found["spread_10m"] = opinions.at_10m(seen.spread_m)
    return found


def _within_tolerance(std_m: float) -> float | None:
    """Return the probability of an error below `TOLERANCE_M`; None if nothing is known."""
    if math.isnan(std_m):
        return None
    return math.erf(TOLERANCE_M / (math.sqrt(2.0) * max(std_m, 1e-6)))
