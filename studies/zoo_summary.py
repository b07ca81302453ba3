"""From the answers of single trainings to the evaluation of the zoo: intervals, fronts, words."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bicameral.errors import DataError
from bicameral.statistics import Resampling, mean, mean_over_images
from models.calibration import expected_calibration_error
from models.data.corruptions import CORRUPTIONS
from models.zoo.results import CostName, EntryEvaluation

#: The condition that is no corruption.
CLEAN = "as they are"

COSTS: dict[CostName, str] = {
    "macs": "multiply-accumulates",
    "cpu_us": "CPU time",
    "bytes": "size",
}

#: The mean over all corruptions has thousands of values; more replicates would fill the memory.
_ROBUSTNESS = Resampling(replicates=2_000)

#: Smallest probability whose logarithm is taken: the smallest normal number of float32.
_LEAST = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """How a training answered N images: shares and errors 0..1, loss in nats, correct (N,)."""

    accuracy: float
    macro_f1: float
    nll: float
    ece: float
    correct: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """What was measured of one training of an entry; `answers` by condition."""

    entry: str
    seed: int
    model: str
    macs: int | None
    parameters: int
    bytes: int
    answers: dict[str, Answers]


def judge(probabilities: NDArray[np.float32], labels: NDArray[np.int64]) -> Answers:
    """Compare answers (N, C) with the true classes (N,)."""
    answers = probabilities.argmax(axis=1)
    of_truth = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return Answers(
        accuracy=float((answers == labels).mean()),
        macro_f1=macro_f1(answers, labels, probabilities.shape[1]),
        nll=float(-np.log(np.maximum(of_truth, _LEAST)).mean()),
        ece=expected_calibration_error(probabilities, labels),
        correct=answers == labels,
    )


def macro_f1(answers: NDArray[np.int64], labels: NDArray[np.int64], classes: int) -> float:
    """Return the mean over the classes of 2 TP / (2 TP + FP + FN).

    A class that neither occurs nor is answered counts as 0, as for scikit-learn.
    """
    right = np.bincount(labels[answers == labels], minlength=classes)
    mentions = np.bincount(answers, minlength=classes) + np.bincount(labels, minlength=classes)
    return float((2.0 * right / np.maximum(mentions, 1)).mean())


def log_probabilities(probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return logits whose softmax is the given distribution (N, C); no logarithm is infinite."""
    return np.log(np.maximum(probabilities, _LEAST)).astype(np.float32)


def summarise(
    trainings: Sequence[Training], cpu_us: Mapping[str, float], shipped: Sequence[str]
) -> tuple[EntryEvaluation, ...]:
    """Join the trainings of each entry, compare the entries, best first.

    Args:
        trainings: All of the same images, by entry and seed.
        cpu_us: By entry, CPU time of its first model.
        shipped: Names of the models that ship.

    Raises:
        DataError: If two trainings of an entry are of different networks.
    """
    by_entry: dict[str, list[Training]] = {}
    for training in trainings:
        by_entry.setdefault(training.entry, []).append(training)
    entries = [_entry(of_entry, cpu_us[name], shipped) for name, of_entry in by_entry.items()]
    entries.sort(key=lambda one: (-_accuracy(one), one.name))
    return tuple(_compared(one, entries) for one in entries)


def _entry(trainings: Sequence[Training], cpu_us: float, shipped: Sequence[str]) -> EntryEvaluation:
    first = trainings[0]
    sizes = {one.parameters for one in trainings}
    if len(sizes) > 1:
        raise DataError(
            f"the trainings of {first.entry!r} have {sorted(sizes)} parameters; they are different "
            "networks, export them under different names"
        )
    clean = [one.answers[CLEAN] for one in trainings]
    corrupted = [
        {name: answers for name, answers in one.answers.items() if name != CLEAN}
        for one in trainings
    ]
    kept = [np.mean([each.correct for each in one.values()], axis=0) for one in corrupted]
    return EntryEvaluation(
        name=first.entry,
        models=tuple(one.model for one in trainings),
        ships=any(one.model in shipped for one in trainings),
        accuracy=mean_over_images(np.stack([one.correct for one in clean]).astype(np.float64)),
        macro_f1=mean([one.macro_f1 for one in clean]),
        nll=mean([one.nll for one in clean], "nats"),
        ece=mean([one.ece for one in clean]),
        robustness=mean_over_images(np.stack(kept), _ROBUSTNESS),
        corrupted_ece=mean(
            [float(np.mean([each.ece for each in one.values()])) for one in corrupted]
        ),
        corrupted={
            name: float(np.mean([one[name].accuracy for one in corrupted])) for name in corrupted[0]
        },
        macs=first.macs,
        parameters=first.parameters,
        cpu_us=cpu_us,
        bytes=first.bytes,
        unbeaten_by=(),
        good_for="",
    )


def _compared(one: EntryEvaluation, entries: Sequence[EntryEvaluation]) -> EntryEvaluation:
    others = [other for other in entries if other.name != one.name]
    unbeaten = tuple(
        cost for cost in COSTS if not any(_beats(other, one, cost) for other in others)
    )
    placed = replace(one, unbeaten_by=unbeaten)
    return replace(placed, good_for=_good_for(placed, others) if others else "")


def _beats(other: EntryEvaluation, one: EntryEvaluation, cost: CostName) -> bool:
    """Return whether the other is at least as accurate at no more cost, and better in one."""
    its, own = other.cost(cost), one.cost(cost)
    if its is None or own is None:
        return False
    at_least = _accuracy(other) >= _accuracy(one) and its <= own
    return at_least and (_accuracy(other) > _accuracy(one) or its < own)


def _good_for(one: EntryEvaluation, others: Sequence[EntryEvaluation]) -> str:
    """Say what the figures speak for, and where they speak against it."""
    sentences = []
    if one.unbeaten_by:
        costs = _listed([COSTS[cost] for cost in one.unbeaten_by], "or")
        sentences.append(f"No other one is as accurate at a lower cost in {costs}.")
    best = [
        measure.words + measure.show(one)
        for measure in MEASURES
        if all(measure.merit(one) > measure.merit(other) for other in others)
    ]
    if best:
        sentences.append(f"Best of all {_listed(best)}.")
    everywhere = [other for other in others if all(_beats(other, one, cost) for cost in COSTS)]
    if everywhere:
        strongest = max(everywhere, key=_accuracy)
        gap = 100.0 * (_accuracy(strongest) - _accuracy(one))
        overlap = (strongest.accuracy.low or 0.0) <= (one.accuracy.high or 1.0)
        sentences.append(
            f"{strongest.name} costs no more in any measure and is {gap:.2f} points more accurate"
            + ("; their intervals overlap." if overlap else ".")
        )
    return " ".join(sentences)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """Something to be the best in.

    Attributes:
        words: How a sentence says it.
        merit: What an entry reaches; more is better.
        shown: Format of the merit, or of what it is the opposite of; empty to show nothing.
    """

    words: str
    merit: Callable[[EntryEvaluation], float]
    shown: str = ""

    def show(self, one: EntryEvaluation) -> str:
        """Write what an entry reaches, if it is to be shown."""
        return self.shown.format(abs(self.merit(one))).replace("%", " %")


def _accuracy(one: EntryEvaluation) -> float:
    return one.accuracy.value or 0.0


def _under(corruption: str) -> Callable[[EntryEvaluation], float]:
    """Return the mean accuracy over the strengths of a corruption."""

    def merit(one: EntryEvaluation) -> float:
        of = [value for name, value in one.corrupted.items() if name.split()[0] == corruption]
        return float(np.mean(of))

    return merit


def _little(cost: CostName) -> Callable[[EntryEvaluation], float]:
    return lambda one: -(one.cost(cost) or math.inf)


MEASURES = (
    Measure(words="in accuracy", merit=_accuracy, shown=" ({:.2%})"),
    Measure(
        words="in accuracy over all corruptions",
        merit=lambda one: one.robustness.value or 0.0,
        shown=" ({:.1%})",
    ),
    *(Measure(words=f"under {n}", merit=_under(n), shown=" ({:.1%})") for n in CORRUPTIONS),
    Measure(
        words="in calibration", merit=lambda one: -(one.ece.value or 0.0), shown=" (ECE {:.4f})"
    ),
    Measure(
        words="in calibration under corruptions",
        merit=lambda one: -(one.corrupted_ece.value or 0.0),
        shown=" (ECE {:.3f})",
    ),
    *(Measure(words=f"in {words}", merit=_little(cost)) for cost, words in COSTS.items()),
)


def winners(entries: Sequence[EntryEvaluation]) -> dict[str, str]:
    """Return which entry is the best in each measure; where several share it, the first."""
    return {one.words: max(entries, key=one.merit).name for one in MEASURES}


def _listed(words: Sequence[str], last: str = "and") -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {last} {words[-1]}"
