"""CARIL's correction rule (arXiv 2503.00783; released code, test_scenario.py), every branch of it.

It is here to be measured, not because it helps. Branch 4 adds noise of mean zero, most of it when
the classifier is sure, and only branch 2 can remove an error. What we mend is not the rule but its
surroundings: draws are seeded, and made once per frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.correction.protocol import Correction, Opinions
from edge.probabilities import confidence_from_probabilities, softmax

AGREE = "paper_1_agree"
CLASS = "paper_2_class"
LOST = "paper_3_lost"
JITTER = "paper_4_jitter"

#: The rule's constants.
_SURE = 0.9
_LOST_PROBABILITY = 0.5
_LOST_ENTROPY = 1.5
_DRAWS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperRule:
    """The rule without memory: one distribution and one regression value in, one value out.

    Attributes:
        bin_edges: (K + 1) ascending edges of the classes, in the regression head's unit.
        scale: A value times this is in the paper's unit, in which the rule draws its noise: there
            a raw steer of 0.25 is 1.
    """

    bin_edges: Sequence[float]
    scale: float

    def branch(self, value: float, probabilities: NDArray[np.floating]) -> str:
        """Return the first branch whose condition holds.

        Args:
            value: Regression head, in the unit of the edges.
            probabilities: (K,) uncalibrated, as in the paper.
        """
        confidence = confidence_from_probabilities(probabilities)
        if confidence.max_probability >= _SURE:
            distance = abs(self._bin(value) - confidence.steering_class)
            return AGREE if distance <= 1 else CLASS
        if confidence.max_probability < _LOST_PROBABILITY and confidence.entropy > _LOST_ENTROPY:
            return LOST
        return JITTER

    def correct(
        self, value: float, probabilities: NDArray[np.floating], rng: np.random.Generator
    ) -> tuple[float, str]:
        """Return the corrected value and the branch taken."""
        branch = self.branch(value, probabilities)
        if branch == CLASS:
            winner = int(probabilities.argmax())
            low, high = self.bin_edges[winner], self.bin_edges[winner + 1]
            return float(rng.uniform(low, high, _DRAWS).mean()), branch
        if branch == JITTER:
            # The variance of the eleven probabilities: greatest for a sure classifier.
            spread = float(np.sqrt(probabilities.var()))
            scaled = rng.normal(value * self.scale, spread, _DRAWS).mean()
            return float(scaled) / self.scale, branch
        return value, branch

    def _bin(self, value: float) -> int:
        """Return the class of a value; values outside belong to the outer classes."""
        index = int(np.searchsorted(np.asarray(self.bin_edges), value, side="right")) - 1
        return min(max(index, 0), len(self.bin_edges) - 2)


class SeededPaperRule:
    """`PaperRule` with a generator per episode."""

    name = "paper"

    def __init__(self, rule: PaperRule) -> None:
        """Take the rule."""
        self._rule = rule
        self._rng = np.random.default_rng(0)

    def begin(self, seed: int) -> None:
        """Seed the draws of this episode."""
        self._rng = np.random.default_rng(seed)

    def _apply(self, value: float, logits: NDArray[np.floating]) -> tuple[float, str]:
        """Return the corrected value and the branch, with uncalibrated probabilities."""
        return self._rule.correct(value, softmax(logits), self._rng)


class PaperCorrection(SeededPaperRule):
    """The rule on network A's steering."""

    def correct(self, opinions: Opinions) -> Correction:
        """Apply the rule to network A's answer."""
        answer = opinions.ask_a()
        steer, branch = answer.steer, LOST
        if np.isfinite(answer.steer):
            steer, branch = self._apply(answer.steer, answer.logits)
        sure = confidence_from_probabilities(answer.probabilities)
        return Correction(
            steer=steer,
            steer_raw=answer.steer,
            confidence=sure.max_probability,
            entropy=sure.entropy,
            branch=branch,
        )
