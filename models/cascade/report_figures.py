"""Pictures of an evaluation: what it costs to be right, and how far confidences can be trusted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from bicameral.charts import (
    Axis,
    Chart,
    Figure,
    HeatMap,
    Ink,
    Series,
    draw_chart,
    draw_heat_map,
)
from bicameral.statistics import Estimate
from bicameral.tables import Table, columns, integer, percent, row
from models.cascade.policy_grid import CostName
from models.cascade.report_tables import complementarity_table, front_table, wrong_answers
from models.cascade.results import (
    CascadeEvaluation,
    CurveRecord,
    NetworkRecord,
    NetworkRole,
    PartName,
    PartRecord,
    ReliabilityRecord,
    SystemRecord,
)
from models.cascade.wording import (
    COST_WORDS,
    LEVEL_WORDS,
    expected_cost,
    of_seed,
    part_title,
    readable,
    system_title,
)

SplitName = Literal["validation", "test"]

_COST_AXES: dict[CostName, str] = {
    "macs": "expected multiply-accumulates per image",
    "cpu_us": "expected CPU time per image, µs",
}

_PART_INKS: dict[PartName, Ink] = {
    "a": "a",
    "b": "b",
    "cascade": "cascade",
    "reference": "reference",
}

#: Where risk-coverage curves begin in the plot.
_LEAST_COVERAGE = 0.05

#: Rows of the tables of curves.
_READINGS = np.linspace(0.1, 1.0, 10)

#: Area of the mark of a bin that holds all images, square points.
_BIN_AREA = 200.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Spot:
    """A system in the plot of costs; accuracies 0..1."""

    title: str
    label: str
    cost: float
    accuracy: float
    interval: Estimate | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layer:
    """Systems that are drawn alike."""

    name: str
    ink: Ink
    marker: str
    spots: tuple[_Spot, ...]
    line: str = ""
    single: bool = False


def pareto_figure(evaluation: CascadeEvaluation, split: SplitName, cost: CostName) -> Figure | None:
    """Draw accuracy over expected cost on one split; None if that cost was not measured."""
    layers = [layer for layer in _layers(evaluation, split, cost) if layer.spots]
    cascades = [spot.accuracy for layer in layers if not layer.single for spot in layer.spots]
    if not cascades:
        return None
    # One network that learned little would press all others together at the top.
    floor = min(cascades) - 1.5 * max(max(cascades) - min(cascades), 0.01)
    low = [spot for layer in layers for spot in layer.spots if spot.accuracy < floor]
    chart = Chart(
        title=f"Accuracy over {COST_WORDS[cost]}, {split} images",
        x=Axis(label=_COST_AXES[cost], log=True),
        y=Axis(label=f"{split} accuracy, %"),
        series=[_series(layer, floor) for layer in layers],
        size_px=(1120.0, 520.0),
    )
    if split == "validation":
        caption = (
            f"The same systems on the {evaluation.n_validation:,} validation images, by which all "
            "of them were chosen: these accuracies flatter the fronts."
        )
    else:
        caption = (
            f"Judged on the {evaluation.n_test:,} test images; nothing was chosen by them, so the "
            "fronts, which were found on the validation images, need not rise everywhere. "
            f"Whiskers are {LEVEL_WORDS} intervals. Up and to the left is better."
        )
    if cost != evaluation.cost:
        caption += f" The fronts are those over {COST_WORDS[evaluation.cost]}."
    if low:
        below = ", ".join(f"{spot.title} ({percent(spot.accuracy)} %)" for spot in low)
        caption += f" Below the picture: {below}."
    decides = split == "test" and cost == evaluation.cost
    return draw_chart(chart, caption=caption, table=front_table(evaluation) if decides else None)


def _layers(evaluation: CascadeEvaluation, split: SplitName, cost: CostName) -> Iterator[_Layer]:
    """Yield what is drawn, the most important last."""
    roles: tuple[tuple[str, tuple[NetworkRole, ...], str], ...] = (
        ("single network", ("small",), "o"),
        ("single network, not considered", ("left_out",), "1"),
        ("large single network", ("reference", "reference_candidate"), "s"),
    )
    for name, wanted, marker in roles:
        networks = (network for network in evaluation.networks if network.role in wanted)
        spots = tuple(spot for net in networks if (spot := _network_spot(net, split, cost)))
        yield _Layer(name=name, ink="soft", marker=marker, spots=spots, single=True)

    def spots_of(systems: Sequence[SystemRecord], labels: Sequence[str] = ()) -> tuple[_Spot, ...]:
        named = zip(systems, labels or [""] * len(systems), strict=True)
        return tuple(spot for one, text in named if (spot := _spot(one, text, split, cost)))

    # In another measure than they were found by, neighbours do not follow each other.
    line = "-" if cost == evaluation.cost else ""
    fronts: tuple[tuple[str, Ink, tuple[SystemRecord, ...]], ...] = (
        ("front: small network → reference", "little", evaluation.big_little_front),
        ("front: pairs of small networks", "cascade", evaluation.front),
    )
    for name, ink, systems in fronts:
        yield _Layer(name=name, ink=ink, marker=".", spots=spots_of(systems), line=line)
    searched = {
        {"paper_pair": "paper's pair", "paper_threshold": "paper's threshold"}[one.against]: one
        for one in evaluation.shipped.comparisons
        if one.against in ("paper_pair", "paper_threshold")
    }
    found_by = [one.opponent for one in searched.values()]
    yield _Layer(
        name="the paper's search, uncalibrated",
        ink="published",
        marker="X",
        spots=spots_of(
            [system for system in found_by if isinstance(system, SystemRecord)], list(searched)
        ),
    )
    for ships in (False, True):
        found = []
        for choice in evaluation.choices:
            if choice.system is None or (choice.name == evaluation.detail.choice) != ships:
                continue
            label = f"chosen: {system_title(choice.system)}" if ships else readable(choice.name)
            spot = _spot(choice.system, label, split, cost)
            if spot and split == "test":
                spot = replace(spot, interval=choice.test_accuracy)
            found += [spot] if spot else []
        yield _Layer(
            name="chosen" if ships else "preset",
            ink="a" if ships else "ink",
            marker="*" if ships else "D",
            spots=tuple(found),
        )


def _network_spot(network: NetworkRecord, split: SplitName, cost: CostName) -> _Spot | None:
    value = float(network.macs) if cost == "macs" else network.cpu_us
    accuracy = network.test_accuracy if split == "test" else network.validation_accuracy
    if value is None:
        return None
    name = network.architecture
    return _Spot(title=name, label=name, cost=value, accuracy=accuracy.mean)


def _spot(system: SystemRecord, label: str, split: SplitName, cost: CostName) -> _Spot | None:
    record = system.test if split == "test" else system.validation
    value = expected_cost(record, cost)
    if value is None:
        return None
    title = f"{system_title(system)}, B asked {percent(record.usage.mean, 1)} %"
    return _Spot(title=title, label=label, cost=value, accuracy=record.accuracy.mean)


def _series(layer: _Layer, floor: float) -> Series:
    spots = [spot for spot in layer.spots if spot.accuracy >= floor]
    none = Estimate(value=None, low=None, high=None, n=0)
    return Series(
        name=layer.name,
        ink=layer.ink,
        marker=layer.marker,
        line=layer.line,
        x=[spot.cost for spot in spots],
        y=[100.0 * spot.accuracy for spot in spots],
        labels=[spot.label for spot in spots],
        intervals=[_in_percent(spot.interval or none) for spot in spots],
    )


def _in_percent(share: Estimate) -> Estimate:
    value, low, high = (
        None if end is None else 100.0 * end for end in (share.value, share.low, share.high)
    )
    return replace(share, value=value, low=low, high=high, unit="%")


def reliability_figure(evaluation: CascadeEvaluation, part: PartRecord) -> Figure:
    """Draw the reliability diagram of the cascade or one of its parts, of the shipped seed."""
    seed = evaluation.detail.shipped_seed
    chart = Chart(
        title=part_title(evaluation, part.part),
        x=Axis(label="confidence, %", low=0.0, high=100.0),
        y=Axis(label="right answers, %", low=0.0, high=100.0),
        series=[
            Series(name="", x=[0.0, 100.0], y=[0.0, 100.0], ink="soft", marker="", line="--"),
            _bins("before", part.reliability_before, "soft"),
            _bins("after temperature scaling", part.reliability_after, _PART_INKS[part.part]),
        ],
        size_px=(340.0, 330.0),
    )
    before, after = of_seed(part.ece_before, seed), of_seed(part.ece_after, seed)
    caption = f"ECE {percent(before)} % before, {percent(after)} % after (seed {seed})."
    return draw_chart(chart, caption=caption, table=_reliability_table(part))


def _bins(name: str, record: ReliabilityRecord, ink: Ink) -> Series:
    filled = [k for k, count in enumerate(record.count) if count]
    total = sum(record.count)
    return Series(
        name=name,
        ink=ink,
        x=[100.0 * record.confidence[k] for k in filled],
        y=[100.0 * record.accuracy[k] for k in filled],
        sizes=[max(_BIN_AREA * record.count[k] / total, 6.0) for k in filled],
    )


def _reliability_table(part: PartRecord) -> Table:
    def texts(record: ReliabilityRecord, k: int) -> tuple[str, str, str]:
        if not record.count[k]:
            return "0", "", ""
        shares = (percent(record.confidence[k]), percent(record.accuracy[k]))
        return integer(record.count[k]), *shares

    before, after = part.reliability_before, part.reliability_after
    bins = len(after.count)
    headings = ("images", "confidence %", "right %")
    return Table(
        title="Bins",
        columns=columns(
            "confidence", *(f"{what} {when}" for when in ("before", "after") for what in headings)
        ),
        rows=tuple(
            row(f"{k / bins:.2f}–{(k + 1) / bins:.2f}", *texts(before, k), *texts(after, k))
            for k in range(bins)
        ),
    )


def risk_coverage_figure(evaluation: CascadeEvaluation) -> Figure:
    """Draw how many answers are wrong on the share of images that a system is surest of."""
    parts = {part_title(evaluation, part.part): part for part in evaluation.detail.parts}
    series = []
    for title, part in sorted(parts.items(), key=lambda one: one[1].part == "cascade"):
        curve = part.risk_coverage
        kept = [(x, y) for x, y in zip(curve.x, curve.y, strict=True) if x >= _LEAST_COVERAGE]
        shown = CurveRecord(x=tuple(x for x, _ in kept), y=tuple(y for _, y in kept))
        series.append(_line(title, shown, _PART_INKS[part.part]))
    chart = Chart(
        title="Risk over coverage, test images",
        x=Axis(label="coverage: share of images answered, surest first, %", low=0.0, high=100.0),
        y=Axis(label="risk: wrong answers among them, %", low=0.0),
        series=series,
    )
    caption = (
        f"Curves of seed {evaluation.detail.shipped_seed}, from a coverage of "
        f"{percent(_LEAST_COVERAGE, 0)} % on, below which a few images decide; areas are of whole "
        "curves and means over the seeds. The further a curve falls to the left, the more it helps "
        "to refuse the least sure images."
    )
    curves = {title: part.risk_coverage for title, part in parts.items()}
    return draw_chart(chart, caption=caption, table=_readings("Risk, %", "coverage, %", curves))


def usage_figure(evaluation: CascadeEvaluation) -> Figure:
    """Draw the accuracy of the chosen pair over the share of images that B sees."""
    detail, system = evaluation.detail, evaluation.shipped_system
    seed = detail.shipped_seed
    curves = {
        "validation images": detail.accuracy_over_usage_validation,
        "test images": detail.accuracy_over_usage_test,
    }
    inks: tuple[Ink, Ink] = ("soft", "cascade")
    series = [_line(name, curve, ink) for (name, curve), ink in zip(curves.items(), inks)]  # noqa: B905
    for name, split, ink in zip(("", "chosen threshold"), (system.validation, system.test), inks):  # noqa: B905
        x, y = (100.0 * of_seed(of, seed) for of in (split.usage, split.accuracy))
        series.append(Series(name=name, x=[x], y=[y], ink=ink, marker="*"))
    chart = Chart(
        title="Accuracy over B's share",
        x=Axis(label="images that B sees, %", low=0.0, high=100.0),
        y=Axis(label="accuracy, %"),
        series=series,
    )
    oracle = percent(of_seed(detail.oracle_accuracy_test, seed))
    caption = (
        f"Seed {seed}. A gate that knew which images B mends would reach {oracle} % on the test "
        "images with the same two networks."
    )
    return draw_chart(
        chart, caption=caption, table=_readings("Accuracy, %", "B's share, %", curves)
    )


def _line(name: str, curve: CurveRecord, ink: Ink) -> Series:
    x, y = 100.0 * np.asarray(curve.x), 100.0 * np.asarray(curve.y)
    return Series(name=name, x=x, y=y, ink=ink, marker="", line="-")


def _readings(title: str, label: str, curves: dict[str, CurveRecord]) -> Table:
    """Read curves off at round places."""
    return Table(
        title=title,
        columns=columns(label, *curves),
        rows=tuple(
            row(
                percent(float(at), 0),
                *(percent(float(np.interp(at, curve.x, curve.y))) for curve in curves.values()),
            )
            for at in _READINGS
        ),
    )


def complementarity_figure(evaluation: CascadeEvaluation) -> Figure:
    """Draw complementarity below and oracle accuracy above the diagonal."""
    record, system = evaluation.complementarity, evaluation.shipped_system
    names = record.architectures
    paper, oracle = np.array(record.paper), np.array(record.oracle_accuracy)
    below = np.tri(len(names), k=-1, dtype=bool)
    tints = np.full(paper.shape, np.nan)
    for matrix, where in ((paper, below), (oracle, below.T)):
        low, high = matrix[where].min(), matrix[where].max()
        tints[where] = (matrix[where] - low) / (high - low) if high > low else 0.0
    texts = np.where(below, paper, oracle)
    a, b = names.index(system.a), names.index(str(system.b))
    figure = HeatMap(
        title="Complementarity and oracle accuracy",
        rows=names,
        columns=names,
        values=tints,
        texts=[[percent(float(value), 1) for value in line] for line in texts],
        limits=(0.0, 1.0),
        framed=((a, b), (b, a)),
    )
    return draw_heat_map(
        figure,
        caption=(
            f"On the {integer(record.n_images)} validation images, in percent. Below the diagonal: "
            "the paper's complementarity, twice the smaller of the two shares that only one of the "
            "networks gets right. Above it: oracle accuracy, what a perfect gate would reach. On "
            "it: the network's own accuracy. Each half is tinted by itself, the chosen pair framed."
        ),
        table=complementarity_table(evaluation),
    )


def confusion_figure(evaluation: CascadeEvaluation, part: PartRecord) -> Figure:
    """Draw the confusion matrix of the cascade or one of its parts, of the shipped seed."""
    counts = np.array(part.confusion)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    # The root shows the rare confusions, too.
    tints = np.sqrt(np.minimum(1.5 * shares, 1.0))
    np.fill_diagonal(tints, np.nan)
    figure = HeatMap(
        title=part_title(evaluation, part.part),
        rows=evaluation.labels,
        columns=evaluation.labels,
        values=tints,
        texts=[[str(count) if count else "" for count in line] for line in counts],
        limits=(0.0, 1.0),
        labels=("true class", "answer"),
    )
    return draw_heat_map(figure, caption=f"{integer(wrong_answers(part))} answers are wrong.")
