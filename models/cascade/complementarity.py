"""How much two networks complete each other: who is right where the other is wrong.

Both formulas are of Kinnas et al. 2024 (arXiv 2412.01039): the paper subtracts |n(A) - n(B)|,
which rewards balanced coverage and is 0 where one network dominates; the released code does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.cascade.pool import CalibratedPool

Matrix = tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Complementarity:
    """Complementarity of all pairs; symmetric matrices of K rows, 0..1.

    Attributes:
        architectures: The K rows and columns.
        paper: 2 min(|A only|, |B only|) / N.
        released_code: (|A only| + |B only|) / N.
        oracle_accuracy: |A or B| / N, what a perfect gate would reach.
        n_seeds: Over how many seeds in common the mean was taken.
        n_images: Number of images.
    """

    architectures: tuple[str, ...]
    paper: Matrix
    released_code: Matrix
    oracle_accuracy: Matrix
    n_seeds: tuple[tuple[int, ...], ...]
    n_images: int


def paper_complementarity(correct_a: NDArray[np.bool_], correct_b: NDArray[np.bool_]) -> float:
    """Return 2 min(|A only|, |B only|) / N for two vectors (N,) of right answers."""
    a_only, b_only = _exclusive(correct_a, correct_b)
    return 2.0 * min(a_only, b_only) / len(correct_a)


def released_code_complementarity(
    correct_a: NDArray[np.bool_], correct_b: NDArray[np.bool_]
) -> float:
    """Return (|A only| + |B only|) / N for two vectors (N,) of right answers."""
    return sum(_exclusive(correct_a, correct_b)) / len(correct_a)


def oracle_accuracy(correct_a: NDArray[np.bool_], correct_b: NDArray[np.bool_]) -> float:
    """Return the share of images that at least one of the two gets right."""
    return float((correct_a | correct_b).mean())


def complementarity(pool: CalibratedPool, architectures: Sequence[str]) -> Complementarity:
    """Compare networks with each other: seed s of one with seed s of the other, then the mean.

    Raises:
        DataError: If two networks have no seed in common.
        UserError: If the pool does not hold one of them.
    """
    formulas = (paper_complementarity, released_code_complementarity, oracle_accuracy)
    size = len(architectures)
    matrices = np.zeros((len(formulas), size, size))
    seeds = np.zeros((size, size), np.int64)
    for i, first in enumerate(architectures):
        for j, second in enumerate(architectures[: i + 1]):
            common = pool.common_seeds((first, second))
            seeds[[i, j], [j, i]] = len(common)
            a, b = (pool.network(name).correct(pool.labels, common) for name in (first, second))
            for matrix, formula in zip(matrices, formulas, strict=True):
                matrix[[i, j], [j, i]] = np.mean(list(map(formula, a, b)))
    paper, released, oracle = (tuple(map(tuple, matrix.tolist())) for matrix in matrices)
    return Complementarity(
        architectures=tuple(architectures),
        paper=paper,
        released_code=released,
        oracle_accuracy=oracle,
        n_seeds=tuple(map(tuple, seeds.tolist())),
        n_images=len(pool.labels),
    )


def _exclusive(correct_a: NDArray[np.bool_], correct_b: NDArray[np.bool_]) -> tuple[int, int]:
    """Return how many images only A, and how many only B gets right."""
    return int((correct_a & ~correct_b).sum()), int((correct_b & ~correct_a).sum())
