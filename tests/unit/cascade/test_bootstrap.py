"""Intervals over images and seeds."""

from __future__ import annotations

import numpy as np
import pytest

from models.cascade.bootstrap import RankedAnswers, Resampling, aurc_intervals, mean_interval
from models.cascade.risk_coverage import area_under_risk_coverage

pytestmark = pytest.mark.unit

RESAMPLING = Resampling(replicates=4000, seed=1)


def test_the_interval_of_an_accuracy_has_the_width_of_theory() -> None:
    correct = (np.arange(2000) % 10 != 0).astype(np.float64)[None]
    interval = mean_interval(correct, RESAMPLING)
    half_width = 1.96 * np.sqrt(0.9 * 0.1 / 2000)
    assert interval.value == pytest.approx(0.9)
    assert interval.low == pytest.approx(0.9 - half_width, rel=0.002)
    assert interval.high == pytest.approx(0.9 + half_width, rel=0.002)
    assert (interval.n_images, interval.n_seeds, interval.replicates) == (2000, 1, 4000)


def test_counting_patterns_is_drawing_images() -> None:
    """The same interval, but for the luck of the draw, as the plain loop over images and seeds."""
    rng = np.random.default_rng(0)
    values = (rng.random((3, 300)) < [[0.7], [0.8], [0.9]]).astype(np.float64)
    values -= rng.random((3, 300)) < 0.75
    means = [
        values[:, rng.integers(300, size=300)][rng.integers(3, size=3)].mean() for _ in range(4000)
    ]
    interval = mean_interval(values, RESAMPLING)
    assert [interval.low, interval.high] == pytest.approx(
        np.percentile(means, [2.5, 97.5]), abs=0.01
    )
    assert interval.n_seeds == 3


def test_systems_that_err_together_are_compared_more_sharply() -> None:
    rng = np.random.default_rng(0)
    first = rng.random((1, 1000)) < 0.8
    second = first ^ (rng.random((1, 1000)) < 0.02)
    paired = mean_interval(first.astype(float) - second, RESAMPLING)
    unpaired = mean_interval(first.astype(float) - rng.permuted(second, axis=1), RESAMPLING)
    assert paired.high - paired.low < (unpaired.high - unpaired.low) / 2


def test_seeds_that_differ_widen_the_interval() -> None:
    alike = np.tile((np.arange(1000) % 10 != 0).astype(np.float64), (3, 1))
    apart = alike.copy()
    apart[0], apart[2] = 1.0, np.arange(1000) % 5 != 0
    narrow, wide = (mean_interval(values, RESAMPLING) for values in (alike, apart))
    assert wide.value == pytest.approx(narrow.value)
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)


def test_equal_systems_differ_by_exactly_nothing() -> None:
    rng = np.random.default_rng(0)
    answers = RankedAnswers(confidence=rng.random((2, 300)), correct=rng.random((2, 300)) < 0.9)
    interval = aurc_intervals({"one": answers, "other": answers}, RESAMPLING)["one", "other"]
    assert interval.value == interval.low == interval.high == 0.0


def test_the_interval_of_an_area_is_that_of_the_plain_loop() -> None:
    rng = np.random.default_rng(0)
    first, second = (
        RankedAnswers(confidence=c, correct=rng.random((2, 300)) < c**power)
        for c, power in ((rng.random((2, 300)), 0.2), (rng.random((2, 300)), 0.4))
    )
    differences = []
    for _ in range(1500):
        draw = rng.integers(300, size=300)
        seeds = rng.integers(2, size=2)
        differences.append(
            np.mean(
                [
                    area_under_risk_coverage(first.confidence[s, draw], first.correct[s, draw])
                    - area_under_risk_coverage(second.confidence[s, draw], second.correct[s, draw])
                    for s in seeds
                ]
            )
        )
    interval = aurc_intervals({"first": first, "second": second}, RESAMPLING)["first", "second"]
    expected = np.percentile(differences, [2.5, 97.5])
    assert [interval.low, interval.high] == pytest.approx(expected, abs=0.01)
    assert interval.low < interval.value < interval.high


def test_the_same_seed_gives_the_same_interval_and_another_a_different_one() -> None:
    values = (np.arange(500) % 7 != 0).astype(np.float64)[None]
    assert mean_interval(values, RESAMPLING) == mean_interval(values, RESAMPLING)
    other = mean_interval(values, Resampling(replicates=4000, seed=2))
    assert other != mean_interval(values, RESAMPLING)
