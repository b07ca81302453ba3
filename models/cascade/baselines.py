"""What a cascade must beat: single networks at its cost, big-little, the reference.

All are chosen on the validation images, over the whole range of costs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.cascade.policy_grid import CostName, network_cost
from models.cascade.pool import ValidationPool
from models.cascade.selection import cheapest_reaching, most_accurate_under, pareto_front


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixture:
    """Two single networks, one of them drawn at random for every image.

    Nobody would ship it. It is the straight line between two networks, so it says what a single
    network of exactly a cascade's cost could be expected to reach.

    Attributes:
        cheaper: Architecture.
        dearer: Architecture; the same as `cheaper` at the end of the range.
        share: Share of the images that the dearer one sees, 0..1.
    """

    cheaper: str
    dearer: str
    share: float


def choose_reference(
    pool: ValidationPool, candidates: Sequence[str], seeds: Sequence[int], tolerance: float
) -> str:
    """Return the cheapest candidate (by MACs) within `tolerance` (0..1) of the best of them."""
    accuracy = _accuracies(pool, candidates, seeds)
    cost = _costs(pool, candidates, "macs")
    index = cheapest_reaching(cost, accuracy, float(accuracy.max()) - tolerance)
    # The best candidate itself always qualifies.
    return candidates[index or 0]


def single_front(
    pool: ValidationPool, candidates: Sequence[str], seeds: Sequence[int], cost: CostName
) -> tuple[str, ...]:
    """Return the single networks that no other one beats, ascending by cost."""
    front = pareto_front(_costs(pool, candidates, cost), _accuracies(pool, candidates, seeds))
    return tuple(candidates[index] for index in front)


def best_single(
    pool: ValidationPool,
    candidates: Sequence[str],
    seeds: Sequence[int],
    *,
    cost: CostName,
    limit: float,
) -> str | None:
    """Return the most accurate single network of at most this cost, or None if all cost more."""
    index = most_accurate_under(
        _costs(pool, candidates, cost), _accuracies(pool, candidates, seeds), limit
    )
    return None if index is None else candidates[index]


def mixture_at_cost(
    pool: ValidationPool,
    candidates: Sequence[str],
    seeds: Sequence[int],
    *,
    cost: CostName,
    limit: float,
) -> Mixture | None:
    """Return the best random mixture of two single networks at this expected cost, or None.

    It lies on the upper concave hull of the networks' costs and accuracies.
    """
    front = single_front(pool, candidates, seeds, cost)
    costs, accuracies = _costs(pool, front, cost), _accuracies(pool, front, seeds)
    if costs[0] > limit:
        return None
    hull = _upper_hull(costs, accuracies)
    at = int(np.searchsorted(costs[hull], limit, side="right")) - 1
    low, high = hull[at], hull[min(at + 1, len(hull) - 1)]
    span = costs[high] - costs[low]
    share = float((limit - costs[low]) / span) if span > 0.0 else 0.0
    return Mixture(cheaper=front[low], dearer=front[high], share=share)


def _upper_hull(cost: NDArray[np.float64], accuracy: NDArray[np.float64]) -> list[int]:
    """Return the indices of the concave hull of points that ascend in both."""
    hull: list[int] = []
    for index in range(len(cost)):
        while len(hull) > 1:
            first, last = hull[-2], hull[-1]
            before = (accuracy[last] - accuracy[first]) * (cost[index] - cost[last])
            after = (accuracy[index] - accuracy[last]) * (cost[last] - cost[first])
            if before > after:
                break
            hull.pop()
        hull.append(index)
    return hull


def _accuracies(
    pool: ValidationPool, names: Sequence[str], seeds: Sequence[int]
) -> NDArray[np.float64]:
    return np.array([pool.network(name).correct(pool.labels, seeds).mean() for name in names])


def _costs(pool: ValidationPool, names: Sequence[str], cost: CostName) -> NDArray[np.float64]:
    return np.array([network_cost(pool.network(name), cost) for name in names])
