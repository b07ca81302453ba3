"""The threshold search of the paper, as the baseline to beat.

Kinnas et al. 2024 (arXiv 2412.01039) try 2,000 thresholds and keep the most accurate on
uncalibrated softmax outputs; cost is no part of it. Of equal accuracies the first wins, which is
the one with the lowest usage of B. Their entropy is turned around (B runs above the threshold, the
list is searched from its high end); with the scores here, high = sure, both orders are the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

import numpy as np

from edge.combination import CombinationName
from edge.probabilities import SCORES, ScoreName
from models.cascade.complementarity import complementarity
from models.cascade.operating_points import (
    OperatingPoint,
    PairAnswers,
    correct_by_count,
    order_by_score,
    point_for_thresholds,
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


def paper_point(pool: ValidationPool, pair: tuple[str, str]) -> OperatingPoint:
    """Return the point that the paper's search finds for a pair (A, B).

    Every seed gets a threshold of its own; of the scores and combinations the most accurate one.

    Args:
        pool: Uncalibrated networks (temperature 1), as in the paper.
        pair: A and B.
    """
    points = []
    for score in get_args(ScoreName):
        for combination in _COMBINATIONS:
            thresholds = tuple(
                search_threshold(
                    PairAnswers(
                        a=pool.network(pair[0]).of_seed(seed),
                        b=pool.network(pair[1]).of_seed(seed),
                        labels=pool.labels,
                        score=score,
                        combination=combination,
                    )
                )
                for seed in pool.common_seeds(pair)
            )
            points.append(
                point_for_thresholds(
                    pool, pair, score=score, combination=combination, thresholds=thresholds
                )
            )
    return max(points, key=lambda point: sum(point.validation_accuracy))


def paper_pair(pool: ValidationPool, architectures: Sequence[str]) -> tuple[str, str]:
    """Return the two networks of highest complementarity (the paper's formula), cheaper first.

    The paper chooses by eye among the small networks' pairs of relatively high complementarity;
    this is the literal reading of it.
    """
    matrix = complementarity(pool, architectures).paper
    i, j = divmod(int(matrix.argmax()), len(architectures))
    pair = sorted((architectures[i], architectures[j]), key=lambda name: pool.network(name).macs)
    return pair[0], pair[1]
