"""No correction: the regression head steers, the classification head only watches."""

from __future__ import annotations

from agent.correction.protocol import Correction, CorrectionRule, Opinions
from edge.probabilities import confidence_from_probabilities


class NoCorrection(CorrectionRule):
    """Uses the regression head as it is."""

    name = "none"

    def correct(self, opinions: Opinions) -> Correction:
        """Return network A's steering."""
        answer = opinions.ask_a()
        sure = confidence_from_probabilities(answer.probabilities)
        return Correction(
            steer=answer.steer,
            steer_raw=answer.steer,
            confidence=sure.max_probability,
            entropy=sure.entropy,
            branch="none",
        )
