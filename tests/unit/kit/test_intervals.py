"""Intervals: known values, and what they must never do."""

import numpy as np
import pytest

from bicameral.statistics import clustered_mean, share


def test_wilsons_interval_matches_the_published_example():
    # Newcombe (1998), Statistics in Medicine 17, table I: 81 of 263 and 0 of 20.
    first, second = share(81, 263), share(0, 20)
    assert (first.low, first.high) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert (second.low, second.high) == pytest.approx((0.0, 0.1611), abs=5e-5)


def test_a_rate_of_nothing_is_not_zero():
    assert not share(0, 0).valid
    assert share(0, 0).value is None


def estimate(values, clusters, **changes):
    return clustered_mean(values, clusters, "m", **({"seed": 1, "name": "x"} | changes))


def test_equal_values_have_an_interval_of_no_width():
    result = estimate([2.0] * 6, list("aabbcc"))
    assert (result.value, result.low, result.high, result.n) == (2.0, 2.0, 2.0, 6)


def test_a_single_route_gives_a_mean_without_interval():
    result = estimate([1.0, 3.0], ["a", "a"])
    assert result.value == 2.0
    assert result.low is None


def test_the_interval_is_repeatable_and_does_not_depend_on_order():
    values, clusters = [1.0, 5.5, 2.3, 7.1, 4.9], list("abcde")
    forward = estimate(values, clusters)
    assert estimate(values[::-1], clusters[::-1]) == forward
    assert estimate(values, clusters, name="y") != forward


def test_repeating_the_same_route_does_not_make_it_surer():
    rng = np.random.default_rng(0)
    values = rng.normal(size=8).tolist()
    once = estimate(values, list("abcdefgh"))
    thrice = estimate(values * 3, list("abcdefgh") * 3)
    assert (thrice.low, thrice.high) == pytest.approx((once.low, once.high))


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    hits = 0
    for seed in range(200):
        values = rng.normal(1.0, 1.0, size=30).tolist()
        result = estimate(values, [str(i) for i in range(30)], seed=seed)
        hits += result.low <= 1.0 <= result.high
    assert 0.88 <= hits / 200 <= 0.99
