"""The path that is seen and the path on the map, joined by how sure each is.

Both say, for each distance ahead, where the path lies and how far off that may be. The estimate of
least variance from two independent ones weighs each by the other's variance (inverse-variance
weighting, Cochran, "Problems arising in the analysis of a series of similar experiments", 1937; the
scalar Kalman filter makes the same step):

    w = v_vision / (v_vision + v_map),    path = w * map + (1 - w) * vision

with v_map = sigma^2 + (d * heading)^2 at distance d, v_vision = factor * s^2, and
s^2 = (s_A^2 + s_B^2) / 2 + (y_A - y_B)^2 / 4: of two networks the mean of their calibrated
variances and the variance of their two opinions about the mean of both.

What is seen on the road can also tell how far off the map is, so that it is nearer to the truth
where nothing sure is seen: see `agent.path.map_error`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from agent.path.opinions import FusedPath, PathOpinions, PathRule
from bicameral.errors import ConfigError
from edge.path_model import PathOutput

FUSED = "fusion"
MAP_ONLY = "fusion_map_only"

VarianceSource = Literal["regression", "classification", "both"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FusionSettings:
    """Constants of the fusion.

    Attributes:
        variance: Which head says how sure a network is: the regression head by its scale, the
            classification head by its spread, or the mean of both variances.
        factor: Vision's variance is this many times the calibrated one, since networks are surer
            than they should be where they were not trained.
        innovation_sigmas: Vision may not claim to be surer than its distance to the map allows: its
            variance is at least that distance squared, less this many standard deviations of the
            map squared. None: it may.
        tracks_map: Whether the error of the map's path is learned from what is seen.
    """

    variance: VarianceSource = "classification"
    factor: float = 4.0
    innovation_sigmas: float | None = 2.0
    tracks_map: bool = True

    def __post_init__(self) -> None:
        if self.variance not in get_args(VarianceSource):
            known = ", ".join(get_args(VarianceSource))
            raise ConfigError(f"fusion variance is {self.variance!r}, expected one of {known}")
        sigmas = 0.0 if self.innovation_sigmas is None else self.innovation_sigmas
        if not (0.0 < self.factor < np.inf and 0.0 <= sigmas < np.inf):
            raise ConfigError(
                f"fusion factor {self.factor} and innovation_sigmas {self.innovation_sigmas}: "
                "expected a finite factor above 0 and finite sigmas of at least 0, or none"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Vision:
    """What all networks that answered say together: offsets (D,) and their variances (D,)."""

    offsets_m: NDArray[np.float64]
    variances_m2: NDArray[np.float64]


class FusionRule(PathRule):
    """Joins the networks' path with the map's, at every distance ahead."""

    name = "fusion"

    def __init__(self, settings: FusionSettings) -> None:
        """Take the settings."""
        self._settings = settings

    def fuse(self, opinions: PathOpinions) -> FusedPath:
        """Join the paths; a network whose answer is no number is left out."""
        answers = [opinions.ask_a(), *([opinions.ask_b()] if opinions.has_b else [])]
        answers = [answer for answer in answers if answer.is_finite]
        told = opinions.map
        if not answers:
            return FusedPath(
                offsets_m=told.offsets_m,
                std_m=told.std_m,
                branch=MAP_ONLY,
                diagnostics={"map_weight_10m": 1.0},
            )
        seen = self.see(answers)
        map_variance = told.std_m**2
        variance = self._settings.factor * seen.variances_m2
        if self._settings.innovation_sigmas is not None:
            apart = (seen.offsets_m - told.offsets_m) ** 2
            allowed = self._settings.innovation_sigmas**2 * map_variance
            variance = np.maximum(variance, apart - allowed)
        if self._settings.tracks_map:
            opinions.learn(seen.offsets_m, variance)
        total = np.maximum(variance + map_variance, np.finfo(np.float64).tiny)
        weight = variance / total
        return FusedPath(
            offsets_m=weight * told.offsets_m + (1.0 - weight) * seen.offsets_m,
            std_m=np.sqrt(weight * map_variance),
            branch=FUSED,
            diagnostics={
                "map_weight_10m": opinions.at_10m(weight),
                "map_offset_10m": opinions.at_10m(told.offsets_m),
            },
        )

    def see(self, answers: list[PathOutput]) -> Vision:
        """Return what one or two networks say together."""
        source = self._settings.variance
        offsets = np.mean([answer.offsets_m for answer in answers], axis=0)
        variances = np.mean([_variances(answer, source) for answer in answers], axis=0)
        apart = (answers[0].offsets_m - answers[-1].offsets_m) ** 2 / 4.0
        return Vision(offsets_m=offsets, variances_m2=variances + apart)


def _variances(answer: PathOutput, source: VarianceSource) -> NDArray[np.float64]:
    regression, classification = answer.offsets_std_m**2, answer.spread_m**2
    if source == "both":
        return (regression + classification) / 2.0
    return regression if source == "regression" else classification
