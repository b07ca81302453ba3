"""Medians over windows, their intervals, and warming up until nothing changes."""

from __future__ import annotations

import numpy as np
import pytest

from edge.energy.intervals import median_interval
from edge.energy.warm_up import warm_up


def test_the_interval_holds_the_true_median_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(5)
    held = 0
    for _ in range(200):
        interval = median_interval(rng.normal(10.0, 1.0, 11).tolist())
        assert interval is not None
        assert interval.low is not None
        assert interval.high is not None
        held += interval.low <= 10.0 <= interval.high
    assert 0.88 < held / 200 <= 1.0


def test_the_half_width_is_relative_to_the_median() -> None:
    interval = median_interval([9.0, 10.0, 11.0] * 5)
    assert interval is not None
    assert interval.median == 10.0
    assert interval.relative_half_width is not None
    assert interval.relative_half_width <= 0.1


def test_one_window_has_no_interval_and_none_has_no_median() -> None:
    one = median_interval([3.0])
    assert one is not None
    assert (one.median, one.low, one.high, one.n) == (3.0, None, None, 1)
    assert one.relative_half_width is None
    assert median_interval([]) is None


class Spinning:
    """A workload that counts what it is asked for."""

    name, items_per_pass = "spinning", 7

    def __init__(self) -> None:
        self.passes = self.items = 0

    def touch(self) -> None:
        raise AssertionError("warming up needs no touch")

    def begin_pass(self) -> None:
        self.passes += 1

    def run(self, begin: int, end: int) -> None:
        self.items += end - begin
        sum(range(2000))


@pytest.mark.parametrize("at_most_s", [0.0, 0.05])
def test_warming_up_ends_when_the_time_is_over(at_most_s: float) -> None:
    workload = Spinning()
    warm = warm_up(workload, at_most_s=at_most_s, stretch_s=0.002)
    assert warm.stable or warm.duration_s >= at_most_s
    assert workload.passes == -(-workload.items // workload.items_per_pass)
