"""Pictures of an evaluation: what it costs to be right, and how far confidences can be trusted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import permutations

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
from bicameral.tables import Table, integer, list_table, percent
from models.calibration import ReliabilityBins
from models.cascade.report_tables import (
    complementarity_table,
    front_table,
    usage_text,
    wrong_answers,
)
from models.cascade.results import (
    CascadeEvaluation,
    CurveRecord,
    NetworkRole,
    OpponentName,
    PartName,
    PartRecord,
    SystemRecord,
)
from models.cascade.wording import (
    COST_WORDS,
    LEVEL_WORDS,
    part_title,
    readable,
    system_title,
)

_PAPERS: dict[OpponentName, str] = {
    "paper_pair": "paper's pair",
    "paper_threshold": "paper's threshold",
    "paper_choice": "paper's search",
}

#: Where risk-coverage curves begin in the plot.
_LEAST_COVERAGE = 0.05

#: Rows of the tables of curves.
_READINGS = tuple(np.linspace(0.1, 1.0, 10).tolist())

#: Area of the mark of a bin that holds all images, square points.
_BIN_AREA = 200.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Spot:
    """A system in the plot of costs; accuracies 0..1."""

    title: str
    cost: float | None
    accuracy: float
    label: str = ""
    interval: Estimate | None = None


def pareto_figure(evaluation: CascadeEvaluation) -> Figure:
    """Draw test accuracy over the cost that decided, the most important last."""
    layers = _layers(evaluation)
    cascades = [one.accuracy for *_, spots in layers[_SINGLES:] for one in spots]
    # One network that learned little would press all others together at the top.
    floor = min(cascades) - 1.5 * max(max(cascades) - min(cascades), 0.01)
    cost, unit = evaluation.cost, ", µs" if evaluation.cost == "cpu_us" else ""
    chart = Chart(
        title=f"Accuracy over {COST_WORDS[cost]}, test images",
        x=Axis(label=f"expected {COST_WORDS[cost]} per image{unit}", log=True),
        y=Axis(label="test accuracy, %"),
        series=[
            _series(name, ink, marker, line, [one for one in spots if one.accuracy >= floor])
            for name, ink, marker, line, spots in layers
            if any(one.cost is not None for one in spots)
        ],
        size_px=(1120.0, 520.0),
    )
    caption = (
        f"Judged on the {evaluation.n_test:,} test images; nothing was chosen by them, so the "
        "fronts, which were found on the validation images, need not rise everywhere. "
        f"Whiskers are {LEVEL_WORDS} intervals. Up and to the left is better."
    )
    low = [one for *_, spots in layers for one in spots if one.accuracy < floor]
    if low:
        listed = ", ".join(f"{one.title} ({percent(one.accuracy)} %)" for one in low)
        caption += f" Below the picture: {listed}."
    return draw_chart(chart, caption=caption, table=front_table(evaluation))


#: Layers of single networks, which come first.
_SINGLES = 3


def _layers(evaluation: CascadeEvaluation) -> list[tuple[str, Ink, str, str, list[_Spot]]]:
    """Return name, ink, marker, line and systems of everything that is drawn."""
    cost, shipped = evaluation.cost, evaluation.shipped

    def networks(*roles: NetworkRole) -> list[_Spot]:
        return [
            _Spot(
                title=network.architecture,
                label=network.architecture,
                cost=network.macs if cost == "macs" else network.cpu_us,
                accuracy=network.test_accuracy.mean,
            )
            for network in evaluation.networks
            if network.role in roles
        ]

    def spot(system: SystemRecord, label: str = "", interval: Estimate | None = None) -> _Spot:
        return _Spot(
            title=f"{system_title(system)}, asked {usage_text(system.test)} %",
            label=label,
            cost=system.test.expected_cost(cost),
            accuracy=system.test.accuracy.mean,
            interval=interval,
        )

    papers = [
        spot(found.opponent, label)
        for name, label in _PAPERS.items()
        if (found := shipped.against(name))
    ]
    presets = [
        spot(one.system, readable(one.name), one.test_accuracy)
        for one in evaluation.choices
        if one.system is not None and one is not shipped
    ]
    system = evaluation.shipped_system
    chosen = spot(system, f"chosen: {system_title(system)}", shipped.test_accuracy)
    _, pairs, three = (list(map(spot, front)) for front in evaluation.fronts)
    return [
        ("single network", "soft", "o", "", networks("small")),
        ("single network, not considered", "soft", "1", "", networks("left_out")),
        ("large single network", "soft", "s", "", networks("reference", "reference_candidate")),
        ("front: three stages", "little", ".", "-", three),
        ("front: pairs", "cascade", ".", "-", pairs),
        ("the paper's searches, uncalibrated", "published", "X", "", papers),
        ("preset", "ink", "D", "", presets),
        ("chosen", "a", "*", "", [chosen]),
    ]


def _series(name: str, ink: Ink, marker: str, line: str, spots: list[_Spot]) -> Series:
    none = Estimate(value=None, low=None, high=None, n=0)
    shown = [(spot, spot.cost) for spot in spots if spot.cost is not None]
    return Series(
        name=name,
        ink=ink,
        marker=marker,
        line=line,
        x=[cost for _, cost in shown],
        y=[100.0 * spot.accuracy for spot, _ in shown],
        labels=[spot.label for spot, _ in shown],
        intervals=[(spot.interval or none).scaled(100.0, "%") for spot, _ in shown],
    )


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
            _bins("after temperature scaling", part.reliability_after, _ink(part.part)),
        ],
        size_px=(340.0, 330.0),
    )
    before, after = part.ece_before.of_seed(seed), part.ece_after.of_seed(seed)
    caption = f"ECE {percent(before)} % before, {percent(after)} % after (seed {seed})."
    return draw_chart(chart, caption=caption)


def _ink(part: PartName) -> Ink:
    return "little" if part == "c" else part


def _bins(name: str, record: ReliabilityBins, ink: Ink) -> Series:
    filled = [k for k, count in enumerate(record.count) if count]
    total = sum(record.count)
    return Series(
        name=name,
        ink=ink,
        x=[100.0 * record.confidence[k] for k in filled],
        y=[100.0 * record.accuracy[k] for k in filled],
        sizes=[max(_BIN_AREA * record.count[k] / total, 6.0) for k in filled],
    )


def risk_coverage_figure(evaluation: CascadeEvaluation) -> Figure:
    """Draw how many answers are wrong on the share of images that a system is surest of."""
    parts = {part_title(evaluation, part.part): part for part in evaluation.detail.parts}
    series = []
    for title, part in sorted(parts.items(), key=lambda one: one[1].part == "cascade"):
        curve = part.risk_coverage
        kept = [(x, y) for x, y in zip(curve.x, curve.y, strict=True) if x >= _LEAST_COVERAGE]
        shown = CurveRecord(x=tuple(x for x, _ in kept), y=tuple(y for _, y in kept))
        series.append(_line(title, shown, _ink(part.part)))
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


def usage_figures(evaluation: CascadeEvaluation) -> list[Figure]:
    """Draw the accuracy of a pair over the share of images that B sees; nothing for other systems.

    Of three stages the second threshold would have to be drawn, too.
    """
    detail, system = evaluation.detail, evaluation.shipped_system
    seed = detail.shipped_seed
    on_validation, on_test = detail.accuracy_over_usage_validation, detail.accuracy_over_usage_test
    if len(system.networks) != 2 or on_validation is None or on_test is None:
        return []
    curves = {"validation images": on_validation, "test images": on_test}
    inks: tuple[Ink, Ink] = ("soft", "cascade")
    series = [_line(name, curve, ink) for (name, curve), ink in zip(curves.items(), inks)]  # noqa: B905
    for name, split, ink in zip(("", "chosen threshold"), (system.validation, system.test), inks):  # noqa: B905
        x, y = (100.0 * of.of_seed(seed) for of in (split.usage[0], split.accuracy))
        series.append(Series(name=name, x=[x], y=[y], ink=ink, marker="*"))
    chart = Chart(
        title="Accuracy over B's share",
        x=Axis(label="images that B sees, %", low=0.0, high=100.0),
        y=Axis(label="accuracy, %"),
        series=series,
    )
    oracle = percent(detail.oracle_accuracy_test.of_seed(seed))
    caption = (
        f"Seed {seed}. A gate that knew which images B mends would reach {oracle} % on the test "
        "images with the same two networks."
    )
    table = _readings("Accuracy, %", "B's share, %", curves)
    return [draw_chart(chart, caption=caption, table=table)]


def _line(name: str, curve: CurveRecord, ink: Ink) -> Series:
    x, y = 100.0 * np.asarray(curve.x), 100.0 * np.asarray(curve.y)
    return Series(name=name, x=x, y=y, ink=ink, marker="", line="-")


def _readings(title: str, label: str, curves: dict[str, CurveRecord]) -> Table:
    """Read curves off at round places."""

    def reading(curve: CurveRecord) -> Callable[[float], str]:
        return lambda at: percent(float(np.interp(at, curve.x, curve.y)))

    read = {name: reading(curve) for name, curve in curves.items()}
    return list_table(title, _READINGS, {label: lambda at: percent(at, 0), **read})


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
    chosen = [names.index(name) for name in system.networks]
    figure = HeatMap(
        title="Complementarity and oracle accuracy",
        rows=names,
        columns=names,
        values=tints,
        texts=[[percent(float(value), 1) for value in line] for line in texts],
        limits=(0.0, 1.0),
        framed=tuple(permutations(chosen, 2)),
    )
    return draw_heat_map(
        figure,
        caption=(
            f"On the {integer(record.n_images)} validation images, in percent. Below the diagonal: "
            "the paper's complementarity, twice the smaller of the two shares that only one of the "
            "networks gets right. Above it: oracle accuracy, what a perfect gate would reach. On "
            "it: the network's own accuracy. Each half is tinted by itself, what was chosen framed."
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
