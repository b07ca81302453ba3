"""Finished choices on the test images: what each system answers and costs, and what beats it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bicameral.errors import DataError
from bicameral.statistics import Estimate, Resampling, mean_over_images
from models.calibration import expected_calibration_error
from models.cascade.operating_points import Answers, System, answer
from models.cascade.plan import UNCALIBRATED, Choice, Plan
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

    def record(self, system: System) -> SystemRecord:
        """Describe a system by its accuracy, its usage of networks and its cost on both splits."""
        seeds, policies = tuple(system.policies), tuple(system.policies.values())
        gates = zip(*(one.thresholds for one in policies), strict=True)
        return SystemRecord(
            networks=system.networks,
            score=policies[0].score if policies else None,
            combine=policies[0].combine if policies else None,
            thresholds=tuple(spread(seeds, of_gate) for of_gate in gates),
            calibrated=self.calibrated,
            validation=_split_record(self.validation, system),
            test=_split_record(self.test, system),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What all comparisons share: the plan, both calibrations of the networks, the resampling."""

    plan: Plan
    calibrated: Splits
    raw: Splits
    resampling: Resampling


def _split_record(pool: CalibratedPool, system: System) -> SplitRecord:
    answers = answer(pool, system)
    usage = tuple(spread(answers.seeds, of_stage) for of_stage in answers.usage.T)
    # Of a mixture the cheaper network sees only what the dearer one does not.
    shares = (1.0 if system.share is None else 1.0 - system.share, *(one.mean for one in usage))
    ran = [(pool.network(n), share) for n, share in zip(system.networks, shares, strict=True)]
    measured = all(network.cpu_us > 0.0 for network, _ in ran)
    return SplitRecord(
        accuracy=spread(answers.seeds, answers.correct.mean(axis=1)),
        usage=usage,
        expected_macs=sum(share * network.macs for network, share in ran),
        expected_cpu_us=sum(share * one.cpu_us for one, share in ran) if measured else None,
    )


def calibration_errors(
    probabilities: NDArray[np.float32] | None, labels: NDArray[np.int64], seeds: Sequence[int]
) -> Spread:
    """Return the expected calibration error of every seed's probabilities (S, N, C)."""
    assert probabilities is not None  # noqa: S101 - asked of no mixture
    return spread(seeds, [expected_calibration_error(of, labels) for of in probabilities])


def accuracy_difference(first: Answers, second: Answers, resampling: Resampling) -> Estimate:
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


def judge_choice(choice: Choice, bench: Bench) -> ChoiceRecord:
    """Judge one choice on the test images."""
    if choice.system is None:
        return choice.record
    answers = answer(bench.calibrated.test, choice.system)
    system = bench.calibrated.record(choice.system)
    shipped = answers.of_seeds(bench.plan.selection_seeds[:1])
    return replace(
        choice.record,
        system=system,
        test_accuracy=mean_over_images(answers.correct, bench.resampling),
        shipped_seed_accuracy=mean_over_images(shipped, bench.resampling),
        comparisons=tuple(_comparisons(choice, system.test, answers, bench)),
    )


def _comparisons(
    choice: Choice, own: SplitRecord, answers: Answers, bench: Bench
) -> Iterator[ComparisonRecord]:
    for name, opponent in choice.opponents.items():
        splits = bench.raw if name in UNCALIBRATED else bench.calibrated
        record = splits.record(opponent)
        cpu_us, other_us = own.expected_cpu_us, record.test.expected_cpu_us
        yield ComparisonRecord(
            against=name,
            opponent=record,
            accuracy_difference=accuracy_difference(
                answers, answer(splits.test, opponent), bench.resampling
            ),
            macs_ratio=own.expected_macs / record.test.expected_macs,
            cpu_ratio=None if cpu_us is None or other_us is None else cpu_us / other_us,
        )
