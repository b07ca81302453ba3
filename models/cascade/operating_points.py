"""What can answer, run as the runtime runs it; and one pair of networks at every threshold.

The rule is the runtime's: B runs if and only if A's score is below the threshold; the scores and
the combination of the answers are the runtime's own functions. Probabilities are float32 as a
classifier session hands them out, scores are float64 of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edge.cascade import CascadePolicy
from edge.combination import COMBINATIONS, CombinationName
from edge.probabilities import SCORES, ScoreName
from models.cascade.pool import CalibratedPool

#: Scores lie in 0..1, so below this threshold is none of them ...
NEVER = 0.0

#: ... and below this one all of them.
ALWAYS = math.nextafter(1.0, 2.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """A network, a cascade of several, or two networks of which one is drawn for every image.

    The last one nobody would ship. It is the straight line between two networks, so it says what a
    single network of exactly a cascade's cost could be expected to reach.

    Attributes:
        networks: Architectures, in the order in which they are asked; of a mixture, the cheaper one
            first.
        policies: Of a cascade: the runtime's policy for every seed that its networks have in
            common. Thresholds differ between seeds because on every seed the same share goes on.
        share: Of a mixture: share of the images that the dearer one sees, 0..1.
    """

    networks: tuple[str, ...]
    policies: Mapping[int, CascadePolicy] = field(default_factory=dict)
    share: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What a system answers for N images.

    Attributes:
        seeds: The S seeds.
        correct: (S, N) float64, probability that the answer is right; 0 or 1 but for a mixture.
        usage: (S, K - 1) float64, share of the images that each of K networks but the first sees.
        probabilities: (S, N, C) float32; None for a mixture.
    """

    seeds: tuple[int, ...]
    correct: NDArray[np.float64]
    usage: NDArray[np.float64]
    probabilities: NDArray[np.float32] | None = None

    def of_seeds(self, seeds: Sequence[int]) -> NDArray[np.float64]:
        """Return which images some of the seeds get right, (len(seeds), N)."""
        return self.correct[[self.seeds.index(seed) for seed in seeds]]

    def of_seed(self, seed: int) -> NDArray[np.float32]:
        """Return the probabilities (N, C) of one seed."""
        assert self.probabilities is not None  # noqa: S101 - asked of no mixture
        return np.asarray(self.probabilities[self.seeds.index(seed)])


def answer(pool: CalibratedPool, system: System) -> Answers:
    """Answer for all images of a pool with every seed that the system's networks share."""
    seeds = pool.common_seeds(system.networks)
    if system.share is not None:
        right_a, right_b = (
            pool.network(name).correct(pool.labels, seeds) for name in system.networks
        )
        return Answers(
            seeds=seeds,
            correct=(1.0 - system.share) * right_a + system.share * right_b,
            usage=np.full((len(seeds), 1), system.share),
        )
    further = len(system.networks) - 1
    usage = np.zeros((len(seeds), further))
    probabilities = pool.network(system.networks[0]).probabilities
    if further:
        found = []
        for row, seed in enumerate(seeds):
            of_seed = pool.answers(system.networks, seed)
            answered, used = run_stages(of_seed, system.policies[seed])
            found.append(answered)
            usage[row] = [(used > stage).mean() for stage in range(1, further + 1)]
        probabilities = np.stack(found)
    right = probabilities.argmax(axis=2) == pool.labels
    return Answers(
        seeds=seeds, correct=right.astype(np.float64), usage=usage, probabilities=probabilities
    )


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
    gates = policy.gates(len(answers))
    for number, (answer, gate) in enumerate(zip(answers[1:], gates, strict=True), start=2):
        left = scores < gate
        rows, scores = rows[left], scores[left]
        seen = answer[rows]
        combined = COMBINATIONS[policy.combine](probabilities[rows], seen, scores, score(seen))
        probabilities[rows], used[rows] = combined, number
        scores = score(combined)
    return probabilities, used


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


def policy_for_shares(
    answers: Sequence[NDArray[np.float32]],
    score: ScoreName,
    combination: CombinationName,
    shares: Sequence[float] | NDArray[np.float64],
) -> CascadePolicy:
    """Return the policy whose gates let these shares of the images go on.

    Args:
        answers: Probabilities (N, C) of every network, in the order in which they are asked.
        score: Of how sure an answer is.
        combination: How two answers become one.
        shares: For each network but the last: of all images, if all of them came as far.
    """
    thresholds = []
    further = asked_further(answers, score, combination)
    for (scores, _), share in zip(further, shares, strict=True):
        order = order_by_score(scores)
        index = threshold_for_usage(order, np.array([share]))[0]
        thresholds.append(float(order.thresholds[index]))
    return CascadePolicy(score=score, thresholds=tuple(thresholds), combine=combination)


def asked_further(
    answers: Sequence[NDArray[np.float32]], score: ScoreName, combination: CombinationName
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float32]]]:
    """Ask each network but the first about all images.

    Yields:
        The scores (N,) of the answer so far, by which a gate decides, and the answer (N, C) of all
        networks up to this one.
    """
    answer, scored = answers[0], SCORES[score]
    for further in answers[1:]:
        scores = scored(answer)
        answer = COMBINATIONS[combination](answer, further, scores, scored(further))
        yield scores, answer


def correct_if_asked(pair: PairAnswers) -> NDArray[np.bool_]:
    """Return which images (N,) the pair gets right when B runs on all of them."""
    ((_, combined),) = asked_further((pair.a, pair.b), pair.score, pair.combination)
    return np.asarray(combined.argmax(axis=1) == pair.labels)


def correct_by_count(pair: PairAnswers, order: ScoreOrder) -> NDArray[np.int64]:
    """Return how many images (N + 1,) are right when B runs on the 0..N that A is least sure of.

    Raising the threshold past one image changes that image's answer from A's to the pair's and
    nothing else, so sorted images and a running sum give all counts at once.
    """
    alone = pair.a.argmax(axis=1) == pair.labels
    gain = correct_if_asked(pair)[order.order].astype(np.int64) - alone[order.order]
    return np.asarray(alone.sum() + np.concatenate(([0], np.cumsum(gain))), np.int64)


def sweep_thresholds(pair: PairAnswers) -> ThresholdSweep:
    """Evaluate a pair at every distinct threshold in O(N log N)."""
    order = order_by_score(SCORES[pair.score](pair.a))
    return ThresholdSweep(
        thresholds=order.thresholds,
        usage=order.below / len(pair.labels),
        accuracy=correct_by_count(pair, order)[order.below] / len(pair.labels),
    )
