"""Our correction: ask a second, independently trained network when the first is not to be trusted.

Network A is not trusted when its calibrated confidence is low, or when the picture is darker,
brighter, flatter or harsher than all it was trained on (then its confidence means nothing, and it
is not even asked). While A is trusted, B costs nothing. Everything is deterministic.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.confidence import Confidence, confidence_from_probabilities
from agent.correction.protocol import Correction, Opinions
from bicameral.errors import ConfigError
from edge.agent_sidecar import InputRange
from edge.dual_head import DualHeadOutput
from edge.preprocessing import picture_statistics

TRUST_A = "second_opinion_a"
OUT_OF_RANGE = "second_opinion_b_out_of_range"
HELD = "second_opinion_b_held"
AGREED = "second_opinion_blend"
KEPT_A = "second_opinion_a_surer"
TAKEN_B = "second_opinion_b_surer"
BOTH_UNSURE = "second_opinion_b_both_unsure"


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondOpinionSettings:
    """Thresholds of the rule.

    Attributes:
        threshold_a: Calibrated confidence of A below which B is asked; None for the one in A's
            sidecar, which was chosen on validation data.
        threshold_b: Calibrated confidence of B below which B is unsure; None for its sidecar's.
        agreement: Raw steers that differ by no more than this agree, and are blended.
        range_margin: The picture statistics may leave A's training range by this share of its
            width. Another town in the same weather must not count as another weather.
        hold_ticks: B goes on steering for so many ticks after it took over, so that the two do not
            alternate within one curve.
        unsure_speed_factor: Factor on the wanted speed while both are unsure; 1 leaves it alone.
    """

    threshold_a: float | None = None
    threshold_b: float | None = None
    agreement: float = 0.05
    range_margin: float = 0.1
    hold_ticks: int = 10
    unsure_speed_factor: float = 1.0

    def __post_init__(self) -> None:
        if self.agreement < 0 or self.range_margin < 0 or self.hold_ticks < 0:
            raise ConfigError(
                f"agreement, range_margin and hold_ticks must not be negative, got "
                f"{self.agreement}, {self.range_margin}, {self.hold_ticks}"
            )
        if not 0.0 <= self.unsure_speed_factor <= 1.0:
            raise ConfigError(f"unsure_speed_factor is {self.unsure_speed_factor}, expected 0..1")


class SecondOpinionCorrection:
    """Decides tick by tick which network steers."""

    def __init__(
        self,
        settings: SecondOpinionSettings,
        *,
        threshold_a: float,
        threshold_b: float,
        input_range: InputRange,
    ) -> None:
        """Build the rule.

        Args:
            settings: See `SecondOpinionSettings`; its thresholds are resolved into the next two.
            threshold_a: Confidence below which A is unsure.
            threshold_b: Confidence below which B is unsure.
            input_range: Picture statistics of A's training data.
        """
        self._settings = settings
        self._threshold_a = threshold_a
        self._threshold_b = threshold_b
        self._brightness = _widen(input_range.brightness, settings.range_margin)
        self._contrast = _widen(input_range.contrast, settings.range_margin)
        self._hold = 0

    @property
    def name(self) -> str:
        """Name in the registry."""
        return "second_opinion"

    def begin(self, seed: int) -> None:
        """Give the wheel back to A; there is no randomness."""
        del seed
        self._hold = 0

    def correct(self, opinions: Opinions) -> Correction:
        """Decide one tick; the branches in the order in which they are tried.

        1. The picture is out of A's range: B steers.
        2. B took over less than `hold_ticks` ago: B steers.
        3. A is sure: A steers, B is not asked.
        4. Both agree: the mean, weighted by confidence.
        5. They differ: the surer one steers; B keeps the wheel for `hold_ticks` only if it was
           sure by its own threshold, and the speed is lowered, if so set, when neither was.
        """
        if not self._in_range(opinions.image):
            self._hold = self._settings.hold_ticks
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
        if abs(a.steer - b.steer) <= self._settings.agreement:
            blend = (weight_a * a.steer + weight_b * b.steer) / (weight_a + weight_b)
            return _decide(opinions, blend, sure_a, AGREED)
        b_is_sure = weight_b >= self._threshold_b
        speed_factor = 1.0 if b_is_sure else self._settings.unsure_speed_factor
        if np.isfinite(a.steer) and weight_a >= weight_b:
            return _decide(opinions, a.steer, sure_a, KEPT_A, speed_factor)
        if b_is_sure:
            self._hold = self._settings.hold_ticks
        return _decide(
            opinions, b.steer, sure_b, TAKEN_B if b_is_sure else BOTH_UNSURE, speed_factor
        )

    def _follow_b(self, opinions: Opinions, branch: str) -> Correction:
        b = opinions.ask_b()
        return _decide(opinions, b.steer, confidence_from_probabilities(b.probabilities), branch)

    def _in_range(self, image: NDArray[np.uint8]) -> bool:
        brightness, contrast = picture_statistics(image)
        return (
            self._brightness[0] <= brightness <= self._brightness[1]
            and self._contrast[0] <= contrast <= self._contrast[1]
        )


def _decide(
    opinions: Opinions,
    steer: float,
    confidence: Confidence,
    branch: str,
    speed_factor: float = 1.0,
) -> Correction:
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
        confidence=confidence,
        branch=branch,
        speed_factor=speed_factor,
        diagnostics=diagnostics,
    )


def _widen(limits: tuple[float, float], share: float) -> tuple[float, float]:
    margin = share * (limits[1] - limits[0])
    return limits[0] - margin, limits[1] + margin
