"""A stable choice among all systems that a pool of networks can make.

A validation set of 10,000 images cannot tell thousands of systems apart, and the best-looking one
is mostly lucky. So the choice goes from the coarse to the fine: first how many networks, by what
choosing among them is worth on images that did not choose; then which, by all operating points near
the limit of cost together; then the thresholds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.cascade.candidates import Candidates

#: Networks are compared by their operating points between this share of the limit and the limit.
_NEAR_LIMIT = 0.75

#: Means of the same counts, taken in another order, differ by less; one image by far more.
_ROUNDING = 1e-6


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


def target_accuracy(
    found: Candidates, requirement: Requirement, accuracy: NDArray[np.floating] | None = None
) -> float:
    """Return the validation accuracy that a requirement asks for; minus infinity for a cost.

    Args:
        found: All systems.
        requirement: What is asked for.
        accuracy: (P,) on some of the images; None: on all.
    """
    if isinstance(requirement, MaxCost):
        return -math.inf
    if isinstance(requirement, MinAccuracy):
        return requirement.accuracy
    measured = found.accuracy if accuracy is None else accuracy
    return float(measured[found.single(requirement.architecture)]) - requirement.gap


def choose(found: Candidates, requirement: Requirement) -> int | None:
    """Return the index of the system that meets a requirement best, or None if none does.

    A requirement becomes a limit of cost: where an accuracy is asked for, what it costs to exceed
    it by one standard error. Under the limit, one network, two and three are compared by the
    accuracy on the other half of what each half of the images would choose, and the fewest within
    one standard error of the best are taken. Then the networks are chosen by the mean over their
    operating points near the limit, and last the most accurate operating point.
    """
    limit = _limit(found, requirement, found.accuracy, luck=1.0)
    if limit is None:
        return None
    target = target_accuracy(found, requirement)
    return _best_size(found, limit, target).pick(found.accuracy, target)


def _limit(
    found: Candidates, requirement: Requirement, accuracy: NDArray[np.floating], luck: float
) -> float | None:
    """Return the cost that a requirement allows, None if nothing meets it.

    Args:
        found: All systems.
        requirement: What is asked for.
        accuracy: (P,) on the images that choose.
        luck: Standard errors on these images, relative to those on all.
    """
    if isinstance(requirement, MaxCost):
        return requirement.cost if found.cost.min() <= requirement.cost else None
    target = target_accuracy(found, requirement, accuracy) - _ROUNDING
    left = np.flatnonzero(accuracy >= target)
    if not len(left):
        return None
    base = None
    if isinstance(requirement, NearReference):
        base = found.single(requirement.architecture)
    safe = left[accuracy[left] >= target + luck * found.standard_errors(left, base)]
    return float(found.cost[safe if len(safe) else left].min())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Slate:
    """The systems of so many networks under a limit of cost, sorted by networks.

    Attributes:
        rows: (Q,) int64 of all their systems.
        starts: (T,) int64, where each of the T tuples of networks begins in `rows`.
        near: (Q,) float64, a system's weight in the mean of its tuple.
    """

    rows: NDArray[np.int64]
    starts: NDArray[np.int64]
    near: NDArray[np.float64]

    def pick(self, accuracy: NDArray[np.floating], target: float) -> int | None:
        """Return the best system whose accuracy reaches a target, or None."""
        of_rows = accuracy[self.rows]
        means = np.add.reduceat(of_rows * self.near, self.starts)
        reach = np.maximum.reduceat(of_rows, self.starts) >= target - _ROUNDING
        if not reach.any():
            return None
        chosen = int(np.where(reach, means, -np.inf).argmax())
        end = [*self.starts[1:], len(self.rows)][chosen]
        mine = slice(self.starts[chosen], end)
        # Sorted by cost, so that the cheapest of equals is taken.
        return int(self.rows[mine][of_rows[mine].argmax()])


def _slate(found: Candidates, limit: float, size: int) -> _Slate | None:
    """Return what so many networks offer for a cost; None: nothing."""
    rows = np.flatnonzero((found.stages() == size) & (found.cost <= limit))
    if not len(rows):
        return None
    rows = rows[np.lexsort((found.cost[rows], found.member[rows]))]
    starts = np.flatnonzero(np.diff(found.member[rows], prepend=-1))
    lengths = np.diff(starts, append=len(rows))
    near = found.cost[rows] >= _NEAR_LIMIT * limit
    near[starts + lengths - 1] = True
    counts = np.add.reduceat(near.astype(np.int64), starts)
    return _Slate(rows=rows, starts=starts, near=near / np.repeat(counts, lengths))


def _best_size(found: Candidates, limit: float, target: float) -> _Slate:
    """Decide how many networks there are; something reaches the target within the limit."""
    offers = []
    for size in range(1, found.axes.stages + 1):
        slate = _slate(found, limit, size)
        index = None if slate is None else slate.pick(found.accuracy, target)
        if slate is not None and index is not None:
            offers.append((slate, index, _worth(found, slate)))
    _, best, most = max(offers, key=lambda offer: offer[2])
    errors = found.standard_errors(np.array([index for _, index, _ in offers]), best)
    return next(
        slate
        for (slate, _, worth), error in zip(offers, errors, strict=True)
        if worth >= most - error
    )


def _worth(found: Candidates, slate: _Slate) -> float:
    """Return the mean accuracy, on images that did not choose, of what a slate is chosen for."""
    worth = []
    for halves in found.both_halves():
        for first, second in (halves, halves[::-1]):
            index = slate.pick(first, -math.inf)
            assert index is not None  # noqa: S101 - everything reaches this target
            worth.append(second[index])
    return float(np.mean(worth))


@dataclass(frozen=True, slots=True, kw_only=True)
class Stability:
    """What choosing on random halves of the validation images found; accuracies 0..1.

    Both halves of every split choose, and each choice is looked at on the other half. How many
    networks there are is decided on all images beforehand.

    Attributes:
        half_gap: Mean over the halves of accuracy on the half that chose minus accuracy on the
            other half (for a requirement relative to a network: of the difference to it).
        expected: The same for all images: half_gap / sqrt(2), because pure luck shrinks with the
            root of the number of images. On the safe side: where systems also differ in truth it
            shrinks faster.
        standard_error: Of `half_gap`, from the spread over the splits. The splits share images,
            so it is a lower bound.
        regret: Mean over the halves of what all images choose minus what a half chooses, both on
            the other half.
        splits: Splits both of whose halves found a system that meets the requirement.
        splits_tried: All splits.
        same_networks: Share of the halves that choose the networks that all images choose.
        halves_agree: Share of the splits whose two halves choose the same networks.
        n_images: Validation images, both halves together.
        n_seeds: Seeds that every accuracy is a mean over.
    """

    half_gap: float
    expected: float
    standard_error: float
    regret: float
    splits: int
    splits_tried: int
    same_networks: float
    halves_agree: float
    n_images: int
    n_seeds: int


def stability(found: Candidates, requirement: Requirement) -> Stability:
    """Repeat a choice on both halves of every split, and look at it on the other one."""
    whole = choose(found, requirement)
    base = None
    if isinstance(requirement, NearReference):
        base = found.single(requirement.architecture)
    agree, same, gaps, regrets = [], [], [], []
    for halves in found.both_halves():
        if whole is None:
            break
        one, other = (_choose_again(found, requirement, half, whole) for half in halves)
        if one is None or other is None:
            continue
        agree.append(found.member[one] == found.member[other])
        for index, (first, second) in ((one, halves), (other, halves[::-1])):
            gap = float(first[index] - second[index])
            gaps.append(gap if base is None else gap - float(first[base] - second[base]))
            same.append(found.member[index] == found.member[whole])
            regrets.append(float(second[whole] - second[index]))
    half_gap, spread = 0.0, 0.0
    if gaps:
        of_splits = np.reshape(gaps, (-1, 2)).mean(axis=1)
        half_gap = float(of_splits.mean())
        spread = float(of_splits.std(ddof=1)) if len(of_splits) > 1 else 0.0
    return Stability(
        half_gap=half_gap,
        expected=half_gap / math.sqrt(2.0),
        standard_error=spread / math.sqrt(max(len(agree), 1)),
        regret=float(np.mean(regrets)) if regrets else 0.0,
        splits=len(agree),
        splits_tried=len(found.halves),
        same_networks=float(np.mean(same)) if same else 0.0,
        halves_agree=float(np.mean(agree)) if agree else 0.0,
        n_images=found.in_half.shape[1],
        n_seeds=len(found.axes.seeds),
    )


def _choose_again(
    found: Candidates, requirement: Requirement, accuracy: NDArray[np.float64], whole: int
) -> int | None:
    """Choose by one half of the images, as many networks as all images do."""
    limit = _limit(found, requirement, accuracy, luck=math.sqrt(2.0))
    slate = None if limit is None else _slate(found, limit, int(found.stages()[whole]))
    if slate is None:
        return None
    return slate.pick(accuracy, target_accuracy(found, requirement, accuracy))


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
