"""Comparing curves: known distances, and agreement with the definitions by brute force."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.metrics.curves import compare_curves, curve_length, resample
from sim.metrics.kernels import align

coordinates = st.floats(-20.0, 20.0)
curves = st.lists(st.tuples(coordinates, coordinates), min_size=1, max_size=6).map(
    lambda points: np.array(points, float)
)


def alignments(n, m):
    """All monotone alignments of n and m points."""
    if n == 1 and m == 1:
        return [[(0, 0)]]
    longer = []
    for dn, dm in ((1, 1), (1, 0), (0, 1)):
        if n > dn and m > dm:
            longer += [[*path, (n - 1, m - 1)] for path in alignments(n - dn, m - dm)]
    return longer


def distances(a, b):
    return np.hypot(a[:, None, 0] - b[None, :, 0], a[:, None, 1] - b[None, :, 1])


@given(curves, curves)
@settings(deadline=None, max_examples=40)
def test_both_distances_are_the_smallest_over_all_alignments(a, b):
    d = distances(a, b)
    paths = alignments(len(a), len(b))
    leash, total, pairs, partner = align(a, b)
    assert leash == pytest.approx(min(max(d[i, j] for i, j in p) for p in paths))
    assert total == pytest.approx(min(sum(d[i, j] for i, j in p) for p in paths))
    assert max(len(a), len(b)) <= pairs < len(a) + len(b)
    assert len(partner) == len(b)


@given(curves, curves)
@settings(deadline=None, max_examples=40)
def test_frechet_is_symmetric_and_zero_only_for_itself(a, b):
    assert align(a, b)[0] == pytest.approx(align(b, a)[0])
    assert align(a, a)[0] == 0.0


def test_resampling_keeps_both_ends_and_the_spacing():
    points = resample(np.array([[0.0, 0.0], [0.0, 0.0], [3.2, 0.0]]), 0.5)
    assert points[0].tolist() == [0.0, 0.0]
    assert points[-1].tolist() == [3.2, 0.0]
    assert np.diff(points[:-1, 0]) == pytest.approx(0.5)


def test_a_curve_without_length_is_one_point():
    assert resample(np.array([[1.0, 2.0], [1.0, 2.0]]), 0.5).tolist() == [[1.0, 2.0]]


def test_how_densely_a_curve_was_recorded_does_not_matter():
    t = np.linspace(0.0, 3.0, 1000)
    dense = np.column_stack([50 * np.sin(t), 50 - 50 * np.cos(t)])
    other = dense * [1.0, 1.02]
    thick, thin = compare_curves(dense, other), compare_curves(dense[::9], other)
    assert thin.dtw_normalised_m == pytest.approx(thick.dtw_normalised_m, rel=0.02)
    assert thin.frechet_m == pytest.approx(thick.frechet_m, rel=0.02)


def test_a_detour_shows_in_the_length():
    straight = np.array([[0.0, 0.0], [100.0, 0.0]])
    detour = np.array([[0.0, 0.0], [50.0, 50.0], [100.0, 0.0]])
    assert curve_length(detour) == pytest.approx(141.42, abs=0.01)
    assert compare_curves(detour, straight).length_error == pytest.approx(0.4142, abs=1e-4)
    assert compare_curves(detour, straight).frechet_m == pytest.approx(50.0, abs=0.5)
