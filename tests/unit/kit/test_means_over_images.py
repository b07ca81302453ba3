"""Intervals of means over images and trainings."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest

from bicameral.statistics import Estimate, Resampling
from bicameral.statistics import mean_over_images as estimate

pytestmark = pytest.mark.unit

RESAMPLING = Resampling(replicates=4000, seed=1)


def width(interval: Estimate) -> float:
    assert interval.low is not None
    assert interval.high is not None
    return interval.high - interval.low


def test_the_interval_of_an_accuracy_has_the_width_of_theory() -> None:
    correct = (np.arange(2000) % 10 != 0).astype(np.float64)[None]
    interval = estimate(correct, RESAMPLING)
    half_width = NormalDist().inv_cdf(0.975) * np.sqrt(0.9 * 0.1 / 2000)
    assert interval.value == pytest.approx(0.9)
    assert interval.low == pytest.approx(0.9 - half_width, rel=0.002)
    assert interval.high == pytest.approx(0.9 + half_width, rel=0.002)
    assert (interval.n, interval.seeds) == (2000, 1)


def test_counting_patterns_is_drawing_images() -> None:
    """The same interval, but for the luck of the draw, as the plain loop over images and seeds."""
    rng = np.random.default_rng(0)
    values = (rng.random((3, 300)) < [[0.7], [0.8], [0.9]]).astype(np.float64)
    values -= rng.random((3, 300)) < 0.75
    means = [
        values[:, rng.integers(300, size=300)][rng.integers(3, size=3)].mean() for _ in range(4000)
    ]
    interval = estimate(values, RESAMPLING)
    assert [interval.low, interval.high] == pytest.approx(
        np.percentile(means, [2.5, 97.5]), abs=0.01
    )
    assert interval.seeds == 3


def test_systems_that_err_together_are_compared_more_sharply() -> None:
    rng = np.random.default_rng(0)
    first = rng.random((1, 1000)) < 0.8
    second = first ^ (rng.random((1, 1000)) < 0.02)
    paired = estimate(first.astype(float) - second, RESAMPLING)
    unpaired = estimate(first.astype(float) - rng.permuted(second, axis=1), RESAMPLING)
    assert width(paired) < width(unpaired) / 2


def test_seeds_that_differ_widen_the_interval() -> None:
    alike = np.tile((np.arange(1000) % 10 != 0).astype(np.float64), (3, 1))
    apart = alike.copy()
    apart[0], apart[2] = 1.0, np.arange(1000) % 5 != 0
    narrow, wide = (estimate(values, RESAMPLING) for values in (alike, apart))
    assert wide.value == pytest.approx(narrow.value)
    assert width(wide) > 2 * width(narrow)


def test_the_same_seed_gives_the_same_interval_and_another_a_different_one() -> None:
    values = (np.arange(500) % 7 != 0).astype(np.float64)[None]
    assert estimate(values, RESAMPLING) == estimate(values, RESAMPLING)
    other = estimate(values, Resampling(replicates=4000, seed=2))
    assert other != estimate(values, RESAMPLING)
