"""What stands at the top: what ships, its figures, and how it compares, in sentences."""

from __future__ import annotations

from dataclasses import dataclass

from models.cascade.policy_grid import CostName
from models.cascade.report.quantities import (
    DASH,
    cost_text,
    expected_cost,
    integer,
    magnitude,
    microseconds,
    percent,
    percent_interval,
    ratio,
    readable,
    seeds_text,
)
from models.cascade.report.wording import (
    COMBINATION_WORDS,
    FAMILY_WORDS,
    LEVEL_WORDS,
    SCORE_WORDS,
    chosen,
    comparison_sentence,
    requirement_text,
    threshold_text,
)
from models.cascade.results import CascadeEvaluation, ComparisonRecord, OpponentName, SystemRecord

#: Comparisons that decide whether the cascade is worth having, in this order.
_DECISIVE: tuple[OpponentName, ...] = (
    "reference",
    "best_single_at_cost",
    "big_little_at_accuracy",
    "best_with_zoo",
    "best_without_zoo",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadlineFigure:
    """A number, what it is, and in smaller print what qualifies it."""

    value: str
    label: str
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Headline:
    """The box at the top."""

    title: str
    lead: str
    figures: tuple[HeadlineFigure, ...]
    sentences: tuple[str, ...]


def headline(evaluation: CascadeEvaluation, host: str | None) -> Headline:
    """Say what ships and what it is worth."""
    ships = chosen(evaluation)
    system, against = ships.system, {c.against: c for c in ships.choice.comparisons}
    return Headline(
        title=f"Cascade {system.a} → {system.b} on {evaluation.dataset}",
        lead=_lead(evaluation),
        figures=_figures(evaluation, against.get("reference"), host),
        sentences=tuple(
            comparison_sentence(against[name]) for name in _DECISIVE if name in against
        ),
    )


def _lead(evaluation: CascadeEvaluation) -> str:
    ships = chosen(evaluation)
    choice, system = ships.choice, ships.system
    return (
        f"A = {system.a} answers every image. Where its {SCORE_WORDS[ships.score]} is below "
        f"{threshold_text(system, evaluation.detail.shipped_seed)}, B = {system.b} is asked too, "
        f"and {COMBINATION_WORDS[ships.combination]}. Chosen as “{readable(choice.name)}” "
        f"({FAMILY_WORDS[choice.family]}: "
        f"{requirement_text(choice.requirement, evaluation.cost)}) among "
        f"{integer(evaluation.policies)} policies on {integer(evaluation.n_validation)} validation "
        f"images; figures are of the {integer(evaluation.n_test)} test images unless they say "
        "otherwise."
    )


def _figures(
    evaluation: CascadeEvaluation, reference: ComparisonRecord | None, host: str | None
) -> tuple[HeadlineFigure, ...]:
    ships = chosen(evaluation)
    test, accuracy, shipped = ships.system.test, ships.accuracy, ships.shipped_accuracy
    seeds = len(test.accuracy.seeds)
    return (
        HeadlineFigure(
            value=f"{percent(accuracy.value)} %",
            label=f"accuracy {percent_interval(accuracy)}",
            note=f"mean of {seeds_text(seeds)}, {LEVEL_WORDS} interval; the shipped seed "
            f"{evaluation.detail.shipped_seed}: {percent(shipped.value)} "
            f"{percent_interval(shipped)}",
        ),
        HeadlineFigure(
            value=ratio(reference.macs_ratio if reference else None),
            label="of the reference's multiply-accumulates",
            note=f"{magnitude(test.expected_macs)} expected per image; the reference "
            f"{evaluation.reference}: {_reference_cost(reference, 'macs')}",
        ),
        HeadlineFigure(
            value=ratio(reference.cpu_ratio if reference else None),
            label="of the reference's CPU time",
            note=f"{microseconds(test.expected_cpu_us)} µs expected per image; the reference: "
            f"{_reference_cost(reference, 'cpu_us')}"
            if test.expected_cpu_us is not None
            else "CPU time was not measured for every network",
        ),
        HeadlineFigure(
            value=f"{percent(test.usage.mean, 1)} %",
            label="of the images ask B",
            note=f"{percent(ships.system.validation.usage.mean, 1)} % of the validation images",
        ),
        HeadlineFigure(
            value=f"{integer(evaluation.n_test)} × {seeds}",
            label="test images × seeds",
            note=host or "hardware not recorded",
        ),
    )


def _reference_cost(reference: ComparisonRecord | None, cost: CostName) -> str:
    if reference is None or not isinstance(reference.opponent, SystemRecord):
        return DASH
    return cost_text(expected_cost(reference.opponent.test, cost), cost)
