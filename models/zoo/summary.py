"""From the records of single models to the evaluation of the zoo: intervals, fronts, sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bicameral.errors import DataError
from models.cascade.bootstrap import Resampling, mean_interval
from models.cascade.results import Spread, spread
from models.zoo.corruptions import CORRUPTIONS, conditions
from models.zoo.records import AnswerRecord, ModelRecord, unpacked
from models.zoo.results import ConditionSummary, CorruptionRecord, CostName, EntryEvaluation

COSTS: tuple[CostName, ...] = ("macs", "cpu_us", "bytes")

_COST_WORDS: dict[CostName, str] = {
    "macs": "multiply-accumulates",
    "cpu_us": "CPU time",
    "bytes": "size",
}

#: The mean over all corruptions has thousands of values; more replicates would fill the memory.
_ROBUSTNESS = Resampling(replicates=2_000)


def summarise(
    records: Sequence[ModelRecord], cpu_us: Mapping[str, float], shipped: Sequence[str]
) -> tuple[EntryEvaluation, ...]:
    """Join the trainings of each entry, compare the entries, best first.

    Args:
        records: One per model and seed, all of the same images.
        cpu_us: By entry, CPU time of its first model.
        shipped: Names of the models that ship.

    Raises:
        DataError: If two trainings of an entry are of different networks.
    """
    by_entry: dict[str, list[ModelRecord]] = {}
    for record in sorted(records, key=lambda record: record.seed):
        by_entry.setdefault(record.entry, []).append(record)
    entries = [
        _entry(trainings, cpu_us[name], set(shipped)) for name, trainings in by_entry.items()
    ]
    entries.sort(key=lambda one: (-one.accuracy.value, one.name))
    return tuple(_compared(one, entries) for one in entries)


def corruption_records() -> tuple[CorruptionRecord, ...]:
    """Describe the corruptions."""
    return tuple(
        CorruptionRecord(name=name, unit=one.unit, strengths=one.strengths, why=one.why)
        for name, one in CORRUPTIONS.items()
    )


def _entry(trainings: Sequence[ModelRecord], cpu_us: float, shipped: set[str]) -> EntryEvaluation:
    first = trainings[0]
    sizes = {record.parameters for record in trainings}
    if len(sizes) > 1:
        raise DataError(
            f"the trainings of {first.entry!r} have {sorted(sizes)} parameters; they are different "
            "networks, export them under different names"
        )
    seeds = tuple(record.seed for record in trainings)
    clean = [record.clean for record in trainings]
    correct = np.stack([unpacked(one.correct, first.n_images) for one in clean])
    conditioned = [[one.answers for one in record.corrupted] for record in trainings]

    def over_seeds(name: str, answers: Sequence[AnswerRecord]) -> Spread:
        return spread(seeds, [getattr(one, name) for one in answers])

    return EntryEvaluation(
        name=first.entry,
        models=tuple(record.model for record in trainings),
        ships=any(record.model in shipped for record in trainings),
        accuracy=mean_interval(correct.astype(np.float64), Resampling()),
        accuracy_of_seeds=over_seeds("accuracy", clean),
        macro_f1=over_seeds("macro_f1", clean),
        nll=over_seeds("nll", clean),
        ece=over_seeds("ece", clean),
        robustness=mean_interval(_robustness(trainings), _ROBUSTNESS),
        corrupted_ece=spread(seeds, [_mean_ece(answers) for answers in conditioned]),
        corrupted=tuple(
            ConditionSummary(
                corruption=name,
                level=level,
                accuracy=over_seeds("accuracy", [answers[index] for answers in conditioned]),
                ece=over_seeds("ece", [answers[index] for answers in conditioned]),
            )
            for index, (name, level) in enumerate(conditions())
        ),
        macs=first.macs,
        parameters=first.parameters,
        cpu_us=cpu_us,
        bytes=first.bytes,
        unbeaten_by=(),
        good_for="",
    )


def _robustness(trainings: Sequence[ModelRecord]) -> NDArray[np.float64]:
    """Return in how many of the corruptions each image was answered right, 0..1, (S, N)."""
    return np.stack(
        [
            np.mean(
                [unpacked(one.answers.correct, record.n_corrupted) for one in record.corrupted],
                axis=0,
            )
            for record in trainings
        ]
    )


def _mean_ece(answers: Sequence[AnswerRecord]) -> float:
    return float(np.mean([one.ece for one in answers]))


def _compared(one: EntryEvaluation, entries: Sequence[EntryEvaluation]) -> EntryEvaluation:
    others = [other for other in entries if other.name != one.name]
    unbeaten = tuple(
        cost for cost in COSTS if not any(_beats(other, one, cost) for other in others)
    )
    placed = replace(one, unbeaten_by=unbeaten)
    return replace(placed, good_for=_good_for(placed, others))


def _beats(other: EntryEvaluation, one: EntryEvaluation, cost: CostName) -> bool:
    """Return whether the other is at least as accurate at no more cost, and better in one."""
    its, own = other.cost(cost), one.cost(cost)
    if its is None or own is None:
        return False
    at_least = other.accuracy.value >= one.accuracy.value and its <= own
    return at_least and (other.accuracy.value > one.accuracy.value or its < own)


def _good_for(one: EntryEvaluation, others: Sequence[EntryEvaluation]) -> str:
    """Say what the figures speak for, and where they speak against it."""
    sentences = []
    if others and one.unbeaten_by:
        costs = _listed([_COST_WORDS[cost] for cost in one.unbeaten_by], "or")
        sentences.append(f"No other one is as accurate at a lower cost in {costs}.")
    best = _best_at(one, others)
    if others and best:
        sentences.append(f"Best of all {_listed(best)}.")
    everywhere = [other for other in others if all(_beats(other, one, cost) for cost in COSTS)]
    if everywhere:
        strongest = max(everywhere, key=lambda other: other.accuracy.value)
        gap = 100.0 * (strongest.accuracy.value - one.accuracy.value)
        overlap = strongest.accuracy.low <= one.accuracy.high
        sentences.append(
            f"{strongest.name} costs no more in any measure and is {gap:.2f} points more accurate"
            + ("; their intervals overlap." if overlap else ".")
        )
    return " ".join(sentences)


def _best_at(one: EntryEvaluation, others: Sequence[EntryEvaluation]) -> list[str]:
    """Name the measures in which an entry has the best figure."""
    found = []
    if one.accuracy.value > max(other.accuracy.value for other in others) if others else False:
        found.append(f"in accuracy ({100 * one.accuracy.value:.2f} %)")
    if others and one.robustness.value > max(other.robustness.value for other in others):
        found.append(f"in accuracy over all corruptions ({100 * one.robustness.value:.1f} %)")
    for name in CORRUPTIONS:
        own = _under(one, name)
        if others and own > max(_under(other, name) for other in others):
            found.append(f"under {name} ({100 * own:.1f} %)")
    if others and one.ece.mean < min(other.ece.mean for other in others):
        found.append(f"in calibration (ECE {one.ece.mean:.4f})")
    if others and one.corrupted_ece.mean < min(other.corrupted_ece.mean for other in others):
        found.append(f"in calibration under corruptions (ECE {one.corrupted_ece.mean:.3f})")
    for cost in COSTS:
        own_cost = one.cost(cost)
        costs = [value for other in others if (value := other.cost(cost)) is not None]
        if own_cost is not None and costs and own_cost < min(costs):
            found.append(f"in {_COST_WORDS[cost]}")
    return found


def _under(one: EntryEvaluation, corruption: str) -> float:
    """Return the mean accuracy over the strengths of a corruption."""
    of = [each.accuracy.mean for each in one.corrupted if each.corruption == corruption]
    return float(np.mean(of))


def _listed(words: Sequence[str], last: str = "and") -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {last} {words[-1]}"
