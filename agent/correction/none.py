"""No correction: the regression head steers, the classification head only watches."""

from __future__ import annotations

from agent.confidence import confidence_from_probabilities
from agent.correction.protocol import Correction, Opinions


class NoCorrection:
    """Uses the regression head as it is."""

    @property
    def name(self) -> str:
        """Name in the registry."""
        return "none"

    def begin(self, seed: int) -> None:
        """Nothing to forget."""
        del seed

    def correct(self, opinions: Opinions) -> Correction:
        """Return network A's steering."""
        answer = opinions.ask_a()
        return Correction(
            steer=answer.steer,
            steer_raw=answer.steer,
            confidence=confidence_from_probabilities(answer.probabilities),
            branch="none",
        )
