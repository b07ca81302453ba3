"""Tables of a measurement, for the terminal and the report."""

from __future__ import annotations

from collections.abc import Mapping

from bicameral.tables import (
    Cell,
    Table,
    columns,
    estimate_cell,
    integer,
    magnitude,
    percent,
    ratio,
    row,
)
from edge.energy.device_state import DeviceState
from edge.energy.quantity import Quantity
from models.measurement.record import DEFAULT_MODELS, Measurement
from models.measurement.streams import published_cost
from models.measurement.summary import Summary

#: What the paper calls the models that are measured by default.
_PAPERS_SYSTEMS = dict(zip(DEFAULT_MODELS, ("reference", "a", "pair", "pair+memory"), strict=True))

_UNKNOWN = "unknown"


def cost_table(measurement: Measurement, summary: Summary) -> Table:
    """List what every model costs on every stream, with intervals; null is what was not measured.

    Without a meter there is one column of energy, which says so.
    """
    metered = any(part.meter for part in measurement.parts)
    headings = [
        "stream",
        "model",
        "accuracy %",
        "MACs|by the first model's",
        "paper's|charge by that of the paper's large network: other data, networks and machine",
        "CPU µs|user and system, all threads",
        "CPU %|by the first model's in the same round",
        "sessions|difference between sessions of the CPU ratio, relative",
        "wall µs|latency of an image, with whatever else the machine did",
        "energy mJ|all that the meter counted; null without a meter",
    ]
    if metered:
        headings += [
            "net mJ|above the idle power",
            "energy %|by the first model's",
            "windows|valid for energy, of all",
        ]
    return Table(
        title=f"Costs per image on {measurement.host}",
        columns=columns(*headings, words=2),
        rows=tuple(
            row(*_cost_cells(measurement, summary, share, model, metered=metered))
            for share in measurement.plan.streams
            for model in measurement.plan.models
        ),
    )


def _cost_cells(
    measurement: Measurement, summary: Summary, share: float, model: str, *, metered: bool
) -> list[str | Cell]:
    is_first = model == measurement.plan.models[0]

    def cell(quantity: str, digits: int, factor: float) -> Cell:
        """Write a median with its interval; null where there is none."""
        estimate = summary[share, model, quantity].estimate
        if not estimate.valid:
            return Cell(text="null")
        return estimate_cell(estimate, digits, factor=factor)

    def value(quantity: str) -> float | None:
        return summary[share, model, quantity].estimate.value

    cells: list[str | Cell] = [
        f"{100 * share:g} % again",
        model,
        percent(value("accuracy")),
        ratio(value("macs_ratio")),
        ratio(published_cost(_PAPERS_SYSTEMS.get(model, ""), share)),
        cell("cpu_s", 1, 1e6),
        "100" if is_first else cell("cpu_ratio", 1, 100.0),
        ratio(None if is_first else value("session_difference")),
        cell("wall_s", 1, 1e6),
        cell("energy_j", 3, 1e3),
    ]
    if not metered:
        return cells
    energy = summary[share, model, "energy_j"]
    return [
        *cells,
        cell("net_energy_j", 3, 1e3),
        cell("energy_ratio", 1, 100.0),
        f"{energy.estimate.n} of {energy.windows}",
    ]


def answer_table(measurement: Measurement) -> Table:
    """List what the models answer."""
    return Table(
        title="Answers",
        columns=columns(
            "model",
            "stream",
            "images",
            "accuracy %",
            "B %|share of the images that a cascade's B computed",
            "hits %|share of the images that the memory answered",
            "MACs per image",
            words=2,
        ),
        rows=tuple(
            row(
                record.model,
                f"{100 * answers.duplicates:g} % again",
                integer(answers.n_images),
                percent(answers.accuracy),
                percent(answers.share_b, 1),
                percent(answers.hit_rate, 1),
                magnitude(answers.macs_per_image.value),
            )
            for record in measurement.models
            for answers in record.answers
        ),
    )


def footprint_table(measurement: Measurement) -> Table:
    """List what the models need beside time."""
    return Table(
        title="Footprints",
        columns=columns(
            "model",
            "parameters",
            "files kB|graphs with their parameters",
            "peak memory MB|of a process that serves only this model",
            "before loading MB|interpreter, libraries and images",
        ),
        rows=tuple(
            row(
                record.model,
                integer(record.parameters),
                f"{record.file_bytes / 1e3:,.0f}",
                _megabytes(record.peak_rss_bytes),
                _megabytes(record.rss_before_bytes),
            )
            for record in measurement.models
        ),
    )


def device_table(measurement: Measurement) -> Table:
    """List the state of the device before and after every part."""
    return Table(
        title="State of the device",
        columns=columns(
            "session", "when", "board", "system", "power mode", "clocks pinned", "frequencies MHz",
            "temperatures °C", "throttling", "load", words=3,
        ),
        rows=tuple(
            row(f"{part.began_at}, session {part.session + 1}", when, *_state_cells(state))
            for part in measurement.parts
            for when, state in (("before", part.device_before), ("after", part.device_after))
        ),
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


def made_table(measurement: Measurement) -> Table:
    """List data, times, machine, meter and versions."""
    plan = measurement.plan
    meter = measurement.parts[-1].meter if measurement.parts else None
    facts = [
        ("data set", measurement.dataset),
        ("sha256 of data set and split", measurement.dataset_sha256),
        ("images", f"{integer(plan.images)}, sampled and repeated with seed {plan.seed}"),
        ("measured", ", ".join(part.began_at for part in measurement.parts) or "nothing yet"),
        ("processor", measurement.host),
        ("meter", "none" if meter is None else f"{meter.name}: {meter.source}"),
        ("resolution", _UNKNOWN if meter is None else _resolution(meter.resolution, meter.kind)),
        *sorted(measurement.versions.items()),
    ]
    return Table(
        title="How it was made",
        columns=columns("what", "value", words=2),
        rows=tuple(row(*fact) for fact in facts),
    )


def _resolution(step: float | None, kind: str) -> str:
    unit = {"power": "W", "counter": "J"}[kind]
    return _UNKNOWN if step is None else f"{step:g} {unit}"


def _megabytes(quantity: Quantity) -> str:
    return "null" if quantity.value is None else f"{quantity.value / 1e6:,.0f}"
