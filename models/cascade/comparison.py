"""A finished choice against its opponents, on the test images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from models.cascade.bootstrap import Resampling, mean_interval
from models.cascade.plan import Choice, Pick, Plan, Unmet
from models.cascade.results import (
    ChoiceRecord,
    ComparisonRecord,
    MixtureRecord,
    OpponentName,
    RequirementRecord,
    SystemRecord,
)
from models.cascade.selection import MaxCost, MinAccuracy, Requirement
from models.cascade.systems import (
    Outcome,
    Splits,
    System,
    accuracy_difference,
    mixture_outcome,
    mixture_record,
    system_outcome,
    system_record,
)


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
        test_accuracy=mean_interval(right.correct, bench.resampling),
        shipped_seed_accuracy=mean_interval(right.of_seeds(shipped), bench.resampling),
        comparisons=tuple(
            ComparisonRecord(
                against=name,
                opponent=record,
                accuracy_difference=accuracy_difference(right, other, bench.resampling),
                macs_ratio=system.test.expected_macs / _macs(record),
                cpu_ratio=_ratio(system.test.expected_cpu_us, _cpu_us(record)),
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


def _macs(record: SystemRecord | MixtureRecord) -> float:
    return record.test.expected_macs if isinstance(record, SystemRecord) else record.expected_macs


def _cpu_us(record: SystemRecord | MixtureRecord) -> float | None:
    if isinstance(record, SystemRecord):
        return record.test.expected_cpu_us
    return record.expected_cpu_us


def _ratio(value: float | None, by: float | None) -> float | None:
    return None if value is None or by is None else value / by
