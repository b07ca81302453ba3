"""The report of a measurement: one HTML file that holds everything it shows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bicameral.charts import Axis, Bars, Chart, Figure, Ink, Series, draw_bars, draw_chart
from bicameral.files import write_bytes_atomic
from bicameral.page import Block, Code, Page, Section, SideBySide, render_page
from bicameral.tables import integer
from models.measurement.notes import measurement_notes
from models.measurement.record import Measurement
from models.measurement.summary import Summary, cpu_per_image, summarise
from models.measurement.tables import (
    answer_table,
    cost_table,
    device_table,
    footprint_table,
    made_table,
)

#: Name of the file in a folder of results.
REPORT_NAME = "report.html"

#: Colours of the models in the plan's order.
_INKS: tuple[Ink, ...] = ("reference", "a", "cascade", "b", "little", "published", "ink")


def write_measurement_report(path: Path, measurement: Measurement) -> None:
    """Write the report as one self-contained HTML file, whole or not at all.

    Raises:
        OSError: If the file cannot be written.
    """
    page = measurement_page(measurement, summarise(measurement))
    write_bytes_atomic(path, render_page(page).encode("utf-8", "replace"))


def measurement_page(measurement: Measurement, summary: Summary) -> Page:
    """Lay out the report."""
    plan = measurement.plan
    rounds = [figure for share in plan.streams if (figure := _rounds(measurement, share))]
    rounds_blocks: list[Block] = [
        "One point per window: CPU time relative to the first model's in the same round.",
        SideBySide(blocks=rounds),
    ]
    return Page(
        title=f"Cost on streams of {measurement.dataset}",
        lead=(
            f"{len(plan.models)} models on streams made of {integer(plan.images)} test images, "
            f"each image shown alone; sessions in processes of their own: {plan.sessions}, "
            f"interleaved rounds in each: {plan.rounds}, on {measurement.host}. Every memory was "
            "empty at the beginning of every pass."
        ),
        notes=measurement_notes(measurement, summary),
        sections=(
            Section(
                title="Costs",
                blocks=[
                    SideBySide(blocks=list(_bars(measurement, summary))),
                    cost_table(measurement, summary),
                ],
            ),
            *([Section(title="Rounds", blocks=rounds_blocks)] if rounds else []),
            Section(title="Answers", blocks=[answer_table(measurement)]),
            Section(title="Footprints", blocks=[footprint_table(measurement)]),
            Section(title="State of the device", blocks=[device_table(measurement)]),
            Section(
                title="How it was made",
                blocks=[made_table(measurement), Code(text=measurement.command)],
            ),
        ),
    )


def _bars(measurement: Measurement, summary: Summary) -> Iterator[Figure]:
    """Draw what every model costs on every stream, by the first model's."""
    plan = measurement.plan
    titles = {
        "energy_ratio": "Energy",
        "cpu_ratio": "CPU time",
        "macs_ratio": "Multiply-accumulates",
    }
    if not any(part.meter for part in measurement.parts):
        del titles["energy_ratio"]
    for quantity, title in titles.items():
        parts = {
            model: [summary[share, model, quantity].estimate.value for share in plan.streams]
            for model in plan.models
        }
        yield draw_bars(
            Bars(
                title=f"{title} relative to {plan.models[0]}",
                axis=Axis(label="% of the first model's", low=0.0),
                labels=[f"{100 * share:g} % again" for share in plan.streams],
                parts={
                    model: [float("nan") if value is None else 100.0 * value for value in values]
                    for model, values in parts.items()
                },
                inks=_INKS,
            )
        )


def _rounds(measurement: Measurement, share: float) -> Figure | None:
    """Draw every window's ratio of CPU time on one stream; None before there are any."""
    models = measurement.plan.models
    rounds: list[list[float]] = []
    for part in measurement.parts:
        cpu_s = {
            (window.window.round, window.model): cpu_per_image(part, window).value or np.nan
            for window in part.windows
            if window.duplicates == share
        }
        rounds += [
            [100.0 * cpu_s[index, model] / cpu_s[index, models[0]] for model in models[1:]]
            for index in sorted({index for index, _ in cpu_s})
        ]
    if not rounds or len(models) < 2:
        return None
    places = np.arange(1.0, len(rounds) + 1)
    return draw_chart(
        Chart(
            title=f"CPU time by round, {100 * share:g} % of the images again",
            x=Axis(label="round, over all sessions", low=0.5, high=len(rounds) + 0.5),
            y=Axis(label="% of the first model's"),
            series=[
                Series(name=model, x=places, y=values, ink=_INKS[number % len(_INKS)])
                for number, (model, values) in enumerate(
                    zip(models[1:], np.array(rounds).T, strict=True), start=1
                )
            ],
        )
    )
