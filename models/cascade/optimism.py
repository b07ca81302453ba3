"""How much the validation accuracy of a chosen policy flatters it.

The best of 10^5 policies on a few thousand images is partly the luckiest. Repeated split-half
selection measures by how much: choose on one half of the validation images, look at the same
policy on the other half. Thresholds are shares of A's scores and use no labels, so they are those
of all images.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.cascade.policy_grid import (
    COMBINATION_NAMES,
    SCORE_NAMES,
    OrderedGains,
    PolicyAxes,
    PolicyGrid,
    ordered_gains,
    same_pairs,
    usage_grid,
)
from models.cascade.pool import ValidationPool
from models.cascade.selection import (
    MaxCost,
    MinAccuracy,
    NearReference,
    Requirement,
    cheapest_reaching,
    most_accurate_under,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitHalves:
    """Accuracies of every policy on random halves of the validation images; R splits.

    Attributes:
        in_half: (R, N) bool, which images lie in the first half.
        first: (R, P) float32, accuracy on the first half; P as in `selection.flat_results`.
        second: (R, P) float32, accuracy on the other half.
    """

    in_half: NDArray[np.bool_]
    first: NDArray[np.float32]
    second: NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectionOptimism:
    """What split-half selection found for one requirement; accuracies 0..1.

    Attributes:
        half_gap: Mean over the splits of accuracy on the half that chose minus accuracy on the
            other half (for a requirement relative to a network: of the difference to it).
        expected: The same for all images: half_gap / sqrt(2), because pure luck shrinks with the
            root of the number of images. On the safe side: where policies also differ in truth
            it shrinks faster (on made-up pools of 1,000 to 4,000 images by 0.5 to 0.7).
        standard_error: Of `half_gap`, from the spread over the splits. The splits share images,
            so it is a lower bound.
        splits: Splits in which some policy met the requirement.
        splits_tried: All splits.
        same_pair: Share of those splits that chose the most frequent pair (A, B): how stable the
            choice is.
        n_images: Validation images, both halves together.
        n_seeds: Seeds that every accuracy is a mean over.
    """

    half_gap: float
    expected: float
    standard_error: float
    splits: int
    splits_tried: int
    same_pair: float
    n_images: int
    n_seeds: int


def split_halves(pool: ValidationPool, axes: PolicyAxes, *, splits: int, seed: int) -> SplitHalves:
    """Evaluate every policy on random halves of the validation images."""
    n = len(pool.labels)
    in_half = np.zeros((splits, n), np.bool_)
    rng = np.random.default_rng(seed)
    for row in in_half:
        row[rng.permutation(n)[: n // 2]] = True
    # The last row counts all images; the other halves are what the first ones leave of it.
    weights = np.concatenate([in_half, np.ones((1, n), np.bool_)]).astype(np.float32)
    shape = (len(axes.firsts), len(axes.seconds), len(SCORE_NAMES), len(COMBINATION_NAMES))
    correct = np.zeros((splits + 1, *shape, len(usage_grid(axes))), np.float32)
    for group in ordered_gains(pool, axes):
        _, f, q = group.place
        correct[:, f, :, q] += _weighted_correct(weights[:, group.order], group)
    correct[:, same_pairs(axes)] = np.nan
    by_policy = correct.reshape(splits + 1, -1)
    half, seeds = n // 2, len(axes.seeds)
    return SplitHalves(
        in_half=in_half,
        first=by_policy[:-1] / np.float32(half * seeds),
        second=(by_policy[-1] - by_policy[:-1]) / np.float32((n - half) * seeds),
    )


def selection_optimism(
    pool: ValidationPool, grid: PolicyGrid, halves: SplitHalves, requirement: Requirement
) -> SelectionOptimism:
    """Repeat a choice on every first half and compare it with the second half."""
    cost = grid.cost.ravel()
    offsets = _offsets(pool, grid.axes, halves, requirement)
    gaps, pairs = [], []
    for first, second, (here, there) in zip(halves.first, halves.second, offsets, strict=True):
        if isinstance(requirement, MaxCost):
            index = most_accurate_under(cost, first, requirement.cost)
        elif isinstance(requirement, MinAccuracy):
            index = cheapest_reaching(cost, first, requirement.accuracy)
        else:
            index = cheapest_reaching(cost, first, here - requirement.gap)
        if index is not None:
            gaps.append(float(first[index] - second[index]) - (here - there))
            pairs.append(tuple(np.unravel_index(index, grid.cost.shape)[:2]))
    half_gap = float(np.mean(gaps)) if gaps else 0.0
    spread = float(np.std(gaps, ddof=1)) if len(gaps) > 1 else 0.0
    return SelectionOptimism(
        half_gap=half_gap,
        expected=half_gap / math.sqrt(2.0),
        standard_error=spread / math.sqrt(max(len(gaps), 1)),
        splits=len(gaps),
        splits_tried=len(halves.first),
        same_pair=max(map(pairs.count, set(pairs)), default=0) / max(len(pairs), 1),
        n_images=len(pool.labels),
        n_seeds=len(grid.axes.seeds),
    )


def _weighted_correct(weights: NDArray[np.float32], group: OrderedGains) -> NDArray[np.float32]:
    """Return how many weighted images (R, B, M, G) the policies of one group get right.

    The gains between neighbouring thresholds are summed by one matrix product for all policies
    and weightings, then cumulated.

    Args:
        weights: (R, N), in the order of the group.
        group: The gains.
    """
    seconds, combinations, n = group.gains.shape
    gains = group.gains.reshape(-1, n).astype(np.float32)
    sums = np.zeros((len(weights), len(gains), len(group.below)), np.float32)
    begin = 0
    for step, end in enumerate(group.below):
        sums[:, :, step] = weights[:, begin:end] @ gains[:, begin:end].T
        begin = end
    sums = np.cumsum(sums, axis=-1) + (weights @ group.alone.astype(np.float32))[:, None, None]
    return sums.reshape(len(weights), seconds, combinations, -1)


def _offsets(
    pool: ValidationPool, axes: PolicyAxes, halves: SplitHalves, requirement: Requirement
) -> NDArray[np.float64]:
    """Return the accuracies (R, 2) on both halves of the network a requirement refers to, or 0."""
    if not isinstance(requirement, NearReference):
        return np.zeros((len(halves.in_half), 2))
    reference = pool.network(requirement.architecture)
    correct = reference.correct(pool.labels, axes.seeds).mean(axis=0)
    sides = (halves.in_half, ~halves.in_half)
    return np.stack([side @ correct / side.sum(axis=1) for side in sides], axis=1)
