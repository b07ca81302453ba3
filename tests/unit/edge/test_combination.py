"""What becomes of two answers: average, post-check with ties to A, replacement."""

from __future__ import annotations

import numpy as np
import pytest

from edge.combination import COMBINATIONS
from edge.probabilities import margin, softmax

PA = np.array([[0.6, 0.4], [0.6, 0.4], [0.7, 0.3]], np.float32)
PB = np.array([[0.1, 0.9], [0.4, 0.6], [0.45, 0.55]], np.float32)


def test_average_is_the_mean_of_both_distributions() -> None:
    combined = COMBINATIONS["average"](PA, PB, margin(PA), margin(PB))
    assert combined.dtype == np.float32
    np.testing.assert_allclose(combined, [[0.35, 0.65], [0.5, 0.5], [0.575, 0.425]], rtol=1e-6)


def test_post_check_keeps_b_only_where_it_is_surer() -> None:
    scores_a, scores_b = np.array([0.2, 0.2, 0.4]), np.array([0.8, 0.2, 0.1])
    combined = COMBINATIONS["post_check"](PA, PB, scores_a, scores_b)
    assert (combined == [PB[0], PA[1], PA[2]]).all(), "the tie in the second row goes to A"


def test_replace_is_bs_answer_whatever_the_scores_say() -> None:
    assert (COMBINATIONS["replace"](PA, PB, np.ones(3), np.zeros(3)) == PB).all()


@pytest.mark.parametrize("name", COMBINATIONS)
def test_rows_stay_distributions_and_inputs_stay_as_they_are(name: str) -> None:
    rng = np.random.default_rng(0)
    pa, pb = (softmax(rng.normal(0, 3, (50, 7))).astype(np.float32) for _ in range(2))
    pa.flags.writeable = pb.flags.writeable = False
    combined = COMBINATIONS[name](pa, pb, margin(pa), margin(pb))
    assert combined.dtype == np.float32
    np.testing.assert_allclose(combined.sum(axis=1), 1.0, atol=1e-6)
    single = [
        COMBINATIONS[name](*(x[k : k + 1] for x in (pa, pb, margin(pa), margin(pb))))
        for k in range(50)
    ]
    assert (np.concatenate(single) == combined).all()
    assert COMBINATIONS[name](pa[:0], pb[:0], margin(pa[:0]), margin(pb[:0])).shape == (0, 7)
