"""CARIL's correction rule on the path: the same branches over the classes of an offset ahead."""

from __future__ import annotations

from typing import Final

import numpy as np

from agent.correction.paper import LOST, PaperRule, SeededPaperRule
from agent.path.opinions import FusedPath, PathOpinions, recorded_row
from agent.vehicle_model import MAX_STEER_RAD, WHEELBASE_M
from edge.agent_sidecar import OffsetClasses, PathAgentSpec

#: The paper's unit, in which a raw steer of 0.25 is 1.
_PER_STEER: Final = 4.0


class PaperPathRule(SeededPaperRule):
    """`agent.correction.paper.PaperRule` on the offset that network A gives at 10 m.

    A change of that offset changes the offsets at all distances by its square, which is the same
    change of curvature everywhere: what a change of the steering is in the paper.
    """

    def __init__(self, agent: PathAgentSpec) -> None:
        """Build the rule for network A, on its classes nearest to 10 m."""
        self._row = recorded_row(agent)
        classes = agent.classes[self._row]
        self._column = agent.distances_m.index(classes.distance_m)
        self._shares = (np.array(agent.distances_m) / classes.distance_m) ** 2
        # A small raw steer s drives the arc of curvature s * MAX_STEER / WHEELBASE; y = k d^2 / 2.
        steer_per_m = 2.0 / classes.distance_m**2 * WHEELBASE_M / MAX_STEER_RAD
        scale = _PER_STEER * steer_per_m
        super().__init__(PaperRule(bin_edges=_closed_edges(classes), scale=scale))

    def fuse(self, opinions: PathOpinions) -> FusedPath:
        """Apply the rule to network A's path."""
        answer = opinions.ask_a()
        offsets_m, branch = answer.offsets_m, LOST
        if answer.is_finite:
            value_m = float(offsets_m[self._column])
            corrected_m, branch = self._apply(value_m, answer.logits[self._row])
            offsets_m = offsets_m + (corrected_m - value_m) * self._shares
        return FusedPath(offsets_m=offsets_m, std_m=answer.spread_m, branch=branch)


def _closed_edges(classes: OffsetClasses) -> tuple[float, ...]:
    """Return the edges with two outer ones, so that the outer classes' means are their middles."""
    inner, means = classes.bin_edges_m, classes.bin_means_m
    low, high = 2.0 * means[0] - inner[0], 2.0 * means[-1] - inner[-1]
    return (min(low, inner[0]), *inner, max(high, inner[-1]))
