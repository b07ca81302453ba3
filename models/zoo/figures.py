"""The pictures of the zoo's page: fronts of accuracy over cost, robustness, calibration."""

from __future__ import annotations

from collections.abc import Sequence

from models.cascade.report.axes import linear_axis, log_axis
from models.cascade.report.bars import Bar, BarChart, BarGroup, draw_bars
from models.cascade.report.charts import Chart, Point, Series
from models.cascade.report.figures import Figure, chart_figure
from models.cascade.report.matrices import Tile, TintedMatrix, draw_matrix
from models.cascade.report.quantities import integer, magnitude, microseconds, percent
from models.cascade.report.svg import Ink, MarkName
from models.zoo.catalogue import CATALOGUE
from models.zoo.results import CostName, EntryEvaluation, ZooEvaluation

_AXIS_LABELS: dict[CostName, str] = {
    "macs": "multiply-accumulates per image",
    "cpu_us": "CPU time per image at batch 1, µs",
    "bytes": "size of the files, bytes",
}

_TITLES: dict[CostName, str] = {
    "macs": "Accuracy over multiply-accumulates",
    "cpu_us": "Accuracy over CPU time",
    "bytes": "Accuracy over size",
}

#: Name in the legend, colour and mark of what an entry can be.
_GROUPS: tuple[tuple[str, Ink, MarkName], ...] = (
    ("part of the cascade", "plain", "circle"),
    ("another form of an entry", "little", "ring"),
    ("zoo", "cascade", "diamond"),
    ("the cascade", "a", "star"),
)

_WIDE = (1120.0, 480.0)


def front_figure(evaluation: ZooEvaluation, cost: CostName, *, wide: bool) -> Figure:
    """Draw accuracy over a cost, and the front that nothing measured here beats."""
    shown = [one for one in evaluation.entries if one.cost(cost)]
    values = [value for one in shown if (value := one.cost(cost))]
    heights = [100.0 * end for one in shown for end in (one.accuracy.low, one.accuracy.high)]
    title = _TITLES[cost]
    chart = Chart(
        name=f"front-{cost.replace('_', '-')}",
        title=title,
        description=f"{title}; up and to the left is better. The table holds the figures.",
        x=log_axis(_AXIS_LABELS[cost], values),
        y=linear_axis("test accuracy, %", heights, bounds=(0.0, 100.0)),
        series=(_front(shown, cost), *_groups(shown, cost)),
        size=_WIDE if wide else (560.0, 400.0),
    )
    absent = ", ".join(one.name for one in evaluation.entries if one not in shown)
    caption = (
        "Whiskers: 95 % intervals over the test images and, where there are several, trainings. "
        "The line joins what no other entry beats at this cost."
    )
    if absent:
        caption += f" Unknown for {absent}."
    return chart_figure(chart, caption=caption, table=None)


def _front(shown: Sequence[EntryEvaluation], cost: CostName) -> Series:
    on_front = sorted(
        (value, 100.0 * one.accuracy.value)
        for one in shown
        if cost in one.unbeaten_by and (value := one.cost(cost))
    )
    return Series(
        name="not beaten",
        ink="soft",
        points=tuple(Point(x=x, y=y) for x, y in on_front),
        line="thin",
    )


def _groups(shown: Sequence[EntryEvaluation], cost: CostName) -> tuple[Series, ...]:
    series = []
    for name, ink, mark in _GROUPS:
        points = tuple(_point(one, cost) for one in shown if _group(one) == name)
        if points:
            series.append(Series(name=name, ink=ink, points=points, mark=mark))
    return tuple(series)


def _point(one: EntryEvaluation, cost: CostName) -> Point:
    value = one.cost(cost) or 0.0
    return Point(
        x=value,
        y=100.0 * one.accuracy.value,
        tooltip=f"{one.name}: {percent(one.accuracy.value)} %, {cost_words(cost, value)}",
        label=one.name,
        radius=4.5,
        whisker=(100.0 * one.accuracy.low, 100.0 * one.accuracy.high),
    )


def _group(one: EntryEvaluation) -> str:
    if one.name == "cascade":
        return "the cascade"
    listed = CATALOGUE.get(one.name)
    groups = {"compared": "part of the cascade", "variant": "another form of an entry"}
    return groups.get(listed.kind, "zoo") if listed else "zoo"


def cost_words(cost: CostName, value: float | None) -> str:
    """Write a cost with its unit, or a dash."""
    if value is None:
        return "–"
    if cost == "cpu_us":
        return f"{microseconds(value)} µs"
    return f"{magnitude(value)} MACs" if cost == "macs" else f"{integer(value / 1024)} KiB"


def robustness_figure(evaluation: ZooEvaluation) -> Figure:
    """Draw the accuracy under every corruption and strength, a row per entry."""
    names = [(one.name, level) for one in evaluation.corruptions for level in range(3)]
    columns = tuple(
        f"{one.name} {strength:g}" for one in evaluation.corruptions for strength in one.strengths
    )
    best = {key: max(_under(one, *key) for one in evaluation.entries) for key in names}
    entries = sorted(evaluation.entries, key=lambda one: -one.robustness.value)
    matrix = TintedMatrix(
        name="robustness",
        title="Accuracy under corruptions",
        description="A row per entry, a column per corruption and strength, accuracy in percent.",
        rows=tuple(one.name for one in entries),
        columns=("as they are", "mean of all", *columns),
        tiles=tuple(
            (
                _tile(one.accuracy.value, f"{one.name}, images as they are", framed=False),
                _tile(one.robustness.value, f"{one.name}, mean of all corruptions", framed=False),
                *(
                    _tile(
                        _under(one, *key),
                        f"{one.name}, {label}",
                        framed=_under(one, *key) == best[key],
                    )
                    for key, label in zip(names, columns, strict=True)
                ),
            )
            for one in entries
        ),
        side=46.0,
    )
    return Figure(
        title=matrix.title,
        caption=(
            "Percent of the test images, mean over the trainings; the most robust entry first, the "
            "best figure of a column framed. The darker, the more was lost against 100 %."
        ),
        legend=(),
        svg=draw_matrix(matrix),
        table=None,
    )


def _tile(accuracy: float, title: str, *, framed: bool) -> Tile:
    text = percent(accuracy, 1)
    return Tile(
        text=text,
        ink="b",
        # Losses of a few points and of half of all answers must both be told apart.
        strength=(1.0 - accuracy) ** 0.5,
        tooltip=f"{title}: {text} %",
        framed=framed,
    )


def _under(one: EntryEvaluation, corruption: str, level: int) -> float:
    return next(
        each.accuracy.mean
        for each in one.corrupted
        if (each.corruption, each.level) == (corruption, level)
    )


def kept_figure(evaluation: ZooEvaluation) -> Figure:
    """Draw accuracy under corruptions over accuracy on the images as they are."""
    series = []
    for name, ink, mark in _GROUPS:
        points = tuple(
            Point(
                x=100.0 * one.accuracy.value,
                y=100.0 * one.robustness.value,
                tooltip=(
                    f"{one.name}: {percent(one.accuracy.value)} % of the images as they are, "
                    f"{percent(one.robustness.value, 1)} % of the corrupted ones"
                ),
                label=one.name,
                radius=4.5,
                whisker=(100.0 * one.robustness.low, 100.0 * one.robustness.high),
            )
            for one in evaluation.entries
            if _group(one) == name
        )
        if points:
            series.append(Series(name=name, ink=ink, points=points, mark=mark))
    every = [point for shown in series for point in shown.points]
    chart = Chart(
        name="kept",
        title="What corruptions leave",
        description="Mean accuracy over all corruptions, over accuracy on the images as they are.",
        x=linear_axis("accuracy on the images as they are, %", (p.x for p in every)),
        y=linear_axis(
            "mean accuracy under corruptions, %",
            [end for point in every for end in point.whisker or ()],
            bounds=(0.0, 100.0),
        ),
        series=tuple(series),
        size=(560.0, 400.0),
    )
    return chart_figure(chart, caption="Higher is more robust.", table=None)


def calibration_figure(evaluation: ZooEvaluation) -> Figure:
    """Draw calibration errors, without and with corruptions."""
    chart = BarChart(
        name="calibration",
        title="Calibration error",
        description="Two bars per entry; the table holds the figures.",
        groups=(
            _bars("images as they are", evaluation, "a"),
            _bars("mean over all corruptions", evaluation, "b"),
        ),
    )
    return Figure(
        title=chart.title,
        caption=(
            "Expected calibration error over 15 bins of confidence, in points; temperatures were "
            "fitted on validation images that were not corrupted. Shorter is better."
        ),
        legend=(),
        svg=draw_bars(chart),
        table=None,
    )


def _bars(title: str, evaluation: ZooEvaluation, ink: Ink) -> BarGroup:
    pairs = [
        (one.name, one.ece.mean if ink == "a" else one.corrupted_ece.mean)
        for one in evaluation.entries
    ]
    return BarGroup(
        title=title,
        bars=tuple(
            Bar(name=name, ink=ink, value=value, text=f"{100.0 * value:.1f}")
            for name, value in sorted(pairs, key=lambda pair: pair[1])
        ),
    )
