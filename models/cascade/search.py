"""Every system that a pool of networks can make, and a stable choice among them.

Single networks, pairs and three stages compete. Networks are asked in ascending order of cost, and
there is one score and one way to combine answers, so that what is left to choose are the networks
and how many images go on after each. Those shares stand on a grid: the scores alone, without
labels, decide which threshold lets 5 % of the images go on, so the same system of another seed gets
its own thresholds without being chosen anew.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edge.combination import CombinationName, combine
from edge.probabilities import SCORES, ScoreName
from models.cascade.operating_points import (
    System,
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

#: Shares of the images that may go on: 1 % steps as long as they are few. Without 0, for a cascade
#: that never asks its second network is its first.
_SHARES = np.array([*range(1, 21), 22, 25, 28, 32, 36, 40, 50, 60, 80, 100]) / 100.0

#: Means of the same counts, taken in another order, differ by less; one image by far more.
_ROUNDING = 1e-6


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
    shape = (len(grid),) * gates
    accuracy = np.zeros((len(weights), *shape), np.float32)
    asked = np.zeros((gates, *shape))
    for seed in axes.seeds:
        for stage, (gains, bins) in enumerate(_stage_gains(pool, names, seed, grid)):
            where = np.flatnonzero(gains)
            counts = _below(bins[:, where], weights[:, where] * gains[where], len(grid))
            accuracy += counts.reshape(len(weights), *counts.shape[1:], *(1,) * (gates - stage))
            if stage:
                every = np.full((1, len(gains)), 1.0 / len(gains), np.float32)
                share = _below(bins, every, len(grid))[0]
                asked[stage - 1] += share.reshape(*share.shape, *(1,) * (gates - stage))
    costs = [network_cost(pool.network(one), axes.cost) for one in names]
    expected = costs[0] + np.tensordot(costs[1:], asked / len(axes.seeds), axes=1)
    shares = np.zeros((math.prod(shape), 2))
    if gates:
        shares[:, :gates] = np.stack(np.meshgrid(*[grid] * gates, indexing="ij"), -1).reshape(
            -1, gates
        )
    return _Evaluated(
        shares=shares,
        cost=np.atleast_1d(expected).ravel(),
        accuracy=accuracy.reshape(len(weights), -1) / np.float32(len(axes.seeds)),
    )


def _stage_gains(
    pool: ValidationPool, names: tuple[str, ...], seed: int, grid: NDArray[np.float64]
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.int64]]]:
    """Yield, for each stage, what it adds to the right answers (N,) where it runs, and the bins.

    The bins (stages before, N) say from which share of the grid on an image goes on.
    """
    before, bins = np.zeros(len(pool.labels), np.float32), list[NDArray[np.int64]]()
    answer = None
    for name in names:
        found = pool.network(name).of_seed(seed)
        if answer is not None:
            scores = SCORES[SCORE](answer)
            order = order_by_score(scores)
            thresholds = order.thresholds[threshold_for_usage(order, grid)]
            bins.append(np.searchsorted(thresholds, scores, side="right"))
            found = combine(COMBINATION, answer, found, scores, SCORES[SCORE](found))
        answer = found
        right = (answer.argmax(axis=1) == pool.labels).astype(np.float32)
        yield right - before, np.array(bins, np.int64).reshape(len(bins), len(right))
        before = right


def _below(bins: NDArray[np.int64], values: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Sum values (W, N) over the images that go on, for all shares of the grid: (W, G, ...)."""
    gates, rows = len(bins), len(values)
    flat = np.zeros(values.shape[1], np.int64)
    for of_gate in bins:
        flat = flat * (size + 1) + of_gate
    cells = (size + 1) ** gates
    places = (np.arange(rows)[:, None] * cells + flat).ravel()
    sums = np.bincount(places, values.ravel(), rows * cells).reshape(rows, *(size + 1,) * gates)
    for axis in range(1, gates + 1):
        sums = np.cumsum(sums, axis=axis)
    # The last bin holds what goes on at no share.
    return sums[(slice(None), *(slice(size),) * gates)].astype(np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class MinAccuracy:
    """The cheapest system of at least this validation accuracy, 0..1."""

    accuracy: float


@dataclass(frozen=True, slots=True, kw_only=True)
class NearReference:
    """The cheapest system whose validation accuracy is at most `gap` (0..1) below a network's."""

    architecture: str
    gap: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MaxCost:
    """The most accurate system of at most this expected cost, in the measure of the search."""

    cost: float


Requirement = MinAccuracy | NearReference | MaxCost


def target_accuracy(found: Candidates, requirement: Requirement, half: int | None = None) -> float:
    """Return the validation accuracy that a requirement asks for; minus infinity for a cost."""
    if isinstance(requirement, MaxCost):
        return -math.inf
    if isinstance(requirement, MinAccuracy):
        return requirement.accuracy
    accuracy = found.accuracy if half is None else found.halves[half]
    return float(accuracy[found.single(requirement.architecture)]) - requirement.gap


def choose(found: Candidates, requirement: Requirement, half: int | None = None) -> int | None:
    """Return the index of the system that meets a requirement best, or None if none does.

    Under a limit of cost, whatever is within one standard error of the most accurate system is as
    good. Where an accuracy is asked for, the limit is what it costs to exceed that by one standard
    error, so that it is no mere luck. Of all that are left the one with the fewest networks is
    taken, then the one with the fewest parameters, and of the same networks the most accurate.

    Args:
        found: All systems.
        requirement: What it must reach.
        half: Choose on this random half of the images only; None: on all.
    """
    accuracy = found.accuracy if half is None else found.halves[half]
    luck = 1.0 if half is None else math.sqrt(2.0)
    if isinstance(requirement, MaxCost):
        left = np.flatnonzero(found.cost <= requirement.cost)
        if not len(left):
            return None
        best = int(left[accuracy[left].argmax()])
        # They differ on no more images than both get wrong, which bounds the error of the gap.
        wrong = 2.0 - accuracy[best] - accuracy[left]
        bound = luck * np.sqrt(wrong / found.in_half.shape[1])
        left = left[accuracy[left] >= accuracy[best] - bound]
        error = luck * found.standard_errors(left, best)
        left = left[accuracy[left] >= accuracy[best] - error]
    else:
        target = target_accuracy(found, requirement, half) - _ROUNDING
        left = np.flatnonzero(accuracy >= target)
        if not len(left):
            return None
        base = None
        if isinstance(requirement, NearReference):
            base = found.single(requirement.architecture)
        safe = left[accuracy[left] >= target + luck * found.standard_errors(left, base)]
        left = left[found.cost[left] <= found.cost[safe if len(safe) else left].min()]
    order = (found.cost[left], -accuracy[left], found.parameters[found.member[left]])
    return int(left[np.lexsort((*order, found.stages()[left]))[0]])


@dataclass(frozen=True, slots=True, kw_only=True)
class Stability:
    """What choosing on random halves of the validation images found; accuracies 0..1.

    Attributes:
        half_gap: Mean over the splits of accuracy on the half that chose minus accuracy on the
            other half (for a requirement relative to a network: of the difference to it).
        expected: The same for all images: half_gap / sqrt(2), because pure luck shrinks with the
            root of the number of images. On the safe side: where systems also differ in truth it
            shrinks faster.
        standard_error: Of `half_gap`, from the spread over the splits. The splits share images,
            so it is a lower bound.
        splits: Splits in which some system met the requirement.
        splits_tried: All splits.
        same_networks: Share of those splits that chose the networks that all images choose.
        n_images: Validation images, both halves together.
        n_seeds: Seeds that every accuracy is a mean over.
    """

    half_gap: float
    expected: float
    standard_error: float
    splits: int
    splits_tried: int
    same_networks: float
    n_images: int
    n_seeds: int


def stability(found: Candidates, requirement: Requirement) -> Stability:
    """Repeat a choice on every random half and look at it on the other one."""
    n, first_n = found.in_half.shape[1], int(found.in_half[0].sum())
    whole = choose(found, requirement)
    base = None
    if isinstance(requirement, NearReference):
        base = found.single(requirement.architecture)
    gaps, same = [], []
    for half, accuracy in enumerate(found.halves):
        index = choose(found, requirement, half)
        if index is None:
            continue
        on_first, on_all = float(accuracy[index]), float(found.accuracy[index])
        if base is not None:
            on_first, on_all = on_first - accuracy[base], on_all - found.accuracy[base]
        on_second = (n * on_all - first_n * on_first) / (n - first_n)
        gaps.append(on_first - on_second)
        same.append(whole is not None and found.member[index] == found.member[whole])
    half_gap = float(np.mean(gaps)) if gaps else 0.0
    spread = float(np.std(gaps, ddof=1)) if len(gaps) > 1 else 0.0
    return Stability(
        half_gap=half_gap,
        expected=half_gap / math.sqrt(2.0),
        standard_error=spread / math.sqrt(max(len(gaps), 1)),
        splits=len(gaps),
        splits_tried=len(found.halves),
        same_networks=float(np.mean(same)) if same else 0.0,
        n_images=n,
        n_seeds=len(found.axes.seeds),
    )


def unmet(found: Candidates, requirement: Requirement) -> str:
    """Say why no system meets a requirement, and what can be reached instead."""
    unit = "MACs" if found.axes.cost == "macs" else "us"
    if isinstance(requirement, MaxCost):
        cheapest = found.cost.min()
        return (
            f"nothing costs at most {requirement.cost:,.0f} {unit}; the cheapest costs "
            f"{cheapest:,.0f} {unit}: raise the limit or add smaller networks"
        )
    best = int(found.accuracy.argmax())
    return (
        f"nothing reaches {100 * target_accuracy(found, requirement):.2f} % on the validation "
        f"images; the best reaches {100 * found.accuracy[best]:.2f} % at a cost of "
        f"{found.cost[best]:,.0f} {unit}: ask for less or add better networks"
    )


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
            answers = [pool.network(name).of_seed(seed) for name in names]
            policies[seed] = policy_for_shares(answers, SCORE, COMBINATION, shares)
    return System(networks=names, policies=policies)
