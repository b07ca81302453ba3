"""Tables of a measurement's report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edge.energy.device_state import DeviceState
from edge.energy.quantity import Quantity
from models.cascade.measurement.records import Measurement
from models.cascade.measurement.summary import Figure, Summary
from models.cascade.report.quantities import DASH, integer, magnitude, percent, ratio
from models.cascade.report.tables import Cell, Column, Table, row

_UNKNOWN = "unknown"


def cost_table(measurement: Measurement, summaries: Sequence[Summary]) -> Table:
    """List what every model costs on every stream, with intervals."""
    first = measurement.plan.models[0]
    return Table(
        title="Costs per image",
        columns=(
            Column(label="stream"),
            Column(label="model"),
            Column(label="energy mJ", help="all that the meter counted; null without a meter"),
            Column(label="net mJ", help="above the idle power"),
            Column(label="energy", help="by the first model's"),
            Column(label="CPU µs", help="user and system, all threads"),
            Column(label="CPU", help="by the first model's in the same round"),
            Column(label="sessions", help="difference between sessions of the CPU ratio, relative"),
            Column(label="wall µs", help="latency of an image, with whatever else the machine did"),
            Column(label="MACs", help="by the first model's"),
            Column(label="windows", help="valid for energy, of all"),
        ),
        rows=tuple(
            row(
                f"{100 * item.duplicates:g} % again",
                item.model,
                _figure(item.energy_j, 1e3, 3),
                _figure(item.net_energy_j, 1e3, 3),
                _ratio(item.energy_ratio),
                _figure(item.cpu_s, 1e6, 1),
                _ratio(item.cpu_ratio) if item.model != first else Cell(text="100 %"),
                DASH
                if item.session_difference is None or item.model == first
                else f"{100 * item.session_difference:.1f} %",
                _figure(item.wall_s, 1e6, 1),
                ratio(item.macs_ratio.value),
                f"{0 if item.energy_j.interval is None else item.energy_j.interval.n}"
                f" of {item.energy_j.of_windows}",
            )
            for item in summaries
        ),
        words=2,
    )


def answer_table(measurement: Measurement) -> Table:
    """List what the models answer."""
    return Table(
        title="Answers",
        columns=(
            Column(label="model"),
            Column(label="stream"),
            Column(label="images"),
            Column(label="accuracy %"),
            Column(label="B %", help="share of the images that a cascade's B computed"),
            Column(label="hits %", help="share of the images that the memory answered"),
            Column(label="MACs per image"),
        ),
        rows=tuple(
            row(
                record.model,
                f"{100 * answers.duplicates:g} % again",
                integer(answers.n_images),
                percent(answers.accuracy),
                percent(answers.share_b, 1),
                percent(answers.hit_rate, 1),
                DASH
                if answers.macs_per_image.value is None
                else magnitude(answers.macs_per_image.value),
            )
            for record in measurement.models
            for answers in record.answers
        ),
        words=2,
    )


def footprint_table(measurement: Measurement) -> Table:
    """List what the models need beside time."""
    return Table(
        title="Footprints",
        columns=(
            Column(label="model"),
            Column(label="parameters"),
            Column(label="files kB", help="graphs with their parameters"),
            Column(label="peak memory MB", help="of a process that serves only this model"),
            Column(label="before loading MB", help="interpreter, libraries and images"),
        ),
        rows=tuple(
            row(
                record.model,
                integer(record.parameters),
                f"{record.file_bytes / 1e3:,.0f}",
                _quantity(record.peak_rss_bytes, 1e-6),
                _quantity(record.rss_before_bytes, 1e-6),
            )
            for record in measurement.models
        ),
    )


def device_table(measurement: Measurement) -> Table:
    """List the state of the device before and after every part."""
    rows = []
    for part in measurement.parts:
        states = (("before", part.device_before), ("after", part.device_after))
        for when, state in states:
            label = f"{part.began_at}, session {part.session + 1}"
            rows.append(row(label, when, *_state_cells(state)))
    return Table(
        title="State of the device",
        columns=tuple(
            Column(label=label)
            for label in (
                "session", "", "board", "system", "power mode", "clocks pinned", "frequencies MHz",
                "temperatures °C", "throttling", "load",
            )
        ),
        rows=tuple(rows),
        words=3,
    )  # fmt: skip


def _state_cells(state: DeviceState | None) -> list[str]:
    if state is None:
        return [_UNKNOWN] * 8
    frequencies = {**state.cpu_frequencies_hz, **state.other_frequencies_hz}
    pinned = {True: "yes", False: "no", None: _UNKNOWN}[state.clocks_pinned]
    return [
        state.board or state.processor or _UNKNOWN,
        state.system,
        state.power_mode or _UNKNOWN,
        pinned,
        _listed({name: f"{value / 1e6:.0f}" for name, value in frequencies.items()}),
        _listed({name: f"{value:.1f}" for name, value in state.temperatures_c.items()}),
        _listed({name: str(value) for name, value in state.throttling.items()}),
        _UNKNOWN if state.load_average is None else f"{state.load_average:.1f}",
    ]


def _listed(values: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items()) or _UNKNOWN


def _figure(figure: Figure, scale: float, digits: int) -> Cell:
    """Write a median with its interval; null and why where there is none."""
    interval = figure.interval
    if interval is None:
        return Cell(text="null")
    small = ""
    if interval.low is not None and interval.high is not None:
        low, high = scale * interval.low, scale * interval.high
        small = f"[{low:,.{digits}f}, {high:,.{digits}f}]"
    return Cell(text=f"{scale * interval.median:,.{digits}f}", small=small)


def _ratio(figure: Figure) -> Cell:
    interval = figure.interval
    if interval is None:
        return Cell(text="null")
    small = ""
    if interval.low is not None and interval.high is not None:
        small = f"[{percent(interval.low, 1)}, {percent(interval.high, 1)}]"
    return Cell(text=ratio(interval.median), small=small)


def _quantity(quantity: Quantity, scale: float) -> str:
    return "null" if quantity.value is None else f"{scale * quantity.value:,.0f}"
