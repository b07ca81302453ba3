"""One pair of networks at every threshold: how accurate it is and how often B runs.

The rule is the runtime's: B runs if and only if A's score is below the threshold; the scores and
the combination of the answers are the runtime's own functions. Probabilities are float32 as a
classifier session hands them out, scores are float64 of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edge.cascade import CascadePolicy
from edge.combination import CombinationName, combine
from edge.probabilities import SCORES, ScoreName
from models.cascade.pool import CalibratedPool, ValidationPool

#: Scores lie in 0..1, so below this threshold is none of them ...
NEVER = 0.0

#: ... and below this one all of them.
ALWAYS = math.nextafter(1.0, 2.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class PairAnswers:
    """What two networks answer for the same N images, and how their answers become one.

    Attributes:
        a: (N, C) float32 probabilities of A.
        b: (N, C) float32 probabilities of B.
        labels: (N,) true classes.
        score: Of how sure A is; a combination may compare it with B's.
        combination: How the two answers become one.
    """

    a: NDArray[np.float32]
    b: NDArray[np.float32]
    labels: NDArray[np.int64]
    score: ScoreName
    combination: CombinationName


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreOrder:
    """Images sorted by A's score, and every threshold that tells some of them apart.

    Attributes:
        order: (N,) int64, ascending by score.
        below: (T,) int64, ascending, how many images lie below each threshold, 0..N.
        thresholds: (T,) float64, ascending. Half-way between neighbouring distinct scores, so
            that rounding in another implementation of the network does not turn a decision.
    """

    order: NDArray[np.int64]
    below: NDArray[np.int64]
    thresholds: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class ThresholdSweep:
    """One pair at every distinct threshold, ascending.

    Attributes:
        thresholds: (T,) float64.
        usage: (T,) float64, share of the images that B sees, 0..1.
        accuracy: (T,) float64, of the cascade, 0..1.
    """

    thresholds: NDArray[np.float64]
    usage: NDArray[np.float64]
    accuracy: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatingPoint:
    """A policy with its thresholds, for every seed that A and B have in common.

    The thresholds differ between seeds because every seed's A asks B for the same share.

    Attributes:
        a: Architecture that runs on every image.
        b: Architecture that runs where A is not sure.
        score: Of how sure A is.
        combination: How the two answers become one.
        seeds: The S seeds.
        thresholds: S thresholds.
        validation_usage: S shares of the validation images that B saw.
        validation_accuracy: S accuracies.
    """

    a: str
    b: str
    score: ScoreName
    combination: CombinationName
    seeds: tuple[int, ...]
    thresholds: tuple[float, ...]
    validation_usage: tuple[float, ...]
    validation_accuracy: tuple[float, ...]

    def policy(self, seed: int) -> CascadePolicy:
        """Return the runtime's policy for the networks of one seed."""
        threshold = self.thresholds[self.seeds.index(seed)]
        return CascadePolicy(score=self.score, threshold=threshold, combine=self.combination)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What a cascade or a single network answers for N images.

    Attributes:
        seeds: The S seeds.
        probabilities: (S, N, C) float32.
        asked: (S, N) bool, where B ran.
    """

    seeds: tuple[int, ...]
    probabilities: NDArray[np.float32]
    asked: NDArray[np.bool_]

    def correct(self, labels: NDArray[np.int64], seeds: Sequence[int]) -> NDArray[np.bool_]:
        """Return which images some of the seeds get right, (len(seeds), N)."""
        rows = [self.seeds.index(seed) for seed in seeds]
        return np.asarray(self.probabilities[rows].argmax(axis=2) == labels)


def order_by_score(scores: NDArray[np.float64]) -> ScoreOrder:
    """Sort images by score and place a threshold in every gap, below all and above all.

    Args:
        scores: (N,), 0..1, N > 0.
    """
    order = np.argsort(scores, kind="stable")
    ranked = scores[order]
    gaps = np.flatnonzero(ranked[1:] > ranked[:-1]) + 1
    low, high = ranked[gaps - 1], ranked[gaps]
    middle = (low + high) / 2.0
    # Between two neighbouring floats there is no middle: the mean may be rounded to the lower.
    middle = np.where(middle > low, middle, high)
    return ScoreOrder(
        order=order,
        below=np.concatenate(([0], gaps, [len(scores)])).astype(np.int64),
        thresholds=np.concatenate(([NEVER], middle, [ALWAYS])),
    )


def threshold_for_usage(order: ScoreOrder, usage: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the indices of the thresholds that ask B for about these shares of the images.

    The largest share that does not exceed the wanted one; where scores tie so that only none
    would be left, the smallest share that asks B at all.

    Args:
        order: Of the images.
        usage: (G,), 0..1.
    """
    wanted = np.rint(usage * len(order.order))
    index = np.searchsorted(order.below, wanted, side="right") - 1
    return np.maximum(index, 1)


def correct_if_asked(pair: PairAnswers) -> NDArray[np.bool_]:
    """Return which images (N,) the pair gets right when B runs on all of them."""
    score = SCORES[pair.score]
    combined = combine(pair.combination, pair.a, pair.b, score(pair.a), score(pair.b))
    return np.asarray(combined.argmax(axis=1) == pair.labels)


def sweep_thresholds(pair: PairAnswers) -> ThresholdSweep:
    """Evaluate a pair at every distinct threshold in O(N log N)."""
    order = order_by_score(SCORES[pair.score](pair.a))
    return ThresholdSweep(
        thresholds=order.thresholds,
        usage=order.below / len(pair.labels),
        accuracy=correct_by_count(pair, order)[order.below] / len(pair.labels),
    )


def correct_by_count(pair: PairAnswers, order: ScoreOrder) -> NDArray[np.int64]:
    """Return how many images (N + 1,) are right when B runs on the 0..N that A is least sure of.

    Raising the threshold past one image changes that image's answer from A's to the pair's and
    nothing else, so sorted images and a running sum give all counts at once.
    """
    alone = pair.a.argmax(axis=1) == pair.labels
    gain = correct_if_asked(pair)[order.order].astype(np.int64) - alone[order.order]
    return np.asarray(alone.sum() + np.concatenate(([0], np.cumsum(gain))), np.int64)


def point_for_usage(
    pool: ValidationPool,
    pair: tuple[str, str],
    *,
    score: ScoreName,
    combination: CombinationName,
    usage: float,
) -> OperatingPoint:
    """Return the operating point at which a pair (A, B) asks B for this share of the images."""
    thresholds = []
    seeds = pool.common_seeds(pair)
    for seed in seeds:
        order = order_by_score(SCORES[score](pool.network(pair[0]).of_seed(seed)))
        index = threshold_for_usage(order, np.array([usage]))[0]
        thresholds.append(float(order.thresholds[index]))
    return point_for_thresholds(
        pool, pair, score=score, combination=combination, thresholds=tuple(thresholds)
    )


def point_for_thresholds(
    pool: ValidationPool,
    pair: tuple[str, str],
    *,
    score: ScoreName,
    combination: CombinationName,
    thresholds: tuple[float, ...],
) -> OperatingPoint:
    """Return the operating point of a pair (A, B) with a threshold per seed in common."""
    point = OperatingPoint(
        a=pair[0],
        b=pair[1],
        score=score,
        combination=combination,
        seeds=pool.common_seeds(pair),
        thresholds=thresholds,
        validation_usage=(),
        validation_accuracy=(),
    )
    answers = run_point(pool, point)
    correct = answers.correct(pool.labels, point.seeds)
    return replace(
        point,
        validation_usage=tuple(answers.asked.mean(axis=1).tolist()),
        validation_accuracy=tuple(correct.mean(axis=1).tolist()),
    )


def run_point(pool: CalibratedPool, point: OperatingPoint) -> Answers:
    """Answer for all images of a pool as the runtime does, seed by seed."""
    probabilities, asked = [], []
    for seed in point.seeds:
        a, b = (pool.network(name).of_seed(seed) for name in (point.a, point.b))
        answer, below = run_cascade(a, b, point.policy(seed))
        probabilities.append(answer)
        asked.append(below)
    return Answers(seeds=point.seeds, probabilities=np.stack(probabilities), asked=np.stack(asked))


def run_cascade(
    a: NDArray[np.float32], b: NDArray[np.float32], policy: CascadePolicy
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Answer as the runtime does, from both networks' probabilities (N, C).

    Returns:
        The cascade's probabilities (N, C) float32, and where B ran, (N,) bool.
    """
    probabilities, used = run_stages((a, b), policy)
    return probabilities, used > 1


def run_stages(
    answers: Sequence[NDArray[np.float32]], policy: CascadePolicy
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Answer as the runtime does, from the probabilities (N, C) after each of several stages.

    A cascade of two networks has two, an any-time classifier with an early exit one per block.

    Returns:
        The probabilities (N, C) float32 that are answered, and how many stages ran, (N,), from 1.
    """
    score = SCORES[policy.score]
    probabilities = answers[0].copy()
    used = np.ones(len(probabilities), np.int64)
    scores = score(probabilities)
    rows = np.arange(len(probabilities))
    for number, answer in enumerate(answers[1:], start=2):
        left = scores < policy.threshold
        rows, scores = rows[left], scores[left]
        seen = answer[rows]
        combined = combine(policy.combine, probabilities[rows], seen, scores, score(seen))
        probabilities[rows], used[rows] = combined, number
        scores = score(combined)
    return probabilities, used
