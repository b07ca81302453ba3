"""The report of a measurement: one HTML file that holds everything it shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from bicameral.files import write_bytes_atomic
from models.cascade.measurement.notes import measurement_notes
from models.cascade.measurement.plan import DEFAULT_MODELS
from models.cascade.measurement.records import Measurement
from models.cascade.measurement.report_tables import (
    answer_table,
    cost_table,
    device_table,
    footprint_table,
)
from models.cascade.measurement.summary import Summary, cpu_per_image, summarise
from models.cascade.report.axes import Axis, linear_axis
from models.cascade.report.bars import Bar, BarChart, BarGroup, draw_bars
from models.cascade.report.charts import Chart, Point, Series
from models.cascade.report.figures import Figure, chart_figure
from models.cascade.report.quantities import integer, ratio
from models.cascade.report.rendering import render_page
from models.cascade.report.svg import Ink
from models.cascade.streams_results import (
    A_SYSTEM,
    MEMORY_SYSTEM,
    PAIR_SYSTEM,
    REFERENCE_SYSTEM,
    published_cost,
)

#: Name of the file in a folder of results.
REPORT_NAME = "report.html"

#: Colours of the models in the plan's order.
_INKS: tuple[Ink, ...] = ("reference", "a", "cascade", "b", "little", "paper", "plain")

#: What the paper calls the models that are measured by default.
_PAPERS_SYSTEMS = dict(
    zip(DEFAULT_MODELS, (REFERENCE_SYSTEM, A_SYSTEM, PAIR_SYSTEM, MEMORY_SYSTEM), strict=True)
)

Measure = Callable[[Summary], float | None]


def write_measurement_report(path: Path, measurement: Measurement) -> None:
    """Write the report as one self-contained HTML file, whole or not at all.

    Raises:
        OSError: If the file cannot be written.
    """
    summaries = summarise(measurement)
    page = render_page(
        "measurement.html",
        title=f"Cost on streams of {measurement.dataset}",
        lead=_lead(measurement),
        notes=measurement_notes(measurement, summaries),
        bars=tuple(_bar_figures(summaries, measurement)),
        costs=cost_table(measurement, summaries),
        rounds=tuple(_round_figures(measurement)),
        answers=answer_table(measurement),
        footprints=footprint_table(measurement),
        device=device_table(measurement),
        provenance=_provenance(measurement),
        command=measurement.command,
    )
    write_bytes_atomic(path, page.encode("utf-8", "replace"))


def _lead(measurement: Measurement) -> str:
    plan = measurement.plan
    return (
        f"{len(plan.models)} models on streams made of {integer(plan.images)} test images, each "
        f"image shown alone; sessions in processes of their own: {plan.sessions}, interleaved "
        f"rounds in each: {plan.rounds}, on {measurement.host}. Every memory was empty at "
        "the beginning of every pass."
    )


def _bar_figures(summaries: Sequence[Summary], measurement: Measurement) -> Iterator[Figure]:
    """Draw what every model costs on every stream."""

    def median(name: str) -> Measure:
        def measure(item: Summary) -> float | None:
            interval = getattr(item, name).interval
            return None if interval is None else float(interval.median)

        return measure

    if any(part.meter for part in measurement.parts):
        yield _bars(summaries, "energy", "Energy", median("energy_ratio"))
    yield _bars(summaries, "cpu", "CPU time", median("cpu_ratio"))
    yield _bars(summaries, "macs", "Multiply-accumulates", lambda item: item.macs_ratio.value)


def _bars(summaries: Sequence[Summary], name: str, title: str, measure: Measure) -> Figure:
    models = list(dict.fromkeys(item.model for item in summaries))
    groups = []
    for duplicates in dict.fromkeys(item.duplicates for item in summaries):
        bars = tuple(
            Bar(
                name=item.model,
                ink=_INKS[models.index(item.model) % len(_INKS)],
                value=measure(item) or 0.0,
                text="no data" if measure(item) is None else ratio(measure(item)),
                published=published_cost(_PAPERS_SYSTEMS.get(item.model, ""), duplicates),
            )
            for item in summaries
            if item.duplicates == duplicates
        )
        groups.append(BarGroup(title=f"{100 * duplicates:g} % of the images again", bars=bars))
    chart = BarChart(
        name=f"bars-{name}",
        title=f"{title} relative to {models[0]}",
        description="One bar per model and stream; the table holds the figures.",
        groups=tuple(groups),
    )
    marked = any(bar.published is not None for shown in groups for bar in shown.bars)
    caption = (
        "Strokes across bars mark the paper's charge relative to its large network: other data, "
        "networks and hardware, measured with a power meter."
    )
    return Figure(
        title=chart.title,
        caption=caption if marked else "",
        legend=(),
        svg=draw_bars(chart),
        table=None,
    )


def _round_figures(measurement: Measurement) -> Iterator[Figure]:
    """Draw every window's ratio of CPU time, one figure per stream."""
    first = measurement.plan.models[0]
    for duplicates in measurement.plan.streams:
        series = []
        for index, model in enumerate(measurement.plan.models[1:], start=1):
            points = tuple(_ratios(measurement, model, first, duplicates))
            if points:
                ink = _INKS[index % len(_INKS)]
                series.append(Series(name=model, ink=ink, points=points, mark="circle"))
        if series:
            yield _round_figure(duplicates, tuple(series), first)


def _round_figure(duplicates: float, series: tuple[Series, ...], first: str) -> Figure:
    points = [point for shown in series for point in shown.points]
    percent = f"{100 * duplicates:g}"
    chart = Chart(
        name=f"rounds-{percent.replace('.', '-')}",
        title=f"CPU time by round, {percent} % of the images again",
        description=f"One point per window: CPU time relative to {first} in the same round.",
        x=Axis(label="round, over all sessions", low=0.5, high=max(p.x for p in points) + 0.5),
        y=linear_axis("% of the first model's", (point.y for point in points), bounds=(0.0, 1e9)),
        series=series,
    )
    return chart_figure(chart, caption="", table=None)


def _ratios(measurement: Measurement, model: str, first: str, duplicates: float) -> Iterator[Point]:
    """Yield a point per round."""
    number = 0
    for part in measurement.parts:
        of = {
            (window.model, window.window.round): window
            for window in part.windows
            if window.duplicates == duplicates
        }
        for index in sorted({key[1] for key in of}):
            number += 1
            own, base = (cpu_per_image(part, of[name, index]) for name in (model, first))
            if own.value is not None and base.value:
                yield Point(
                    x=float(number),
                    y=100.0 * own.value / base.value,
                    tooltip=f"{model}, session {part.session + 1}, round {index + 1}: "
                    f"{ratio(own.value / base.value)}",
                )


def _provenance(measurement: Measurement) -> list[tuple[str, str]]:
    plan = measurement.plan
    meter = measurement.parts[-1].meter if measurement.parts else None
    return [
        ("data set", measurement.dataset),
        ("sha256 of data set and split", measurement.dataset_sha256),
        ("images", f"{integer(plan.images)}, sampled and repeated with seed {plan.seed}"),
        ("measured", ", ".join(part.began_at for part in measurement.parts) or "nothing yet"),
        ("processor", measurement.host),
        ("meter", "none" if meter is None else f"{meter.name}: {meter.source}"),
        ("resolution", "unknown" if meter is None else _resolution(meter.resolution, meter.kind)),
        *((name, version) for name, version in sorted(measurement.versions.items())),
    ]


def _resolution(step: float | None, kind: str) -> str:
    unit = {"power": "W", "counter": "J"}[kind]
    return "unknown" if step is None else f"{step:g} {unit}"
