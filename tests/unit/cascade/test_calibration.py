"""Reliability bins and the error that is computed from them."""

from __future__ import annotations

import numpy as np
import pytest

from models.calibration import expected_calibration_error, reliability_bins

pytestmark = pytest.mark.unit

PROBABILITIES = np.array([[0.95, 0.05], [0.85, 0.15], [0.45, 0.55], [1.0, 0.0]])
LABELS = np.array([0, 1, 1, 0])


def test_an_answer_lies_in_the_bin_of_its_confidence() -> None:
    bins = reliability_bins(PROBABILITIES, LABELS, 10)
    assert bins.count == (0, 0, 0, 0, 0, 1, 0, 0, 1, 2)
    assert bins.confidence[9] == pytest.approx((0.95 + 1.0) / 2)
    assert [bins.accuracy[k] for k in (5, 8, 9)] == [1.0, 0.0, 1.0]


def test_empty_bins_hold_zeros_and_no_nan() -> None:
    bins = reliability_bins(PROBABILITIES, LABELS, 10)
    assert bins.confidence[0] == bins.accuracy[0] == 0.0


def test_the_calibration_error_is_the_mean_gap_of_the_bins() -> None:
    by_hand = (0.45 * 1 + 0.85 * 1 + (1.0 - 0.975) * 2) / 4
    assert expected_calibration_error(PROBABILITIES, LABELS, 10) == pytest.approx(by_hand)
