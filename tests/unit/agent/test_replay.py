"""Replaying a correction over recorded frames."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from agent.correction.none import NoCorrection
from agent.correction.registry import CorrectionParts, make_correction
from agent.correction.replay import RecordedFrame, area_under_roc, replay_correction
from agent.correction.second_opinion import OUT_OF_RANGE, TRUST_A, SecondOpinionSettings
from bicameral.types import RoadOption

pytestmark = pytest.mark.unit


def _frame(picture: NDArray[np.uint8], steer: float) -> RecordedFrame:
    return RecordedFrame(
        picture=picture, speed_mps=5.0, command=RoadOption.LANE_FOLLOW, steer=steer
    )


def test_what_the_rule_asked_is_counted_and_not_what_scoring_asks(
    make_model: Callable[..., Any], picture: NDArray[np.uint8]
) -> None:
    (a, _), (b, _) = make_model(0.25), make_model(-0.125)
    rule = make_correction(
        "second_opinion",
        CorrectionParts(first=a, second=b, second_opinion=SecondOpinionSettings(hold_ticks=0)),
    )
    dark = np.full_like(picture, 5)
    episode = [_frame(picture, 0.25), _frame(picture, 0.25), _frame(dark, -0.125)]
    score = replay_correction(rule, (a, b), [episode, [_frame(dark, -0.125)]])
    assert score.frames == 4
    assert (score.asked_a, score.asked_b) == (0.5, 0.5)
    assert score.branches == {TRUST_A: 0.5, OUT_OF_RANGE: 0.5}
    assert score.error == 0.0
    assert score.error_a == score.error_b == pytest.approx(0.1875)
    assert score.detection_confidence == score.detection_disagreement == 0.5


def test_one_network_has_no_second_figures(
    make_model: Callable[..., Any], picture: NDArray[np.uint8]
) -> None:
    a, _ = make_model(0.25)
    score = replay_correction(NoCorrection(), (a, None), [[_frame(picture, 0.25)]])
    assert score.error_b is None
    assert score.detection_disagreement is None
    assert score.detection_confidence is None
    assert score.asked_b == 0.0


def test_the_area_under_the_curve_of_known_cases() -> None:
    truth = np.array([True, True, False, False])
    assert area_under_roc(np.array([3.0, 4.0, 1.0, 2.0]), truth) == 1.0
    assert area_under_roc(np.array([1.0, 2.0, 3.0, 4.0]), truth) == 0.0
    assert area_under_roc(np.ones(4), truth) == 0.5
    assert area_under_roc(np.array([1.0, 3.0, 2.0, 0.0]), truth) == 0.75
    assert area_under_roc(np.ones(4), np.zeros(4, bool)) is None
