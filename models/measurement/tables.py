"""Tables of a measurement, for the terminal and the report."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bicameral.tables import (
    Cell,
    Entry,
    Table,
    columns,
    estimate_cell,
    facts_table,
    integer,
    list_table,
    magnitude,
    percent,
    ratio,
    row,
)
from edge.energy.device_state import DeviceState
from edge.energy.quantity import Quantity
from models.measurement.record import DEFAULT_MODELS, Measurement, Part
from models.measurement.streams import published_cost
from models.measurement.summary import Summary

#: What the paper calls the models that are measured by default.
_PAPERS_SYSTEMS = dict(zip(DEFAULT_MODELS, ("reference", "a", "pair", "pair+memory"), strict=True))

_UNKNOWN = "unknown"

_YES_NO = {True: "yes", False: "no", None: _UNKNOWN}

#: A part, whether before or after it, and the device's state then.
_Moment = tuple[Part, str, DeviceState | None]


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
    return list_table(
        "Answers",
        [(record.model, answers) for record in measurement.models for answers in record.answers],
        {
            "model": lambda one: one[0],
            "stream": lambda one: f"{100 * one[1].duplicates:g} % again",
            "images": lambda one: integer(one[1].n_images),
            "accuracy %": lambda one: percent(one[1].accuracy),
            "B %|share of the images that a cascade's B computed": lambda one: percent(
                one[1].share_b, 1
            ),
            "hits %|share of the images that the memory answered": lambda one: percent(
                one[1].hit_rate, 1
            ),
            "MACs per image": lambda one: magnitude(one[1].macs_per_image.value),
        },
        words=2,
    )


def footprint_table(measurement: Measurement) -> Table:
    """List what the models need beside time."""
    return list_table(
        "Footprints",
        measurement.models,
        {
            "model": lambda record: record.model,
            "parameters": lambda record: integer(record.parameters),
            "files kB|graphs with their parameters": lambda record: integer(
                record.file_bytes / 1e3
            ),
            "peak memory MB|of a process that serves only this model": lambda record: _megabytes(
                record.peak_rss_bytes
            ),
            "before loading MB|interpreter, libraries and images": lambda record: _megabytes(
                record.rss_before_bytes
            ),
        },
    )


def device_table(measurement: Measurement) -> Table:
    """List the state of the device before and after every part."""

    def known(show: Callable[[DeviceState], str | None]) -> Callable[[_Moment], Entry]:
        return lambda moment: (show(moment[2]) if moment[2] else None) or _UNKNOWN

    def listed(values: Mapping[str, float], digits: int) -> str:
        return ", ".join(f"{name} {value:.{digits}f}" for name, value in values.items())

    moments: list[_Moment] = [
        (part, when, state)
        for part in measurement.parts
        for when, state in (("before", part.device_before), ("after", part.device_after))
    ]
    return list_table(
        "State of the device",
        moments,
        {
            "session": lambda moment: f"{moment[0].began_at}, session {moment[0].session + 1}",
            "when": lambda moment: moment[1],
            "board": known(lambda state: state.board or state.processor),
            "system": known(lambda state: state.system),
            "power mode": known(lambda state: state.power_mode),
            "clocks pinned": known(lambda state: _YES_NO[state.clocks_pinned]),
            "frequencies MHz": known(
                lambda state: listed(
                    {
                        name: value / 1e6
                        for name, value in (
                            *state.cpu_frequencies_hz.items(),
                            *state.other_frequencies_hz.items(),
                        )
                    },
                    0,
                )
            ),
            "temperatures °C": known(lambda state: listed(state.temperatures_c, 1)),
            "throttling": known(lambda state: listed(state.throttling, 0)),
            "load": known(
                lambda state: None if state.load_average is None else f"{state.load_average:.1f}"
            ),
        },
        words=3,
    )


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
    return facts_table("How it was made", facts)


def _resolution(step: float | None, kind: str) -> str:
    unit = {"power": "W", "counter": "J"}[kind]
    return _UNKNOWN if step is None else f"{step:g} {unit}"


def _megabytes(quantity: Quantity) -> str:
    return "null" if quantity.value is None else f"{quantity.value / 1e6:,.0f}"
