"""Properties of the interval of accuracy that an exported classifier claims."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bicameral.statistics import share
from edge.sidecar import Claim
from models.classifiers.export import claims_on_test

pytestmark = pytest.mark.property


def _accuracy(right: int, n: int) -> Claim:
    return claims_on_test(right, n, ece=0.0, command="-")[0]


@settings(max_examples=200, deadline=None)
@given(st.integers(2, 400), st.floats(0.0, 1.0))
def test_it_is_wilsons_within_0_and_1_with_a_width_and_the_accuracy_inside(
    n: int, fraction: float
) -> None:
    right = round(fraction * n)
    claim, expected = _accuracy(right, n), share(right, n)
    assert claim.ci95 is not None
    low, high = claim.ci95
    assert 0.0 <= low < high <= 1.0
    assert low <= claim.value <= high
    assert claim.ci95 == pytest.approx((expected.low, expected.high), abs=5e-5)


@pytest.mark.parametrize(("right", "interval"), [(49, (0.895, 0.9965)), (50, (0.9287, 1.0))])
def test_few_errors_of_50_images_claim_neither_more_than_all_nor_certainty(
    right: int, interval: tuple[float, float]
) -> None:
    assert _accuracy(right, 50).ci95 == interval


def test_one_image_claims_no_interval() -> None:
    assert _accuracy(1, 1).ci95 is None
