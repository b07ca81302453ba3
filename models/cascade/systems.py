"""Cascades, single networks and mixtures on both splits, side by side and as records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bicameral.errors import DataError
from models.calibration import expected_calibration_error
from models.cascade.baselines import Mixture
from models.cascade.bootstrap import Interval, Resampling, mean_interval
from models.cascade.operating_points import Answers, OperatingPoint, run_point
from models.cascade.pool import CalibratedPool, HeldOutPool, ValidationPool
from models.cascade.results import MixtureRecord, SplitRecord, Spread, SystemRecord, spread

#: A cascade, or the architecture of a single network.
System = OperatingPoint | str


@dataclass(frozen=True, slots=True, kw_only=True)
class Splits:
    """The same networks, with the same temperatures, on both splits."""

    validation: ValidationPool
    test: HeldOutPool
    calibrated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Which images are answered right.

    Attributes:
        seeds: The S seeds.
        correct: (S, N) float64, probability that the answer is right; 0 or 1 but for a mixture.
    """

    seeds: tuple[int, ...]
    correct: NDArray[np.float64]

    def of_seeds(self, seeds: tuple[int, ...]) -> NDArray[np.float64]:
        """Return the rows of some of the seeds."""
        return self.correct[[self.seeds.index(seed) for seed in seeds]]


def run_system(pool: CalibratedPool, system: System) -> Answers:
    """Answer for all images of a pool."""
    if isinstance(system, OperatingPoint):
        return run_point(pool, system)
    network = pool.network(system)
    return Answers(
        seeds=network.seeds,
        probabilities=network.probabilities,
        asked=np.zeros(network.probabilities.shape[:2], np.bool_),
    )


def system_outcome(pool: CalibratedPool, system: System) -> Outcome:
    """Return which images a system gets right."""
    answers = run_system(pool, system)
    correct = answers.correct(pool.labels, answers.seeds)
    return Outcome(seeds=answers.seeds, correct=correct.astype(np.float64))


def mixture_outcome(pool: CalibratedPool, mixture: Mixture) -> Outcome:
    """Return how probably a mixture gets each image right."""
    seeds = pool.common_seeds((mixture.cheaper, mixture.dearer))
    cheaper, dearer = (
        pool.network(name).correct(pool.labels, seeds) for name in (mixture.cheaper, mixture.dearer)
    )
    return Outcome(seeds=seeds, correct=(1.0 - mixture.share) * cheaper + mixture.share * dearer)


def accuracy_difference(first: Outcome, second: Outcome, resampling: Resampling) -> Interval:
    """Return the first accuracy minus the second, paired over images and the common seeds.

    Raises:
        DataError: If there is no common seed.
    """
    seeds = tuple(seed for seed in first.seeds if seed in second.seeds)
    if not seeds:
        raise DataError(
            f"systems of the seeds {first.seeds} and {second.seeds} cannot be compared in pairs; "
            "train them with one seed in common"
        )
    return mean_interval(first.of_seeds(seeds) - second.of_seeds(seeds), resampling)


def system_record(splits: Splits, system: System) -> SystemRecord:
    """Describe a system by its accuracy, its usage of B and its cost on both splits."""
    validation, test = (_split_record(pool, system) for pool in (splits.validation, splits.test))
    if isinstance(system, str):
        return SystemRecord(
            a=system,
            b=None,
            score=None,
            combine=None,
            threshold=None,
            calibrated=splits.calibrated,
            validation=validation,
            test=test,
        )
    return SystemRecord(
        a=system.a,
        b=system.b,
        score=system.score,
        combine=system.combination,
        threshold=spread(system.seeds, system.thresholds),
        calibrated=splits.calibrated,
        validation=validation,
        test=test,
    )


def mixture_record(pool: HeldOutPool, mixture: Mixture) -> MixtureRecord:
    """Describe a mixture by its expected accuracy and cost on the test images."""
    outcome = mixture_outcome(pool, mixture)
    parts = ((mixture.cheaper, 1.0 - mixture.share), (mixture.dearer, mixture.share))
    return MixtureRecord(
        cheaper=mixture.cheaper,
        dearer=mixture.dearer,
        share_of_dearer=mixture.share,
        test_accuracy=spread(outcome.seeds, outcome.correct.mean(axis=1).tolist()),
        expected_macs=sum(share * pool.network(name).macs for name, share in parts),
        expected_cpu_us=_cpu_us(pool, parts),
    )


def calibration_errors(
    probabilities: NDArray[np.float32], labels: NDArray[np.int64], seeds: Sequence[int]
) -> Spread:
    """Return the expected calibration error of every seed's probabilities (S, N, C)."""
    return spread(seeds, [expected_calibration_error(of, labels) for of in probabilities])


def _split_record(pool: CalibratedPool, system: System) -> SplitRecord:
    answers = run_system(pool, system)
    usage = spread(answers.seeds, answers.asked.mean(axis=1).tolist())
    correct = answers.correct(pool.labels, answers.seeds)
    parts = (
        [(system, 1.0)] if isinstance(system, str) else [(system.a, 1.0), (system.b, usage.mean)]
    )
    return SplitRecord(
        n_images=len(pool.labels),
        accuracy=spread(answers.seeds, correct.mean(axis=1).tolist()),
        usage=usage,
        expected_macs=sum(share * pool.network(name).macs for name, share in parts),
        expected_cpu_us=_cpu_us(pool, parts),
    )


def _cpu_us(pool: CalibratedPool, parts: Sequence[tuple[str, float]]) -> float | None:
    """Return the expected CPU time of networks that run on these shares of the images."""
    times = [(pool.network(name).cpu_us, share) for name, share in parts]
    if any(time_us <= 0.0 for time_us, _ in times):
        return None
    return sum(time_us * share for time_us, share in times)
