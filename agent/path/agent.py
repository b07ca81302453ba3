"""The driving agent whose networks see the path ahead.

They answer with the path, a rule makes one path of theirs and of the map's, and pure pursuit steers
along it.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from agent.correction.protocol import Correction
from agent.network_agent import NetworkAgent
from agent.pace import PaceKeeper
from agent.path.navigation import NavigationSettings, Navigator
from agent.path.opinions import FusedPath, PathOpinions, PathRule, recorded_row
from agent.path.pursuit import pursue
from bicameral.errors import ConfigError, DataError
from bicameral.types import CameraSpec, Observation, RoadOption, Route
from edge.path_model import PathModel
from edge.probabilities import confidence_from_probabilities

#: How far off the path may be, `RECORDED_M` ahead, and still count as right.
TOLERANCE_M = 0.5


class PathAgent(NetworkAgent[PathModel, PathRule]):
    """A `NetworkAgent` with one or two path networks.

    Its confidence is the probability that the path is right within half a metre, 10 m ahead, by its
    believed standard deviation and the normal law.

    Diagnostics: ``offset_10m`` and ``spread_10m`` are what network A says about the path 10 m
    ahead, ``followed_10m`` is the offset that is steered for, ``asked_b`` whether network B has
    answered. The rule adds its own, and so does a network that sets the pace.
    """

    _kind = "path"

    def __init__(
        self,
        models: tuple[PathModel, PathModel | None],
        rule: PathRule,
        *,
        navigator: Navigator | None = None,
        pace: PaceKeeper | None = None,
        delay_ticks: int = 0,
    ) -> None:
        """Join networks and rule, as `NetworkAgent`.

        Args:
            models: Network A, and network B or None.
            rule: What becomes of their paths and of the map's.
            navigator: Knows the map's path; None for one with the default settings.
            pace: Slows down for others and lights; None: the profile of the route alone counts.
            delay_ticks: See `NetworkAgent`.

        Raises:
            ConfigError: If the two networks see the path at different distances, or as
                `NetworkAgent`.
        """
        super().__init__(models, rule, delay_ticks=delay_ticks)
        if len({model.agent.distances_m for model in self._networks}) > 1:
            told = ", ".join(f"{one.name!r} at {one.agent.distances_m} m" for one in self._networks)
            raise ConfigError(f"the networks see the path at different distances: {told}")
        self._class_row = recorded_row(models[0].agent)
        self._navigator = navigator or Navigator(NavigationSettings())
        self._pace = pace

    @property
    def pace_camera(self) -> CameraSpec | None:
        """The camera of the network that sets the pace, None without one."""
        return None if self._pace is None else self._pace.model.agent.camera

    def close(self) -> None:
        """Release the networks."""
        super().close()
        if self._pace is not None:
            self._pace.model.close()

    def begin(self, route: Route, seed: int) -> None:
        """Forget the last episode and prepare for this route."""
        super().begin(route, seed)
        self._navigator.begin(route, seed)
        if self._pace is not None:
            self._pace.begin()

    def _decide(
        self, observation: Observation, picture: NDArray[np.uint8], command: RoadOption
    ) -> tuple[Correction, PathOpinions]:
        self._navigator.update(observation.pose)
        opinions = PathOpinions(
            self._models, picture, observation.speed_mps, command, navigator=self._navigator
        )
        correction = self._correct(opinions)
        if self._pace is None:
            return correction, opinions
        if observation.pace_image is None:
            raise DataError(
                f"frame {observation.frame} has no picture for the pace; mount `pace_camera`"
            )
        limit_mps = self._pace.limit_mps(observation.pace_image, observation.speed_mps, command)
        opinions.inference_s += self._pace.inference_s
        diagnostics = {**correction.diagnostics, **self._pace.diagnostics}
        paced = replace(
            correction,
            limit_mps=limit_mps,
            least_brake=self._pace.least_brake,
            diagnostics=diagnostics,
        )
        return paced, opinions

    def _correct(self, answers: PathOpinions) -> Correction:
        fused = self._rule.fuse(answers)
        steer = pursue(answers.distances_m, fused.offsets_m, answers.speed_mps)
        # A rule may do without an answer that is no number, but it shall not go unseen.
        self._driver.output_errors += math.isfinite(steer) and not answers.all_finite
        steer_raw = entropy = None
        if answers.asked_a:
            seen = answers.ask_a()
            steer_raw = pursue(answers.distances_m, seen.offsets_m, answers.speed_mps)
            entropy = confidence_from_probabilities(seen.probabilities[self._class_row]).entropy
        return Correction(
            steer=steer,
            steer_raw=steer_raw,
            confidence=_within_tolerance(answers.at_10m(fused.std_m)),
            entropy=entropy,
            branch=fused.branch,
            speed_factor=fused.speed_factor,
            diagnostics=_diagnostics(answers, fused),
        )


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
