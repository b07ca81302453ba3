"""Every system that a pool of networks can make, on the validation images.

Single networks, pairs and three stages compete. Networks are asked in ascending order of cost, and
there is one score and one way to combine answers, so that what is left to choose are the networks
and one share: how many images go on. The scores alone, without labels, decide which threshold lets
5 % of the images go on, so the same system of another seed gets its own thresholds without being
chosen anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, combinations
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edge.combination import CombinationName
from edge.probabilities import ScoreName
from models.cascade.operating_points import (
    System,
    asked_further,
    order_by_score,
    policy_for_shares,
    threshold_for_usage,
)
from models.cascade.pool import CalibratedNetwork, ValidationPool

#: What an image costs: multiply-accumulates, or measured CPU time in microseconds.
CostName = Literal["macs", "cpu_us"]

#: On FashionMNIST no other score and combination did better than by luck.
SCORE: ScoreName = "margin"
COMBINATION: CombinationName = "average"

#: Shares of the images that may go on: small steps as long as they are few, for a large network is
#: asked about 2 %. Without 0, for a cascade that never asks its second network is its first.
_SHARES = (
    np.array(
        [*np.arange(0.5, 3.0, 0.25), *range(3, 21), 22, 25, 28, 32, 36, 40, 50, 60, 80, 100],
    )
    / 100.0
)

#: A third network's share of the images, relative to the second's. One parameter instead of two;
#: a third network costs about four times as much as the second or more.
_THIRD = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchAxes:
    """What may be chosen.

    Attributes:
        networks: Architectures, in any order.
        seeds: Seeds over which accuracies are averaged: seed s of one with seed s of another.
        cost: Measure of the expected cost.
        max_usage: Largest share of the images that may go on after the first network.
        stages: Most networks of a system, 1 to 3.
        splits: Random halves of the images, from which standard errors and stability come.
        seed: Draws the halves.
    """

    networks: tuple[str, ...]
    seeds: tuple[int, ...]
    cost: CostName = "macs"
    max_usage: float = 1.0
    stages: int = 3
    splits: int = 50
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """P systems on the validation images; R random halves.

    Attributes:
        axes: What they were made of.
        networks: K tuples of architectures, each ascending in cost.
        parameters: (K,) int64, of all networks of a tuple.
        member: (P,) int64, which tuple a system consists of.
        shares: (P, 2) float64, share of the images below the threshold after the first and after
            the second network; 0 where nothing follows.
        cost: (P,) float64, expected for an image.
        accuracy: (P,) float64, mean over the seeds.
        halves: (R, P) float32, accuracy on a random half of the images.
        in_half: (R, N) bool, which images those are.
    """

    axes: SearchAxes
    networks: tuple[tuple[str, ...], ...]
    parameters: NDArray[np.int64]
    member: NDArray[np.int64]
    shares: NDArray[np.float64]
    cost: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    halves: NDArray[np.float32]
    in_half: NDArray[np.bool_]

    def single(self, architecture: str) -> int:
        """Return the index of a single network."""
        tuple_index = self.networks.index((architecture,))
        return int(np.flatnonzero(self.member == tuple_index)[0])

    def stages(self) -> NDArray[np.int64]:
        """Return how many networks each system has, (P,)."""
        return np.array([len(names) for names in self.networks])[self.member]

    def standard_errors(
        self, rows: NDArray[np.int64], base: int | None = None
    ) -> NDArray[np.float64]:
        """Return the standard errors of some accuracies, or of their differences to one system's.

        The accuracy on a random half scatters around that on all N images as the latter does around
        the truth: by sigma / sqrt(N).
        """
        halves = self.halves[:, rows]
        if base is not None:
            halves = halves - self.halves[:, base, None]
        return np.asarray(halves.std(axis=0, ddof=1), np.float64)

    def both_halves(self) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
        """Yield the accuracies (P,) on both halves of every split."""
        n, first_n = self.in_half.shape[1], int(self.in_half[0].sum())
        for half in self.halves:
            first = half.astype(np.float64)
            yield first, (n * self.accuracy - first_n * first) / (n - first_n)


def network_cost(network: CalibratedNetwork, cost: CostName) -> float:
    """Return what one image costs; 0 for CPU time that was not measured."""
    return float(network.macs) if cost == "macs" else network.cpu_us


def list_candidates(pool: ValidationPool, axes: SearchAxes) -> Candidates:
    """Evaluate every system on the validation images."""
    names = sorted(axes.networks, key=lambda one: network_cost(pool.network(one), axes.cost))
    tuples = [of for size in range(1, axes.stages + 1) for of in combinations(names, size)]
    n = len(pool.labels)
    rng = np.random.default_rng(axes.seed)
    in_half = np.zeros((axes.splits, n), np.bool_)
    for row in in_half:
        row[rng.permutation(n)[: n // 2]] = True
    # The last weighting counts all images.
    weights = np.concatenate([in_half, np.ones((1, n), np.bool_)]).astype(np.float32)
    weights /= weights.sum(axis=1, keepdims=True)
    parts = [_evaluate(pool, axes, of, weights) for of in tuples]
    sizes = [len(one.cost) for one in parts]
    accuracy = np.concatenate([one.accuracy for one in parts], axis=1)
    return Candidates(
        axes=axes,
        networks=tuple(tuples),
        parameters=np.array([sum(pool.network(one).parameters for one in of) for of in tuples]),
        member=np.repeat(np.arange(len(tuples)), sizes),
        shares=np.concatenate([one.shares for one in parts]),
        cost=np.concatenate([one.cost for one in parts]),
        accuracy=accuracy[-1].astype(np.float64),
        halves=accuracy[:-1],
        in_half=in_half,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Evaluated:
    """The systems of one tuple: shares (P, 2), cost (P,), accuracy by weighting (W, P)."""

    shares: NDArray[np.float64]
    cost: NDArray[np.float64]
    accuracy: NDArray[np.float32]


def _evaluate(
    pool: ValidationPool, axes: SearchAxes, names: tuple[str, ...], weights: NDArray[np.float32]
) -> _Evaluated:
    grid = _SHARES[axes.max_usage >= _SHARES]
    gates = len(names) - 1
    places = len(grid) if gates else 1
    accuracy = np.zeros((len(weights), places), np.float32)
    asked = np.zeros((gates, places))
    for seed in axes.seeds:
        for stage, (gains, bins) in enumerate(_stage_gains(pool, names, seed, grid)):
            where = np.flatnonzero(gains)
            accuracy += _below(bins[where], weights[:, where] * gains[where], places)
            if stage:
                every = np.full((1, len(gains)), 1.0 / len(gains), np.float32)
                asked[stage - 1] += _below(bins, every, places)[0]
    costs = [network_cost(pool.network(one), axes.cost) for one in names]
    shares = np.zeros((places, 2))
    for gate in range(gates):
        shares[:, gate] = grid * _THIRD**gate
    return _Evaluated(
        shares=shares,
        cost=costs[0] + asked.T @ np.array(costs[1:]) / len(axes.seeds),
        accuracy=accuracy / np.float32(len(axes.seeds)),
    )


def _stage_gains(
    pool: ValidationPool, names: tuple[str, ...], seed: int, grid: NDArray[np.float64]
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.int64]]]:
    """Yield, for each stage, what it adds to the right answers (N,) where it runs, and the bins.

    The bins (N,) say from which share of the grid on an image gets as far as this stage.
    """
    n = len(pool.labels)
    before, bins = np.zeros(n, np.float32), np.zeros(n, np.int64)
    answers = pool.answers(names, seed)
    asked = asked_further(answers, SCORE, COMBINATION)
    for stage, (scores, answer) in enumerate(chain([(None, answers[0])], asked)):
        if scores is not None:
            order = order_by_score(scores)
            places = threshold_for_usage(order, grid * _THIRD ** (stage - 1))
            gate = np.searchsorted(order.thresholds[places], scores, side="right")
            # Thresholds rise together, so an image that is above one of them stops there.
            bins = np.maximum(bins, gate)
        right = (answer.argmax(axis=1) == pool.labels).astype(np.float32)
        yield right - before, bins
        before = right


def _below(bins: NDArray[np.int64], values: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Sum values (W, N) over the images that go on, for all shares of the grid: (W, size)."""
    rows = len(values)
    places = (np.arange(rows)[:, None] * (size + 1) + bins).ravel()
    # The last bin holds what goes on at no share.
    sums = np.bincount(places, values.ravel(), rows * (size + 1)).reshape(rows, size + 1)[:, :-1]
    return np.cumsum(sums, axis=1).astype(np.float32)


def pareto_front(cost: NDArray[np.float64], accuracy: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the indices of the points (P,) that no other point beats, ascending by cost.

    A point is beaten by one that costs no more and is no less accurate, and better in one of the
    two. Of equal points the first stays.
    """
    order = np.lexsort((-accuracy, cost))
    ranked = accuracy[order]
    best_before = np.maximum.accumulate(np.concatenate(([-np.inf], ranked)))[:-1]
    return np.asarray(order[ranked > best_before], np.int64)


def system_at(pool: ValidationPool, candidates: Candidates, index: int) -> System:
    """Return a candidate with the thresholds of all seeds that its networks share."""
    names = candidates.networks[candidates.member[index]]
    shares = candidates.shares[index, : len(names) - 1]
    policies = {}
    if len(names) > 1:
        for seed in pool.common_seeds(names):
            answers = pool.answers(names, seed)
            policies[seed] = policy_for_shares(answers, SCORE, COMBINATION, shares)
    return System(networks=names, policies=policies)
