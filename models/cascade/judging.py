"""Finished choices on the test images: what each system answers and costs, and what beats it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bicameral.errors import DataError
from bicameral.statistics import Estimate, Resampling, mean_over_images
from models.calibration import expected_calibration_error
from models.cascade.baselines import Mixture
from models.cascade.operating_points import Answers, OperatingPoint, run_point
from models.cascade.plan import Choice, Pick, Plan, Unmet
from models.cascade.pool import CalibratedPool, HeldOutPool, ValidationPool
from models.cascade.results import (
    ChoiceRecord,
    ComparisonRecord,
    MixtureRecord,
    OpponentName,
    RequirementRecord,
    SplitRecord,
    Spread,
    SystemRecord,
    spread,
)
from models.cascade.selection import MaxCost, MinAccuracy, Requirement

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What all comparisons share: the plan, both calibrations of the networks, the resampling."""

    plan: Plan
    calibrated: Splits
    raw: Splits
    resampling: Resampling


def choice_record(choice: Choice, bench: Bench) -> ChoiceRecord:
    """Judge one choice on the test images."""
    outcome = choice.outcome
    if isinstance(outcome, Unmet):
        return ChoiceRecord(
            name=choice.name,
            family=choice.family,
            requirement=requirement_record(choice.requirement),
            optimism=choice.optimism,
            allowance=None,
            unmet=outcome.reason,
            system=None,
            test_accuracy=None,
            shipped_seed_accuracy=None,
            comparisons=(),
        )
    right = system_outcome(bench.calibrated.test, outcome.point)
    system = system_record(bench.calibrated, outcome.point)
    shipped = bench.plan.selection_seeds[:1]
    return ChoiceRecord(
        name=choice.name,
        family=choice.family,
        requirement=requirement_record(choice.requirement),
        optimism=choice.optimism,
        allowance=outcome.allowance,
        unmet=None,
        system=system,
        test_accuracy=mean_over_images(right.correct, bench.resampling),
        shipped_seed_accuracy=mean_over_images(right.of_seeds(shipped), bench.resampling),
        comparisons=tuple(
            ComparisonRecord(
                against=name,
                opponent=record,
                accuracy_difference=accuracy_difference(right, other, bench.resampling),
                macs_ratio=system.test.expected_macs / _costs(record)[0],
                cpu_ratio=_ratio(system.test.expected_cpu_us, _costs(record)[1]),
            )
            for name, record, other in _opponents(choice, outcome, bench)
        ),
    )


def requirement_record(requirement: Requirement) -> RequirementRecord:
    """Return a requirement as plain values."""
    if isinstance(requirement, MinAccuracy):
        return RequirementRecord(kind="min_accuracy", value=requirement.accuracy, architecture=None)
    if isinstance(requirement, MaxCost):
        return RequirementRecord(kind="max_cost", value=requirement.cost, architecture=None)
    return RequirementRecord(
        kind="near_reference", value=requirement.gap, architecture=requirement.architecture
    )


def _opponents(
    choice: Choice, pick: Pick, bench: Bench
) -> Iterator[tuple[OpponentName, SystemRecord | MixtureRecord, Outcome]]:
    """Yield every opponent there is, by name, with its record and its outcome."""
    systems: list[tuple[OpponentName, System | None, Splits]] = [
        ("a", pick.point.a, bench.calibrated),
        ("b", pick.point.b, bench.calibrated),
        ("reference", bench.plan.reference, bench.calibrated),
        ("best_single_at_cost", pick.opponents.single, bench.calibrated),
    ]
    if choice.family == "pair":
        systems += [
            ("big_little_at_cost", pick.opponents.big_little, bench.calibrated),
            ("big_little_at_accuracy", pick.opponents.big_little_equal, bench.calibrated),
            ("best_with_zoo", pick.opponents.with_zoo, bench.calibrated),
            ("best_without_zoo", pick.opponents.without_zoo, bench.calibrated),
        ]
    if choice.name == bench.plan.chosen:
        systems += [
            ("paper_pair", bench.plan.paper, bench.raw),
            ("paper_threshold", bench.plan.paper_threshold, bench.raw),
        ]
    for name, system, splits in systems:
        if system is not None:
            yield name, system_record(splits, system), system_outcome(splits.test, system)
    mixture, pool = pick.opponents.mixture, bench.calibrated.test
    if mixture is not None:
        yield "mixture_at_cost", mixture_record(pool, mixture), mixture_outcome(pool, mixture)


def _costs(record: SystemRecord | MixtureRecord) -> tuple[float, float | None]:
    """Return the expected multiply-accumulates and CPU time on the test images."""
    of = record.test if isinstance(record, SystemRecord) else record
    return of.expected_macs, of.expected_cpu_us


def _ratio(value: float | None, by: float | None) -> float | None:
    return None if value is None or by is None else value / by
