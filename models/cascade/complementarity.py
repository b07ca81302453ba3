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


@dataclass(frozen=True, slots=True, kw_only=True)
class Complementarity:
    """Complementarity of all pairs; matrices (K, K) float64, symmetric, 0..1.

    Attributes:
        architectures: The K rows and columns.
        paper: 2 min(|A only|, |B only|) / N.
        released_code: (|A only| + |B only|) / N.
        oracle_accuracy: |A or B| / N, what a perfect gate would reach.
        seeds: (K, K) int64, over how many seeds in common the mean was taken.
    """

    architectures: tuple[str, ...]
    paper: NDArray[np.float64]
    released_code: NDArray[np.float64]
    oracle_accuracy: NDArray[np.float64]
    seeds: NDArray[np.int64]


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
    names = tuple(architectures)
    networks = [pool.network(name) for name in names]
    shape = (len(names), len(names))
    paper, released, oracle = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    counts = np.zeros(shape, np.int64)
    for i, first in enumerate(networks):
        for j, second in enumerate(networks[: i + 1]):
            seeds = pool.common_seeds((first.architecture, second.architecture))
            pairs = list(
                zip(
                    first.correct(pool.labels, seeds),
                    second.correct(pool.labels, seeds),
                    strict=True,
                )
            )
            where = ([i, j], [j, i])
            paper[where] = np.mean([paper_complementarity(a, b) for a, b in pairs])
            released[where] = np.mean([released_code_complementarity(a, b) for a, b in pairs])
            oracle[where] = np.mean([oracle_accuracy(a, b) for a, b in pairs])
            counts[where] = len(seeds)
    return Complementarity(
        architectures=names,
        paper=paper,
        released_code=released,
        oracle_accuracy=oracle,
        seeds=counts,
    )


def _exclusive(correct_a: NDArray[np.bool_], correct_b: NDArray[np.bool_]) -> tuple[int, int]:
    """Return how many images only A, and how many only B gets right."""
    return int((correct_a & ~correct_b).sum()), int((correct_b & ~correct_a).sum())
