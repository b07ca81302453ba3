"""Calibration and offline metrics on answers whose quality is known."""

from __future__ import annotations

import numpy as np
import pytest

from bicameral.errors import DataError
from edge.probabilities import softmax
from models.calibration import expected_calibration_error, fit_temperature
from models.caril.offline_metrics import score_answers
from models.networks.steering_classes import STEERING_CLASSES

pytestmark = pytest.mark.unit

CLASSES = STEERING_CLASSES["conditional"]


def _draw(count: int, temperature: float) -> tuple[np.ndarray, np.ndarray]:
    """Logits whose labels really follow softmax(logits / temperature)."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0.0, 3.0, (count, 11))
    cumulative = softmax(logits, temperature).cumsum(axis=1)
    return logits, (rng.random((count, 1)) > cumulative[:, :-1]).sum(axis=1)


@pytest.mark.parametrize("temperature", [0.6, 1.0, 2.5])
def test_the_true_temperature_is_found(temperature: float) -> None:
    logits, labels = _draw(20_000, temperature)
    assert fit_temperature(logits, labels) == pytest.approx(temperature, rel=0.03)


def test_the_right_temperature_lowers_the_calibration_error() -> None:
    logits, labels = _draw(20_000, 2.5)
    before = expected_calibration_error(softmax(logits), labels)
    after = expected_calibration_error(softmax(logits, 2.5), labels)
    assert before > 0.2
    assert after < 0.02


def test_calibration_error_of_a_known_case() -> None:
    probabilities = np.tile([0.8, 0.2], (10, 1))
    labels = np.array([0] * 6 + [1] * 4)
    assert expected_calibration_error(probabilities, labels) == pytest.approx(0.2)


def test_perfect_answers_score_perfectly_beside_their_baselines() -> None:
    steer = np.array([0.0, 0.0, 0.0, 0.2, -0.2])
    logits = 20.0 * np.eye(11)[CLASSES.labels(steer)]
    metrics = score_answers(steer, logits, steer, CLASSES, 1.0)
    assert metrics.steering_mae == 0.0
    assert metrics.zero_steering_mae == pytest.approx(0.08)
    assert metrics.accuracy == metrics.macro_recall == metrics.within_one_class == 1.0
    assert metrics.majority_accuracy == pytest.approx(0.6)
    assert metrics.class_frames[5] == 3
    assert metrics.class_recall[1] is None
    assert sum(metrics.class_prior) == pytest.approx(1.0)


def test_macro_recall_unmasks_the_majority_answer() -> None:
    label = np.array([0.0] * 9 + [0.35])
    logits = 20.0 * np.eye(11)[np.full(10, 5)]
    metrics = score_answers(np.zeros(10), logits, label, CLASSES, 1.0)
    assert metrics.accuracy == metrics.majority_accuracy == pytest.approx(0.9)
    assert metrics.macro_recall == pytest.approx(0.5)
    assert metrics.within_one_class == pytest.approx(0.9)


def test_the_paper_variant_leaves_out_frames_beyond_its_range_and_counts_them() -> None:
    paper = STEERING_CLASSES["paper"]
    label = np.array([0.0, 0.4, -0.25, 0.25])
    logits = np.eye(11)[paper.labels(label)]
    metrics = score_answers(label, logits, label, paper, 1.0)
    assert (metrics.frames, metrics.frames_outside) == (3, 1)
    assert metrics.class_frames[0] == metrics.class_frames[10] == 1
    with pytest.raises(DataError, match="none of 1 frames"):
        score_answers(label[1:2], logits[1:2], label[1:2], paper, 1.0)


def test_bins_are_closed_on_the_left_and_the_last_one_on_both_sides() -> None:
    edges = np.array(CLASSES.edges)
    assert CLASSES.labels(edges).tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10]
    assert CLASSES.labels(np.array([-3.0, 3.0])).tolist() == [0, 10]
