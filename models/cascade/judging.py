"""Finished choices on the test images: what each system answers and costs, and what beats it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bicameral.errors import DataError
from bicameral.statistics import Estimate, Resampling, mean_over_images
from models.calibration import expected_calibration_error
from models.cascade.baselines import Mixture
from models.cascade.operating_points import Answers, OperatingPoint, run_point
from models.cascade.plan import UNCALIBRATED, Choice, Plan, System
from models.cascade.pool import CalibratedPool, HeldOutPool, ValidationPool
from models.cascade.results import (
    ChoiceRecord,
    ComparisonRecord,
    SplitRecord,
    Spread,
    SystemRecord,
    spread,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Splits:
    """The same networks, with the same temperatures, on both splits."""

    validation: ValidationPool
    test: HeldOutPool
    calibrated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Which images are answered right, and at what cost.

    Attributes:
        seeds: The S seeds.
        correct: (S, N) float64, probability that the answer is right; 0 or 1 but for a mixture.
        usage: (S,) float64, share of the images that B sees; of a mixture, the dearer network.
    """

    seeds: tuple[int, ...]
    correct: NDArray[np.float64]
    usage: NDArray[np.float64]

    def of_seeds(self, seeds: tuple[int, ...]) -> NDArray[np.float64]:
        """Return the rows of some of the seeds."""
        return self.correct[[self.seeds.index(seed) for seed in seeds]]


def run_system(pool: CalibratedPool, system: OperatingPoint | str) -> Answers:
    """Answer for all images of a pool."""
    if isinstance(system, OperatingPoint):
        return run_point(pool, system)
    network = pool.network(system)
    return Answers(
        seeds=network.seeds,
        probabilities=network.probabilities,
        asked=np.zeros(network.probabilities.shape[:2], np.bool_),
    )


def judge_system(pool: CalibratedPool, system: System) -> Outcome:
    """Return which images a system gets right."""
    if isinstance(system, Mixture):
        names = (system.cheaper, system.dearer)
        seeds = pool.common_seeds(names)
        cheaper, dearer = (pool.network(name).correct(pool.labels, seeds) for name in names)
        return Outcome(
            seeds=seeds,
            correct=(1.0 - system.share) * cheaper + system.share * dearer,
            usage=np.full(len(seeds), system.share),
        )
    answers = run_system(pool, system)
    correct = answers.correct(pool.labels, answers.seeds)
    return Outcome(
        seeds=answers.seeds,
        correct=correct.astype(np.float64),
        usage=answers.asked.mean(axis=1),
    )


def accuracy_difference(first: Outcome, second: Outcome, resampling: Resampling) -> Estimate:
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
    return mean_over_images(first.of_seeds(seeds) - second.of_seeds(seeds), resampling)


def system_record(splits: Splits, system: System) -> SystemRecord:
    """Describe a system by its accuracy, its usage of B and its cost on both splits."""
    a, b = _networks(system)
    cascade = system if isinstance(system, OperatingPoint) else None
    return SystemRecord(
        a=a,
        b=b,
        score=cascade.score if cascade else None,
        combine=cascade.combination if cascade else None,
        threshold=spread(cascade.seeds, cascade.thresholds) if cascade else None,
        calibrated=splits.calibrated,
        validation=_split_record(splits.validation, system),
        test=_split_record(splits.test, system),
    )


def _networks(system: System) -> tuple[str, str | None]:
    if isinstance(system, Mixture):
        return system.cheaper, system.dearer
    return (system, None) if isinstance(system, str) else (system.a, system.b)


def calibration_errors(
    probabilities: NDArray[np.float32], labels: NDArray[np.int64], seeds: Sequence[int]
) -> Spread:
    """Return the expected calibration error of every seed's probabilities (S, N, C)."""
    return spread(seeds, [expected_calibration_error(of, labels) for of in probabilities])


def _split_record(pool: CalibratedPool, system: System) -> SplitRecord:
    outcome, (a, b) = judge_system(pool, system), _networks(system)
    usage = spread(outcome.seeds, outcome.usage.tolist())
    shares = [(a, 1.0 - usage.mean if isinstance(system, Mixture) else 1.0)]
    if b is not None:
        shares.append((b, usage.mean))
    return SplitRecord(
        accuracy=spread(outcome.seeds, outcome.correct.mean(axis=1).tolist()),
        usage=usage,
        expected_macs=sum(share * pool.network(name).macs for name, share in shares),
        expected_cpu_us=_cpu_us(pool, shares),
    )


def _cpu_us(pool: CalibratedPool, parts: Sequence[tuple[str, float]]) -> float | None:
    """Return the expected CPU time of networks that run on these shares of the images."""
    times = [(pool.network(name).cpu_us, share) for name, share in parts]
    if any(time_us <= 0.0 for time_us, _ in times):
        return None
    return sum(time_us * share for time_us, share in times)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What all comparisons share: the plan, both calibrations of the networks, the resampling."""

    plan: Plan
    calibrated: Splits
    raw: Splits
    resampling: Resampling


def choice_record(choice: Choice, bench: Bench) -> ChoiceRecord:
    """Judge one choice on the test images."""
    record = ChoiceRecord(
        name=choice.name,
        family=choice.family,
        requirement=choice.requirement,
        optimism=choice.optimism,
        allowance=None,
        unmet=choice.unmet or None,
        system=None,
        test_accuracy=None,
        shipped_seed_accuracy=None,
        comparisons=(),
    )
    if choice.point is None:
        return record
    right = judge_system(bench.calibrated.test, choice.point)
    system = system_record(bench.calibrated, choice.point)
    shipped = bench.plan.selection_seeds[:1]
    return replace(
        record,
        allowance=choice.allowance,
        system=system,
        test_accuracy=mean_over_images(right.correct, bench.resampling),
        shipped_seed_accuracy=mean_over_images(right.of_seeds(shipped), bench.resampling),
        comparisons=tuple(_comparisons(choice, system.test, right, bench)),
    )


def _comparisons(
    choice: Choice, own: SplitRecord, right: Outcome, bench: Bench
) -> Iterator[ComparisonRecord]:
    for name, opponent in choice.opponents.items():
        splits = bench.raw if name in UNCALIBRATED else bench.calibrated
        record, other = system_record(splits, opponent), judge_system(splits.test, opponent)
        yield ComparisonRecord(
            against=name,
            opponent=record,
            accuracy_difference=accuracy_difference(right, other, bench.resampling),
            macs_ratio=own.expected_macs / record.test.expected_macs,
            cpu_ratio=_ratio(own.expected_cpu_us, record.test.expected_cpu_us),
        )


def _ratio(value: float | None, by: float | None) -> float | None:
    return None if value is None or by is None else value / by
