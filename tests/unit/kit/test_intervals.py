"""Intervals: known values, and what they must never do."""

import numpy as np
import pytest

from bicameral.statistics import (
    clustered_auroc,
    clustered_mean,
    holm,
    nested_mean,
    share,
    sign_flip_p,
    slope,
)


def test_wilsons_interval_matches_the_published_example():
    # Newcombe (1998), Statistics in Medicine 17, table I: 81 of 263 and 0 of 20.
    first, second = share(81, 263), share(0, 20)
    assert (first.low, first.high) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert (second.low, second.high) == pytest.approx((0.0, 0.1611), abs=5e-5)


def test_a_rate_of_nothing_is_not_zero():
    assert not share(0, 0).valid
    assert share(0, 0).value is None


def test_the_interval_of_a_slope_matches_a_published_regression():
    # Anscombe (1973), The American Statistician 27, data set 1: slope 0.500, standard error 0.118.
    places = [10, 8, 13, 9, 11, 14, 6, 4, 12, 7, 5]
    values = [8.04, 6.95, 7.58, 8.81, 8.33, 9.96, 7.24, 4.26, 10.84, 4.82, 5.68]
    result = slope(places, values, "1")
    # Student's t with 9 degrees of freedom leaves 5 % beyond 2.262.
    assert result.value == pytest.approx(0.5001, abs=5e-5)
    assert result.high - result.value == pytest.approx(2.262 * 0.1179, abs=5e-4)
    assert result.value - result.low == pytest.approx(2.262 * 0.1179, abs=5e-4)


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


def test_towns_that_disagree_make_a_mean_less_sure_than_routes_that_do():
    routes = [(town, f"{town}{number}") for town in "ABCDEF" for number in range(6)]
    between = [ord(town) % 2 for town, _ in routes]
    within = [number % 2 for _ in "ABCDEF" for number in range(6)]
    unsure, sure = (
        nested_mean(values, routes, "m", seed=0, name="x") for values in (between, within)
    )
    assert unsure.value == sure.value == 0.5
    assert unsure.high - unsure.low > 1.5 * (sure.high - sure.low)


@pytest.mark.parametrize(
    ("differences", "routes", "exact"),
    [
        ([1.0, 2.0, 3.0], "abc", 2 / 8),  # all three alike: that, or its mirror image, of 8
        ([1.0, 2.0, 3.0, 1.0], "abca", 2 / 8),  # drives of one route count once
        ([3.0, 1.0, -1.0], "abc", 6 / 8),  # 5, 3 and 3 are as far from 0, 1 is not
        ([0.0, 0.0], "ab", 1.0),
    ],
)
def test_chance_is_judged_by_flipping_whole_routes(differences, routes, exact):
    found = sign_flip_p(differences, list(routes), seed=0, name="x")
    assert found == pytest.approx(exact, abs=0.01)


def test_p_values_of_several_tests_are_adjusted_as_holm_did():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]


def area(scores, positive, clusters):
    return clustered_auroc(
        np.array(scores, float), np.array(positive, bool), np.array(clusters), seed=0, name="x"
    )


def test_the_area_under_the_curve_is_the_share_of_pairs_won():
    # Of the six pairs four are won and one is tied.
    result = area([3.0, 2.0, 1.0, 2.0, 0.0], [1, 1, 0, 0, 0], list("abcde"))
    assert result.value == pytest.approx(5.5 / 6.0)
    assert result.n == 5
    assert result.low < result.value <= result.high


def test_a_score_that_knows_nothing_has_an_area_of_a_half_and_one_that_knows_all_of_one():
    rng = np.random.default_rng(0)
    positive = rng.random(2000) < 0.2
    clusters = np.repeat([f"drive {number}" for number in range(40)], 50)
    blind = area(rng.random(2000), positive, clusters)
    assert blind.low < 0.5 < blind.high < 0.6
    sighted = area(positive.astype(float), positive, clusters)
    assert (sighted.value, sighted.low, sighted.high) == (1.0, 1.0, 1.0)


def test_the_interval_of_an_area_is_that_of_the_clusters_not_of_their_frames():
    rng = np.random.default_rng(1)
    scores, positive = rng.random(12), np.array([1, 0] * 6)
    once = area(scores, positive, list("aabbccddeeff"))
    often = area(np.tile(scores, 20), np.tile(positive, 20), list("aabbccddeeff") * 20)
    assert often.value == pytest.approx(once.value)
    assert (often.low, often.high) == pytest.approx((once.low, once.high))


def test_there_is_no_area_where_all_are_alike_and_no_interval_for_one_cluster():
    assert not area([1.0, 2.0], [1, 1], ["a", "b"]).valid
    assert area([1.0, 2.0], [0, 1], ["a", "a"]).low is None
