"""A second network is asked where the first is unsure of the path, and the surer one leads."""

from __future__ import annotations

import math

import numpy as np

from agent.correction.second_opinion import KEPT_A, TAKEN_B, TRUST_A
from agent.path.opinions import FusedPath, PathOpinions, PathRule
from edge.agent_sidecar import SpreadThreshold
from edge.path_model import PathOutput


class SecondPathRule(PathRule):
    """Asks B if A's calibrated spread is above its threshold, which its sidecar holds."""

    name = "second_opinion"

    def __init__(self, unsure: SpreadThreshold) -> None:
        """Take A's threshold."""
        self._unsure = unsure

    def fuse(self, opinions: PathOpinions) -> FusedPath:
        """Return the path of A, or of B where A is unsure and B surer."""
        first = opinions.ask_a()
        spread_m = self._spread_m(first, opinions)
        if spread_m <= self._unsure.threshold_m:
            return _lead(first, TRUST_A)
        second = opinions.ask_b()
        if self._spread_m(second, opinions) < spread_m:
            return _lead(second, TAKEN_B)
        return _lead(first, KEPT_A)

    def _spread_m(self, answer: PathOutput, opinions: PathOpinions) -> float:
        """Return the spread that decides; infinite where an answer is no number."""
        if not answer.is_finite:
            return math.inf
        at_m = self._unsure.distance_m
        return float(np.interp(at_m, opinions.distances_m, answer.spread_m))


def _lead(answer: PathOutput, branch: str) -> FusedPath:
    return FusedPath(offsets_m=answer.offsets_m, std_m=answer.spread_m, branch=branch)
