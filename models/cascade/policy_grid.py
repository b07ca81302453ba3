"""Every policy of a pool: all ordered pairs, scores, combinations and a grid of B's usage.

The grid is one of usage, not of thresholds: A's scores alone, without labels, decide which
threshold asks B for 5 % of the images. So a coarse grid loses nothing but resolution in cost, a
pair offers 100 candidates instead of one per validation image (fewer chances to be picked by
luck), and the same policy of another seed gets its own threshold without being chosen anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from edge.combination import CombinationName
from edge.probabilities import SCORES, ScoreName
from models.cascade.operating_points import (
    PairAnswers,
    correct_if_asked,
    order_by_score,
    threshold_for_usage,
)
from models.cascade.pool import CalibratedNetwork, CalibratedPool, ValidationPool

#: What an image costs: multiply-accumulates, or measured CPU time in microseconds.
CostName = Literal["macs", "cpu_us"]

SCORE_NAMES: tuple[ScoreName, ...] = get_args(ScoreName)
COMBINATION_NAMES: tuple[CombinationName, ...] = get_args(CombinationName)

_USAGE_STEPS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyAxes:
    """The networks and seeds of a grid of policies.

    Attributes:
        firsts: Architectures that may stand first (A).
        seconds: Architectures that may stand second (B); a pair of one network with itself is
            left out.
        seeds: Seeds over which accuracies are averaged: seed s of A with seed s of B.
        cost: Measure of the expected cost.
        max_usage: Largest share of the images that B may see.
    """

    firsts: tuple[str, ...]
    seconds: tuple[str, ...]
    seeds: tuple[int, ...]
    cost: CostName = "macs"
    max_usage: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyGrid:
    """Validation results of every policy; F firsts, B seconds, Q scores, M combinations, G usages.

    Attributes:
        axes: What the axes F and B stand for; Q and M are `SCORE_NAMES` and `COMBINATION_NAMES`.
        thresholds: (S, F, Q, G) float64.
        usage: (S, F, Q, G) float64, share of the images that B sees.
        accuracy: (S, F, B, Q, M, G) float64; NaN for a network paired with itself.
        cost: (F, B, Q, M, G) float64, expected cost of an image, mean over the seeds.
    """

    axes: PolicyAxes
    thresholds: NDArray[np.float64]
    usage: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    cost: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderedGains:
    """What asking B changes, image by image in ascending order of A's score.

    Attributes:
        place: Indices of the seed, of A and of the score.
        order: (N,) int64, the images, ascending by A's score.
        below: (G,) int64, how many of them B sees at each usage of the grid.
        thresholds: (G,) float64, which threshold does that.
        alone: (N,) bool, which images A gets right, in this order.
        gains: (B, M, N) int8, +1 where B's part mends A's answer, -1 where it spoils it.
    """

    place: tuple[int, int, int]
    order: NDArray[np.int64]
    below: NDArray[np.int64]
    thresholds: NDArray[np.float64]
    alone: NDArray[np.bool_]
    gains: NDArray[np.int8]


def usage_grid(axes: PolicyAxes) -> NDArray[np.float64]:
    """Return the shares (G,) of the images that B sees, 1 % apart.

    Without 0, for a cascade that never asks B is A.
    """
    steps = np.arange(1, _USAGE_STEPS + 1) / _USAGE_STEPS
    return steps[steps <= axes.max_usage]


def network_cost(network: CalibratedNetwork, cost: CostName) -> float:
    """Return what one image costs; 0 for CPU time that was not measured."""
    return float(network.macs) if cost == "macs" else network.cpu_us


def expected_cost(
    pool: CalibratedPool, a: str, b: str | None, usage: float, cost: CostName
) -> float:
    """Return c_A + usage * c_B; b is None for a single network."""
    alone = network_cost(pool.network(a), cost)
    return alone if b is None else alone + usage * network_cost(pool.network(b), cost)


def sweep_policies(pool: ValidationPool, axes: PolicyAxes) -> PolicyGrid:
    """Evaluate every policy on the validation images."""
    shape = (len(axes.seeds), len(axes.firsts), len(SCORE_NAMES), len(usage_grid(axes)))
    thresholds, usage = np.empty(shape), np.empty(shape)
    accuracy = np.empty((*shape[:2], len(axes.seconds), shape[2], len(COMBINATION_NAMES), shape[3]))
    for group in ordered_gains(pool, axes):
        s, f, q = group.place
        thresholds[s, f, q] = group.thresholds
        usage[s, f, q] = group.below / len(pool.labels)
        gained = np.cumsum(group.gains, axis=-1, dtype=np.int64)[..., group.below - 1]
        accuracy[s, f, :, q] = (group.alone.sum() + gained) / len(pool.labels)
    accuracy[:, same_pairs(axes)] = np.nan
    return PolicyGrid(
        axes=axes,
        thresholds=thresholds,
        usage=usage,
        accuracy=accuracy,
        cost=_expected_costs(pool, axes, usage.mean(axis=0)),
    )


def same_pairs(axes: PolicyAxes) -> NDArray[np.bool_]:
    """Return where (F, B) a network would be paired with itself."""
    return np.array([[first == second for second in axes.seconds] for first in axes.firsts])


def ordered_gains(pool: ValidationPool, axes: PolicyAxes) -> Iterator[OrderedGains]:
    """Yield the gains of every second network, for each seed, first network and score."""
    shape = (len(axes.seconds), len(COMBINATION_NAMES), len(pool.labels))
    for s, seed in enumerate(axes.seeds):
        seconds = [pool.network(name).of_seed(seed) for name in axes.seconds]
        for f, first in enumerate(axes.firsts):
            a = pool.network(first).of_seed(seed)
            alone = a.argmax(axis=1) == pool.labels
            for q, score in enumerate(SCORE_NAMES):
                order = order_by_score(SCORES[score](a))
                index = threshold_for_usage(order, usage_grid(axes))
                gains = np.empty(shape, np.int8)
                for k, b in enumerate(seconds):
                    for m, combination in enumerate(COMBINATION_NAMES):
                        pair = PairAnswers(
                            a=a, b=b, labels=pool.labels, score=score, combination=combination
                        )
                        gains[k, m] = correct_if_asked(pair).astype(np.int8) - alone
                yield OrderedGains(
                    place=(s, f, q),
                    order=order.order,
                    below=order.below[index],
                    thresholds=order.thresholds[index],
                    alone=alone[order.order],
                    gains=gains[..., order.order],
                )


def _expected_costs(
    pool: ValidationPool, axes: PolicyAxes, usage: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return (F, B, Q, M, G) expected costs for a usage (F, Q, G)."""
    first, second = (
        np.array([network_cost(pool.network(name), axes.cost) for name in names])
        for names in (axes.firsts, axes.seconds)
    )
    cost = first[:, None, None, None] + usage[:, None] * second[None, :, None, None]
    return np.repeat(cost[:, :, :, None], len(COMBINATION_NAMES), axis=3)
