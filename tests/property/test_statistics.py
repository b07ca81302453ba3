"""Intervals: where they lie, when there is none, and that they depend on nothing but the values."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from bicameral.statistics import (
    Estimate,
    Resampling,
    clustered_mean,
    mean,
    mean_over_images,
    median,
    nested_mean,
    share,
)

FINITE = st.floats(-1e6, 1e6)
FEW = Resampling(replicates=50)


def assert_enclosed(estimate: Estimate) -> None:
    assert estimate.value is not None
    assert estimate.low is not None
    assert estimate.high is not None
    assert estimate.low <= estimate.value <= estimate.high


@given(st.integers(2, 10_000), st.data())
def test_the_interval_of_a_share_encloses_it_within_0_and_1(n: int, data: st.DataObject) -> None:
    estimate = share(data.draw(st.integers(0, n)), n)
    assert_enclosed(estimate)
    assert 0.0 <= estimate.low < estimate.high <= 1.0  # type: ignore[operator]


@given(st.lists(FINITE, min_size=2, max_size=30))
def test_means_and_medians_lie_in_their_intervals(values: list[float]) -> None:
    assert_enclosed(mean(values))
    assert_enclosed(median(values))


@settings(max_examples=30)
@given(st.lists(st.tuples(FINITE, st.sampled_from("abc")), min_size=1, max_size=30))
def test_the_mean_over_routes_lies_in_its_interval(drives: list[tuple[float, str]]) -> None:
    values, routes = zip(*drives, strict=True)
    estimate = clustered_mean(values, routes, "m", seed=0, name="error")
    assert estimate.n == len(drives)
    if len(set(routes)) == 1:
        assert (estimate.low, estimate.high) == (None, None)
    else:
        assert_enclosed(estimate)
    assert estimate == clustered_mean(values, routes, "m", seed=0, name="error")


@settings(max_examples=30)
@given(arrays.arrays(np.float64, st.tuples(st.integers(1, 3), st.integers(2, 40)),
                     elements=st.sampled_from([-1.0, 0.0, 1.0])))  # fmt: skip
def test_the_mean_over_images_says_what_it_rests_on(values: np.ndarray) -> None:
    estimate = mean_over_images(values, FEW)
    assert_enclosed(estimate)
    assert (estimate.seeds, estimate.n) == values.shape


@given(FINITE, st.sampled_from([0, 1]))
def test_one_value_has_no_interval_and_none_has_no_figure(value: float, n: int) -> None:
    estimates = [
        mean([value] * n),
        median([value] * n),
        clustered_mean([value] * n, ["a"] * n, "m", seed=0, name=""),
    ]
    for estimate in estimates:
        assert (estimate.value, estimate.low, estimate.high) == (value if n else None, None, None)
        assert estimate.valid == bool(n)
    assert (share(n, n).value, share(n, n).low, share(n, n).high) == (
        1.0 if n else None,
        None,
        None,
    )
    assert mean_over_images(np.full((2, 1), value)).low is None


def test_students_interval_holds_for_any_number_of_trainings() -> None:
    # What scipy 1.16 gives for the one-sample test of these six values.
    estimate = mean(list(range(6)))
    assert np.allclose([estimate.low, estimate.high], [0.536686, 4.463314], atol=1e-6)


@given(
    st.lists(
        st.tuples(st.sampled_from("AB"), st.sampled_from("pqr"), st.floats(-5.0, 5.0)),
        min_size=1,
        max_size=30,
    )
)
@settings(deadline=None, max_examples=30)
def test_a_mean_over_towns_and_routes_lies_in_its_interval(drives):
    values = [value for *_, value in drives]
    clusters = [(town, town + route) for town, route, _ in drives]
    estimate = nested_mean(values, clusters, "m", seed=0, name="error")
    assert np.isclose(estimate.value, np.mean(values))
    assert (estimate.low is None) == (len({town for town, _ in clusters}) < 2)
    if estimate.low is not None:
        assert_enclosed(estimate)
