"""Accuracy over expected cost: single networks, fronts, presets, the choice, the paper's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from models.cascade.policy_grid import CostName
from models.cascade.report.axes import linear_axis, log_axis
from models.cascade.report.charts import Chart, Point, Series
from models.cascade.report.figures import Figure, chart_figure
from models.cascade.report.quantities import (
    COST_TITLES,
    cost_text,
    expected_cost,
    percent,
    readable,
)
from models.cascade.report.svg import Ink, MarkName
from models.cascade.report.tables import Column, Row, Table, row, spread_cell
from models.cascade.report.wording import (
    LEVEL_WORDS,
    chosen,
    policy_text,
    system_title,
)
from models.cascade.results import (
    CascadeEvaluation,
    NetworkRecord,
    NetworkRole,
    SplitRecord,
    SystemRecord,
)

SplitName = Literal["validation", "test"]

_AXIS_LABELS: dict[CostName, str] = {
    "macs": "expected multiply-accumulates per image",
    "cpu_us": "expected CPU time per image, µs",
}

_SIZE = (1120.0, 520.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Spot:
    """A system in the plot; accuracies 0..1."""

    system: str
    label: str
    cost: float
    accuracy: float
    interval: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layer:
    """Systems that are drawn alike."""

    name: str
    ink: Ink
    mark: MarkName
    spots: tuple[_Spot, ...]
    line: Literal["solid"] | None = None
    radius: float = 3.5


def pareto_figure(evaluation: CascadeEvaluation, split: SplitName, cost: CostName) -> Figure | None:
    """Draw accuracy over expected cost on one split; None if that cost was not measured."""
    layers = [layer for layer in _layers(evaluation, split, cost) if layer.spots]
    floor = _floor(layers)
    if floor is None:
        return None
    low = [spot for layer in layers for spot in layer.spots if spot.accuracy < floor]
    series = tuple(_series(layer, floor, cost) for layer in layers)
    points = [point for shown in series for point in shown.points]
    heights = [y for point in points for y in (point.y, *(point.whisker or ()))]
    chart = Chart(
        name=f"pareto-{split}-{cost.replace('_', '-')}",
        title=f"Accuracy over {COST_TITLES[cost]}, {split} images",
        description=(
            f"Accuracy on the {split} images over expected {COST_TITLES[cost]} per image on a "
            "logarithmic axis; up and to the left is better. The figures are in the table."
        ),
        x=log_axis(_AXIS_LABELS[cost], (point.x for point in points)),
        y=linear_axis(f"{split} accuracy, %", heights, bounds=(0.0, 100.0)),
        series=series,
        size=_SIZE,
    )
    return chart_figure(
        chart,
        caption=_caption(evaluation, split, cost, low),
        table=_table(evaluation) if split == "test" and cost == evaluation.cost else None,
    )


def _caption(
    evaluation: CascadeEvaluation, split: SplitName, cost: CostName, low: Iterable[_Spot]
) -> str:
    if split == "validation":
        text = (
            f"The same systems on the {evaluation.n_validation:,} validation images, by which all "
            "of them were chosen: these accuracies flatter the fronts."
        )
    else:
        text = (
            f"Judged on the {evaluation.n_test:,} test images; nothing was chosen by them, so the "
            "fronts, which were found on the validation images, need not rise everywhere. "
            f"Whiskers are {LEVEL_WORDS} intervals. Up and to the left is better."
        )
    if cost != evaluation.cost:
        text += f" The fronts are those over {COST_TITLES[evaluation.cost]}."
    below = ", ".join(f"{spot.system} ({percent(spot.accuracy)} %)" for spot in low)
    return f"{text} Below the picture: {below}." if below else text


def _layers(evaluation: CascadeEvaluation, split: SplitName, cost: CostName) -> Iterator[_Layer]:
    """Yield what is drawn, the most important last."""
    by_role: list[tuple[str, tuple[NetworkRole, ...], MarkName]] = [
        ("single network", ("small",), "circle"),
        ("single network, not considered", ("left_out",), "ring"),
        ("large single network", ("reference", "reference_candidate"), "square"),
    ]
    for name, roles, mark in by_role:
        networks = (n for n in evaluation.networks if n.role in roles)
        spots = tuple(spot for n in networks if (spot := _network_spot(n, split, cost)))
        yield _Layer(name=name, ink="plain", mark=mark, spots=spots)
    fronts: list[tuple[str, Ink, tuple[SystemRecord, ...]]] = [
        ("front: small network → reference", "little", evaluation.big_little_front),
        ("front: pairs of small networks", "cascade", evaluation.front),
    ]
    for name, ink, systems in fronts:
        spots = tuple(spot for system in systems if (spot := _system_spot(system, split, cost)))
        # In another measure than they were found by, neighbours do not follow each other.
        line: Literal["solid"] | None = "solid" if cost == evaluation.cost else None
        yield _Layer(name=name, ink=ink, mark="circle", spots=spots, line=line, radius=2.2)
    yield _paper_layer(evaluation, split, cost)
    yield from _choice_layers(evaluation, split, cost)


def _paper_layer(evaluation: CascadeEvaluation, split: SplitName, cost: CostName) -> _Layer:
    labels = {"paper_pair": "paper's pair", "paper_threshold": "paper's threshold"}
    spots = [
        _system_spot(comparison.opponent, split, cost, label=labels[comparison.against])
        for comparison in chosen(evaluation).choice.comparisons
        if comparison.against in labels and isinstance(comparison.opponent, SystemRecord)
    ]
    return _Layer(
        name="the paper's search, uncalibrated",
        ink="paper",
        mark="cross",
        spots=tuple(spot for spot in spots if spot),
        radius=6.0,
    )


def _choice_layers(
    evaluation: CascadeEvaluation, split: SplitName, cost: CostName
) -> Iterator[_Layer]:
    """Yield the presets, and the chosen one over them."""
    spots: dict[bool, list[_Spot]] = {False: [], True: []}
    for choice in evaluation.choices:
        ships = choice.name == evaluation.detail.choice
        if choice.system is None or choice.test_accuracy is None:
            continue
        ends = (choice.test_accuracy.low, choice.test_accuracy.high)
        label = f"chosen: {system_title(choice.system)}" if ships else readable(choice.name)
        spot = _system_spot(
            choice.system, split, cost, label=label, interval=ends if split == "test" else None
        )
        if spot:
            spots[ships].append(spot)
    yield _Layer(name="preset", ink="soft", mark="diamond", spots=tuple(spots[False]), radius=4.5)
    yield _Layer(name="chosen", ink="a", mark="star", spots=tuple(spots[True]), radius=6.5)


def _network_spot(network: NetworkRecord, split: SplitName, cost: CostName) -> _Spot | None:
    value = float(network.macs) if cost == "macs" else network.cpu_us
    accuracy = network.test_accuracy if split == "test" else network.validation_accuracy
    if value is None:
        return None
    name = network.architecture
    return _Spot(system=name, label=name, cost=value, accuracy=accuracy.mean)


def _system_spot(
    system: SystemRecord,
    split: SplitName,
    cost: CostName,
    *,
    label: str = "",
    interval: tuple[float, float] | None = None,
) -> _Spot | None:
    record = _split(system, split)
    value = expected_cost(record, cost)
    if value is None:
        return None
    return _Spot(
        system=f"{system_title(system)}, B asked {percent(record.usage.mean, 1)} %",
        label=label,
        cost=value,
        accuracy=record.accuracy.mean,
        interval=interval,
    )


def _split(system: SystemRecord, split: SplitName) -> SplitRecord:
    return system.test if split == "test" else system.validation


def _floor(layers: Iterable[_Layer]) -> float | None:
    """Return the accuracy below which points are left out; None if there is nothing to draw.

    One network that learned little would press all others together at the top.
    """
    cascades = [s.accuracy for layer in layers if layer.ink != "plain" for s in layer.spots]
    if not cascades:
        return None
    room = max(max(cascades) - min(cascades), 0.01)
    return min(cascades) - 1.5 * room


def _series(layer: _Layer, floor: float, cost: CostName) -> Series:
    return Series(
        name=layer.name,
        ink=layer.ink,
        mark=layer.mark,
        line=layer.line,
        points=tuple(
            Point(
                x=spot.cost,
                y=100.0 * spot.accuracy,
                tooltip=(
                    f"{spot.system}: {percent(spot.accuracy)} %, {cost_text(spot.cost, cost)}"
                ),
                label=spot.label,
                radius=layer.radius,
                whisker=spot.interval and (100.0 * spot.interval[0], 100.0 * spot.interval[1]),
            )
            for spot in layer.spots
            if spot.accuracy >= floor
        ),
    )


def _table(evaluation: CascadeEvaluation) -> Table:
    kinds = {
        "single network": evaluation.single_front,
        "pair": evaluation.front,
        "big-little": evaluation.big_little_front,
    }
    return Table(
        title="Points of the fronts",
        columns=(
            Column(label="front"),
            Column(label="networks"),
            Column(label="B is asked where, answers become"),
            Column(label="validation %"),
            Column(label="test %"),
            Column(label="B asked, test %"),
            Column(label="cost, validation"),
            Column(label="cost, test"),
        ),
        rows=tuple(
            _row(evaluation, kind, system) for kind, systems in kinds.items() for system in systems
        ),
        words=3,
    )


def _row(evaluation: CascadeEvaluation, kind: str, system: SystemRecord) -> Row:
    costs = (expected_cost(of, evaluation.cost) for of in (system.validation, system.test))
    return row(
        kind,
        system_title(system),
        policy_text(system, evaluation.detail.shipped_seed),
        spread_cell(system.validation.accuracy),
        spread_cell(system.test.accuracy),
        percent(system.test.usage.mean, 1),
        *(cost_text(value, evaluation.cost) for value in costs),
    )
