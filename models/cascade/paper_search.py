"""The threshold search of the paper, as the baseline to beat.

Kinnas et al. 2024 (arXiv 2412.01039) try 2,000 thresholds and keep the most accurate on
uncalibrated softmax outputs; cost is no part of it. Of equal accuracies the first wins, which is
the one with the lowest usage of B. Their entropy is turned around (B runs above the threshold, the
list is searched from its high end); with the scores here, high = sure, both orders are the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

import numpy as np

from edge.cascade import CascadePolicy
from edge.combination import CombinationName
from edge.probabilities import SCORES, ScoreName
from models.cascade.complementarity import complementarity
from models.cascade.operating_points import (
    PairAnswers,
    System,
    answer,
    correct_by_count,
    order_by_score,
)
from models.cascade.pool import ValidationPool

_GRID = np.linspace(0.0, 1.0, 2000)

#: The paper keeps the surer answer, or always B's; it does not average.
_COMBINATIONS: tuple[CombinationName, ...] = ("post_check", "replace")


def search_threshold(pair: PairAnswers) -> float:
    """Return the first of 2,000 thresholds with the highest accuracy.

    Args:
        pair: The answers of A and B; uncalibrated in the paper.
    """
    scores = SCORES[pair.score](pair.a)
    order = order_by_score(scores)
    below = np.searchsorted(scores[order.order], _GRID, side="left")
    return float(_GRID[correct_by_count(pair, order)[below].argmax()])


def paper_cascade(pool: ValidationPool, names: Sequence[str]) -> System:
    """Return the cascade that the paper's search finds for a pair (A, B).

    Every seed gets a threshold of its own; of the scores and combinations the most accurate one.

    Args:
        pool: Uncalibrated networks (temperature 1), as in the paper.
        names: A and B.
    """
    found = [
        _searched(pool, names, score, combination)
        for score in SCORES
        for combination in _COMBINATIONS
    ]
    return max(found, key=lambda system: answer(pool, system).correct.mean())


def _searched(
    pool: ValidationPool, names: Sequence[str], score: ScoreName, combination: CombinationName
) -> System:
    """Return a pair with the threshold of each seed that the paper's search finds."""
    policies = {}
    for seed in pool.common_seeds(names):
        a, b = pool.answers(names, seed)
        pair = PairAnswers(a=a, b=b, labels=pool.labels, score=score, combination=combination)
        policies[seed] = CascadePolicy(
            score=score, thresholds=(search_threshold(pair),), combine=combination
        )
    return System(networks=tuple(names), policies=policies)


def paper_pair(pool: ValidationPool, architectures: Sequence[str]) -> tuple[str, str]:
    """Return the two networks of highest complementarity (the paper's formula), cheaper first.

    The paper chooses by eye among the small networks' pairs of relatively high complementarity;
    this is the literal reading of it.
    """
    matrix = np.array(complementarity(pool, architectures).paper)
    i, j = divmod(int(matrix.argmax()), len(architectures))
    pair = sorted((architectures[i], architectures[j]), key=lambda name: pool.network(name).macs)
    return pair[0], pair[1]


def paper_choice(pool: ValidationPool, architectures: Sequence[str]) -> System:
    """Return the most accurate cascade that the paper's search finds among all pairs.

    Where the paper's code compares: difference of the two highest probabilities, the surer answer.
    """
    found = [
        _searched(pool, names, "margin", "post_check") for names in permutations(architectures, 2)
    ]
    return max(found, key=lambda system: answer(pool, system).correct.mean())
