"""Choosing a policy: the Pareto front of expected cost and validation accuracy, and one point.

Everything here takes a `ValidationPool` or what was made of one; test images cannot get in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.cascade.operating_points import System, cascade_for_usage
from models.cascade.policy_grid import (
    COMBINATION_NAMES,
    SCORE_NAMES,
    CostName,
    PolicyGrid,
    usage_grid,
)
from models.cascade.pool import ValidationPool

#: Means of the same counts, taken in another order, differ by less; one image by far more.
_ROUNDING = 1e-9

_UNITS: dict[CostName, str] = {"macs": "MACs", "cpu_us": "us"}


@dataclass(frozen=True, slots=True, kw_only=True)
class MinAccuracy:
    """The cheapest policy of at least this validation accuracy, 0..1."""

    accuracy: float


@dataclass(frozen=True, slots=True, kw_only=True)
class NearReference:
    """The cheapest policy whose validation accuracy is at most `gap` (0..1) below a network's."""

    architecture: str
    gap: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MaxCost:
    """The most accurate policy of at most this expected cost, in the measure of the grid.

    Of those that cannot be told from it (see `find`), the cheapest.
    """

    cost: float


Requirement = MinAccuracy | NearReference | MaxCost


def pareto_front(cost: NDArray[np.float64], accuracy: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the indices of the points that no other point beats, ascending by cost.

    A point is beaten by one that costs no more and is no less accurate, and better in one of the
    two. Of equal points the first stays.

    Args:
        cost: (P,).
        accuracy: (P,); NaN is never on the front.
    """
    order = np.lexsort((-accuracy, cost))
    order = order[~np.isnan(accuracy[order])]
    ranked = accuracy[order]
    best_before = np.maximum.accumulate(np.concatenate(([-np.inf], ranked)))[:-1]
    return np.asarray(order[ranked > best_before], np.int64)


def cheapest_reaching(
    cost: NDArray[np.float64], accuracy: NDArray[np.float64], target: float
) -> int | None:
    """Return the cheapest point of at least the target, the more accurate of equals, or None."""
    reaching = np.flatnonzero(accuracy >= target - _ROUNDING)
    if not len(reaching):
        return None
    cheapest = reaching[cost[reaching] == cost[reaching].min()]
    return int(cheapest[accuracy[cheapest].argmax()])


def most_accurate_under(
    cost: NDArray[np.float64], accuracy: NDArray[np.float64], limit: float
) -> int | None:
    """Return the most accurate point of at most this cost, the cheaper of equals, or None."""
    under = np.flatnonzero((cost <= limit) & ~np.isnan(accuracy))
    if not len(under):
        return None
    best = under[accuracy[under] == accuracy[under].max()]
    return int(best[cost[best].argmin()])


def target_accuracy(pool: ValidationPool, requirement: Requirement, seeds: Sequence[int]) -> float:
    """Return the validation accuracy that a requirement asks for; minus infinity for a cost."""
    if isinstance(requirement, MinAccuracy):
        return requirement.accuracy
    if isinstance(requirement, NearReference):
        reference = pool.network(requirement.architecture)
        return float(reference.correct(pool.labels, seeds).mean()) - requirement.gap
    return -np.inf


def find(
    pool: ValidationPool, grid: PolicyGrid, requirement: Requirement, allowance: float = 0.0
) -> System | None:
    """Return the cascade that meets a requirement best, or None if none does.

    Args:
        pool: What the grid was made of.
        grid: All policies.
        requirement: What the policy must reach.
        allowance: How much the accuracy of the best of many policies is flattered by the images it
            was picked on (`models.cascade.optimism`). It is added to a required accuracy; under a
            limit of cost, policies that close to the most accurate count as equal to it, and the
            cheapest of them is taken.
    """
    cost, accuracy = flat_results(grid)
    if isinstance(requirement, MaxCost):
        best = most_accurate_under(cost, accuracy, requirement.cost)
        target = np.inf if best is None else float(accuracy[best]) - allowance
    else:
        target = target_accuracy(pool, requirement, grid.axes.seeds) + allowance
    index = cheapest_reaching(cost, accuracy, target)
    return None if index is None else cascade_at(pool, grid, index)


def front_systems(pool: ValidationPool, grid: PolicyGrid) -> tuple[System, ...]:
    """Return the whole Pareto front of a grid, ascending by cost."""
    return tuple(cascade_at(pool, grid, int(index)) for index in pareto_front(*flat_results(grid)))


def flat_results(grid: PolicyGrid) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return cost and accuracy (mean over the seeds) of all policies as vectors (P,)."""
    return grid.cost.ravel(), grid.accuracy.mean(axis=0).ravel()


def cascade_at(pool: ValidationPool, grid: PolicyGrid, index: int) -> System:
    """Return a policy of the grid by its index in `flat_results`, with all seeds of its pair."""
    f, k, q, m, g = np.unravel_index(index, grid.cost.shape)
    return cascade_for_usage(
        pool,
        (grid.axes.firsts[f], grid.axes.seconds[k]),
        score=SCORE_NAMES[q],
        combination=COMBINATION_NAMES[m],
        usage=float(usage_grid(grid.axes)[g]),
    )


def unmet(pool: ValidationPool, grid: PolicyGrid, requirement: Requirement) -> str:
    """Say why no policy meets a requirement, and what can be reached instead."""
    cost, accuracy = flat_results(grid)
    unit = _UNITS[grid.axes.cost]
    if isinstance(requirement, MaxCost):
        cheapest = cost[~np.isnan(accuracy)].min()
        return (
            f"no cascade costs at most {requirement.cost:,.0f} {unit}; the cheapest costs "
            f"{cheapest:,.0f} {unit}: raise the limit or add smaller networks"
        )
    best = int(np.nanargmax(accuracy))
    target = target_accuracy(pool, requirement, grid.axes.seeds)
    return (
        f"no cascade reaches {100 * target:.2f} % on the validation images; the best reaches "
        f"{100 * accuracy[best]:.2f} % at a cost of {cost[best]:,.0f} {unit}: ask for less or add "
        "better networks"
    )
