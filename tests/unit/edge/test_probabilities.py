"""Softmax and scores: known values, float64 out of any input, and every row on its own."""

from __future__ import annotations

import numpy as np
import pytest

from edge.probabilities import SCORES, calibrated_probabilities, softmax

LOGITS = np.random.default_rng(0).normal(0, 5, (200, 10)).astype(np.float32)


def test_softmax_is_its_definition() -> None:
    expected = np.exp(LOGITS.astype(np.float64) / 1.7)
    expected /= expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(softmax(LOGITS, 1.7), expected, rtol=1e-13)
    assert softmax(LOGITS[0]).shape == (10,)


def test_softmax_survives_logits_whose_exponential_overflows() -> None:
    assert softmax(np.array([1e4, 0.0, -1e4])).tolist() == [1.0, 0.0, 0.0]


def test_softmax_leaves_the_logits_alone() -> None:
    logits = LOGITS.astype(np.float64)
    softmax(logits, 2.0)
    assert (logits == LOGITS).all()


def test_a_classifiers_answer_is_the_softmax_in_float32() -> None:
    answer = calibrated_probabilities(LOGITS, 1.7)
    assert answer.dtype == np.float32
    assert (answer == softmax(LOGITS, 1.7).astype(np.float32)).all()
    assert calibrated_probabilities(LOGITS[:0], 1.7).shape == (0, 10)


@pytest.mark.parametrize("batch", [1, 3, 32])
@pytest.mark.parametrize("score", SCORES)
def test_a_row_gives_the_same_bits_in_every_batch(batch: int, score: str) -> None:
    def scores(logits: np.ndarray) -> np.ndarray:
        return SCORES[score](calibrated_probabilities(logits, 0.8))

    parts = [scores(LOGITS[at : at + batch]) for at in range(0, len(LOGITS), batch)]
    assert (np.concatenate(parts) == scores(LOGITS)).all()


@pytest.mark.parametrize(
    ("score", "uniform", "halves", "certain"),
    [
        ("margin", 0.0, 0.0, 1.0),
        ("max_probability", 0.25, 0.5, 1.0),
        ("entropy_normalised", 0.0, 0.5, 1.0),
    ],
)
def test_scores_of_known_distributions(
    score: str, uniform: float, halves: float, certain: float
) -> None:
    rows = np.array([[0.25] * 4, [0.5, 0.0, 0.5, 0.0], [0.0, 0.0, 1.0, 0.0]])
    np.testing.assert_allclose(SCORES[score](rows), [uniform, halves, certain], atol=1e-15)


@pytest.mark.parametrize("score", SCORES)
def test_scores_are_float64_and_leave_their_input_alone(score: str) -> None:
    rows = calibrated_probabilities(LOGITS, 1.0)
    before = rows.copy()
    rows.flags.writeable = False
    scores = SCORES[score](rows)
    assert scores.dtype == np.float64
    assert scores.shape == (200,)
    assert (scores == SCORES[score](rows.astype(np.float64))).all()
    assert (rows == before).all()
    assert SCORES[score](rows[:0]).shape == (0,)
