"""How the command line shows a measurement."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from models.cascade.measurement.notes import measurement_notes
from models.cascade.measurement.records import Measurement
from models.cascade.measurement.summary import Figure, Summary, summarise


def print_measurement(measurement: Measurement) -> None:
    """Print costs, footprints, and what a reader must know."""
    console = Console()
    summaries = summarise(measurement)
    console.print(_cost_table(measurement, summaries))
    console.print(_footprint_table(measurement))
    for note in measurement_notes(measurement, summaries):
        console.print(f"- {note}", highlight=False)


def _cost_table(measurement: Measurement, summaries: Sequence[Summary]) -> Table:
    metered = any(part.meter for part in measurement.parts)
    columns = ["accuracy %", "MACs %", "CPU µs", "CPU %", "± %", "sessions ± %", "wall µs"]
    columns += ["J", "net J", "J %", "± %"] if metered else ["J"]
    table = _table(f"per image, on {measurement.host}", "model", columns)
    for duplicates, group in itertools.groupby(summaries, key=lambda item: item.duplicates):
        table.add_section()
        table.add_row(f"[bold]{100 * duplicates:g} % repeated[/bold]")
        for item in group:
            is_first = item.model == measurement.plan.models[0]
            cells = [
                f"  {item.model}",
                f"{100 * item.accuracy:.2f}",
                _text(item.macs_ratio.value, 100.0, 1),
                _median(item.cpu_s, 1e6, 0),
                _median(item.cpu_ratio, 100.0, 1),
                "-" if is_first else _half_width(item.cpu_ratio),
                "-" if is_first else _text(item.session_difference, 100.0, 1),
                _median(item.wall_s, 1e6, 0),
                _median(item.energy_j, 1.0, 6),
            ]
            if metered:
                cells += [
                    _median(item.net_energy_j, 1.0, 6),
                    _median(item.energy_ratio, 100.0, 1),
                    _half_width(item.energy_ratio),
                ]
            table.add_row(*cells)
    table.caption = (
        "%: of the first model's on the same stream; ±: half the 95 % interval of the median over "
        "windows, relative; sessions ±: difference between sessions, relative; J: null without a "
        "meter"
    )
    return table


def _footprint_table(measurement: Measurement) -> Table:
    table = _table(
        "what the models need",
        "model",
        ("parameters", "files MiB", "peak memory MiB", "of it before loading"),
    )
    for record in measurement.models:
        memory = (record.peak_rss_bytes.value, record.rss_before_bytes.value)
        table.add_row(
            record.model,
            f"{record.parameters:,}",
            f"{record.file_bytes / 2**20:.2f}",
            *(_text(value, 2.0**-20, 0) for value in memory),
        )
    return table


def _table(title: str, name: str, columns: Sequence[str]) -> Table:
    table = Table(
        title=title,
        title_justify="left",
        caption_justify="left",
        box=SIMPLE,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    table.add_column(name, overflow="fold")
    for column in columns:
        table.add_column(column, justify="right")
    return table


def _median(figure: Figure, scale: float, digits: int) -> str:
    return "null" if figure.interval is None else f"{scale * figure.interval.median:.{digits}f}"


def _half_width(figure: Figure) -> str:
    interval = figure.interval
    return _text(None if interval is None else interval.relative_half_width, 100.0, 1)


def _text(value: float | None, scale: float, digits: int) -> str:
    return "-" if value is None else f"{scale * value:.{digits}f}"
