"""Both formulas of complementarity, and the oracle."""

from __future__ import annotations

import numpy as np
import pytest

from models.cascade.complementarity import (
    complementarity,
    oracle_accuracy,
    paper_complementarity,
    released_code_complementarity,
)
from models.cascade.pool import ValidationPool

pytestmark = pytest.mark.unit

# 10 images: both right on 4, only A on 3, only B on 1, none on 2.
A = np.array([1, 1, 1, 1, 1, 1, 1, 0, 0, 0], np.bool_)
B = np.array([1, 1, 1, 1, 0, 0, 0, 1, 0, 0], np.bool_)


def test_the_paper_counts_the_smaller_exclusive_set_twice() -> None:
    assert paper_complementarity(A, B) == 2 * 1 / 10


def test_the_released_code_counts_both_exclusive_sets() -> None:
    assert released_code_complementarity(A, B) == (3 + 1) / 10


def test_the_oracle_is_right_where_one_of_the_two_is() -> None:
    assert oracle_accuracy(A, B) == 8 / 10


def test_a_dominated_network_complements_nobody_in_the_paper() -> None:
    assert paper_complementarity(A, A & B) == 0.0
    assert released_code_complementarity(A, A & B) == 0.3


def test_the_matrix_is_the_mean_over_the_common_seeds(validation: ValidationPool) -> None:
    matrix = complementarity(validation, ("middle", "tiny"))
    middle, tiny = (
        validation.network(n).correct(validation.labels, (0, 1)) for n in matrix.architectures
    )
    by_seed = [paper_complementarity(middle[s], tiny[s]) for s in (0, 1)]
    assert matrix.paper[0][1] == matrix.paper[1][0] == pytest.approx(np.mean(by_seed))
    assert matrix.paper[0][0] == matrix.released_code[1][1] == 0.0
    assert matrix.oracle_accuracy[0][0] == pytest.approx(middle.mean())
    assert matrix.n_seeds == ((2, 2), (2, 2))
