"""Risk over coverage, with ties and on resampled images."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from bicameral.statistics import Resampling
from models.cascade.risk_coverage import (
    area_under_risk_coverage,
    error_groups,
    estimate_areas,
    resampled_areas,
    risk_coverage_curve,
)

pytestmark = pytest.mark.unit


def _area_by_definition(confidence: NDArray[np.float64], correct: NDArray[np.bool_]) -> float:
    """Average the risk over all coverages; a group of equals has its mean error everywhere."""
    order = np.argsort(-confidence, kind="stable")
    wrong = np.array([(~correct)[confidence == value].mean() for value in confidence[order]])
    return float((np.cumsum(wrong) / np.arange(1, len(wrong) + 1)).mean())


def test_surest_errors_cost_most() -> None:
    confidence = np.array([0.9, 0.8, 0.7, 0.6])
    late = area_under_risk_coverage(confidence, np.array([True, True, True, False]))
    early = area_under_risk_coverage(confidence, np.array([False, True, True, True]))
    assert late == pytest.approx((1 / 4) / 4)
    assert early == pytest.approx((1 + 1 / 2 + 1 / 3 + 1 / 4) / 4)


def test_all_right_is_zero_and_all_wrong_is_one() -> None:
    confidence = np.linspace(0, 1, 7)
    assert area_under_risk_coverage(confidence, np.ones(7, np.bool_)) == 0.0
    assert area_under_risk_coverage(confidence, np.zeros(7, np.bool_)) == pytest.approx(1.0)


def test_confidence_that_says_nothing_gives_the_error_rate() -> None:
    correct = np.array([True, False, True, True])
    assert area_under_risk_coverage(np.full(4, 0.5), correct) == pytest.approx(0.25)


@pytest.mark.parametrize("digits", [1, 2, 8])
def test_the_area_is_the_mean_risk_with_and_without_ties(digits: int) -> None:
    rng = np.random.default_rng(digits)
    confidence = rng.random(200).round(digits)
    correct = rng.random(200) < confidence
    area = area_under_risk_coverage(confidence, correct)
    assert area == pytest.approx(_area_by_definition(confidence, correct))
    assert area == pytest.approx(risk_coverage_curve(confidence, correct, 200)[1].mean())


def test_a_resampled_area_is_the_area_of_the_repeated_images() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.random(100).round(2)
    correct = rng.random(100) < confidence
    draws = rng.integers(100, size=(30, 100))
    counts = np.stack([np.bincount(draw, minlength=100) for draw in draws]).astype(np.int16)
    areas = resampled_areas(error_groups(confidence, correct), counts)
    expected = [area_under_risk_coverage(confidence[draw], correct[draw]) for draw in draws]
    assert areas == pytest.approx(expected)


def test_a_curve_ends_with_the_error_rate_of_all_images() -> None:
    rng = np.random.default_rng(0)
    confidence, correct = rng.random(1000), rng.random(1000) < 0.9
    coverage, risk = risk_coverage_curve(confidence, correct, 50)
    assert len(coverage) == len(risk) == 50
    assert coverage[-1] == 1.0
    assert risk[-1] == pytest.approx((~correct).mean())


RESAMPLING = Resampling(replicates=4000, seed=1)


def test_equal_systems_differ_by_exactly_nothing() -> None:
    rng = np.random.default_rng(0)
    answers = (rng.random((2, 300)), rng.random((2, 300)) < 0.9)
    interval = estimate_areas({"one": answers, "other": answers}, RESAMPLING)["other"][1]
    assert interval is not None
    assert interval.value == interval.low == interval.high == 0.0


def test_the_interval_of_an_area_is_that_of_the_plain_loop() -> None:
    rng = np.random.default_rng(0)
    first, second = (
        (c, rng.random((2, 300)) < c**power)
        for c, power in ((rng.random((2, 300)), 0.2), (rng.random((2, 300)), 0.4))
    )
    differences = []
    for _ in range(1500):
        draw = rng.integers(300, size=300)
        seeds = rng.integers(2, size=2)
        differences.append(
            np.mean(
                [
                    area_under_risk_coverage(*(of[s, draw] for of in first))
                    - area_under_risk_coverage(*(of[s, draw] for of in second))
                    for s in seeds
                ]
            )
        )
    interval = estimate_areas({"first": first, "second": second}, RESAMPLING)["second"][1]
    assert interval is not None
    assert None not in (interval.low, interval.value, interval.high)
    expected = np.percentile(differences, [2.5, 97.5])
    assert [interval.low, interval.high] == pytest.approx(expected, abs=0.01)
    assert interval.low < interval.value < interval.high
