"""Our correction: ask a second, independently trained network when the first is not to be trusted.

Network A is not trusted when its calibrated confidence is low, or when the picture is darker,
brighter, flatter or harsher than all it was trained on (then its confidence means nothing, and it
is not even asked). While A is trusted, B costs nothing. Everything is deterministic.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from agent.correction.protocol import Correction, Opinions
from edge.agent_sidecar import AgentSpec
from edge.dual_head import DualHeadOutput
from edge.preprocessing import picture_statistics
from edge.probabilities import Confidence, confidence_from_probabilities

TRUST_A = "second_opinion_a"
OUT_OF_RANGE = "second_opinion_b_out_of_range"
HELD = "second_opinion_b_held"
AGREED = "second_opinion_blend"
KEPT_A = "second_opinion_a_surer"
TAKEN_B = "second_opinion_b_surer"
BOTH_UNSURE = "second_opinion_b_both_unsure"


#: Raw steers that differ by no more than this agree, and are blended.
_AGREEMENT: Final = 0.05
#: The picture statistics may leave A's training range by this share of its width. Another town in
#: the same weather must not count as another weather.
_RANGE_MARGIN: Final = 0.1
#: B goes on steering for so many ticks after it took over, so that the two do not alternate within
#: one curve.
_HOLD_TICKS: Final = 10


class SecondOpinionCorrection:
    """Decides tick by tick which network steers."""

    name = "second_opinion"

    def __init__(self, first: AgentSpec, second: AgentSpec) -> None:
        """Take the thresholds of both networks, and the range of A's training pictures."""
        self._threshold_a = first.confidence.threshold
        self._threshold_b = second.confidence.threshold
        self._brightness = _widen(first.input_range.brightness)
        self._contrast = _widen(first.input_range.contrast)
        self._hold = 0

    def begin(self, seed: int) -> None:
        """Give the wheel back to A; there is no randomness."""
        del seed
        self._hold = 0

    def correct(self, opinions: Opinions) -> Correction:
        """Decide one tick; the branches in the order in which they are tried.

        1. The picture is out of A's range: B steers.
        2. B took over less than `_HOLD_TICKS` ago: B steers.
        3. A is sure: A steers, B is not asked.
        4. Both agree: the mean, weighted by confidence.
        5. They differ: the surer one steers; B keeps the wheel for `_HOLD_TICKS` only if it was
           sure by its own threshold.
        """
        if not self._in_range(opinions.image):
            self._hold = _HOLD_TICKS
            return self._follow_b(opinions, OUT_OF_RANGE)
        if self._hold > 0:
            self._hold -= 1
            return self._follow_b(opinions, HELD)
        answer = opinions.ask_a()
        confidence = confidence_from_probabilities(answer.probabilities)
        if np.isfinite(answer.steer) and confidence.max_probability >= self._threshold_a:
            return _decide(opinions, answer.steer, confidence, TRUST_A)
        return self._weigh(opinions, answer, confidence)

    def _weigh(self, opinions: Opinions, a: DualHeadOutput, sure_a: Confidence) -> Correction:
        b = opinions.ask_b()
        sure_b = confidence_from_probabilities(b.probabilities)
        weight_a, weight_b = sure_a.max_probability, sure_b.max_probability
        if abs(a.steer - b.steer) <= _AGREEMENT:
            blend = (weight_a * a.steer + weight_b * b.steer) / (weight_a + weight_b)
            return _decide(opinions, blend, sure_a, AGREED)
        b_is_sure = weight_b >= self._threshold_b
        if np.isfinite(a.steer) and weight_a >= weight_b:
            return _decide(opinions, a.steer, sure_a, KEPT_A)
        if b_is_sure:
            self._hold = _HOLD_TICKS
        return _decide(opinions, b.steer, sure_b, TAKEN_B if b_is_sure else BOTH_UNSURE)

    def _follow_b(self, opinions: Opinions, branch: str) -> Correction:
        b = opinions.ask_b()
        return _decide(opinions, b.steer, confidence_from_probabilities(b.probabilities), branch)

    def _in_range(self, image: NDArray[np.uint8]) -> bool:
        brightness, contrast = picture_statistics(image)
        return (
            self._brightness[0] <= brightness <= self._brightness[1]
            and self._contrast[0] <= contrast <= self._contrast[1]
        )


def _decide(opinions: Opinions, steer: float, confidence: Confidence, branch: str) -> Correction:
    """Record who said what; a network that was not asked leaves no number."""
    steer_a = opinions.ask_a().steer if opinions.asked_a else None
    steer_b = opinions.ask_b().steer if opinions.asked_b else None
    diagnostics = {"asked_a": float(opinions.asked_a), "asked_b": float(opinions.asked_b)}
    if steer_a is not None:
        diagnostics["steer_a"] = steer_a
    if steer_b is not None:
        diagnostics["steer_b"] = steer_b
    if steer_a is not None and steer_b is not None:
        diagnostics["disagreement"] = abs(steer_a - steer_b)
    first = steer_a if steer_a is not None else steer_b
    assert first is not None  # noqa: S101 - somebody was asked, or there were no confidence
    return Correction(
        steer=steer,
        steer_raw=first,
        confidence=confidence.max_probability,
        entropy=confidence.entropy,
        branch=branch,
        diagnostics=diagnostics,
    )


def _widen(limits: tuple[float, float]) -> tuple[float, float]:
    margin = _RANGE_MARGIN * (limits[1] - limits[0])
    return limits[0] - margin, limits[1] + margin
