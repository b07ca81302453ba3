"""Tables of a measurement, for the terminal and the report."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bicameral.tables import (
    DASH,
    Cell,
    Entry,
    Table,
    estimate_cell,
    facts_table,
    integer,
    list_table,
    magnitude,
    percent,
    ratio,
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

#: A stream, by the share of its images that come again, and a model.
_Served = tuple[float, str]

#: A part, whether before or after it, and the device's state then.
_Moment = tuple[Part, str, DeviceState | None]


def cost_table(measurement: Measurement, summary: Summary) -> Table:
    """List what every model costs on every stream, with intervals; null is what was not measured.

    Without a meter there is one column of energy, which says so.
    """

    def figure(quantity: str, digits: int, factor: float) -> Callable[[_Served], Cell]:
        """Write a median with its interval; null where there is none."""

        def show(served: _Served) -> Cell:
            estimate = summary[(*served, quantity)].estimate
            if not estimate.valid:
                return Cell(text="null")
            return estimate_cell(estimate, digits, factor=factor)

        return show

    def value(served: _Served, quantity: str) -> float | None:
        return summary[(*served, quantity)].estimate.value

    def relative(show: Callable[[_Served], Entry], first: str) -> Callable[[_Served], Entry]:
        return lambda served: first if served[1] == measurement.plan.models[0] else show(served)

    def windows(served: _Served) -> str:
        energy = summary[(*served, "energy_j")]
        return f"{energy.estimate.n} of {energy.windows}"

    fields: dict[str, Callable[[_Served], Entry]] = {
        "stream": lambda served: f"{100 * served[0]:g} % again",
        "model": lambda served: served[1],
        "accuracy %": lambda served: percent(value(served, "accuracy")),
        "MACs|by the first model's": lambda served: ratio(value(served, "macs_ratio")),
        "paper's|charge by that of the paper's large network: other data, networks and machine": (
            lambda served: ratio(published_cost(_PAPERS_SYSTEMS.get(served[1], ""), served[0]))
        ),
        "CPU µs|user and system, all threads": figure("cpu_s", 1, 1e6),
        "CPU %|by the first model's in the same round": relative(
            figure("cpu_ratio", 1, 100.0), "100"
        ),
        "sessions|difference between sessions of the CPU ratio, relative": relative(
            lambda served: ratio(value(served, "session_difference")), DASH
        ),
        "wall µs|latency of an image, with whatever else the machine did": figure("wall_s", 1, 1e6),
        "energy mJ|all that the meter counted; null without a meter": figure("energy_j", 3, 1e3),
    }
    if any(part.meter for part in measurement.parts):
        fields |= {
            "net mJ|above the idle power": figure("net_energy_j", 3, 1e3),
            "energy %|by the first model's": figure("energy_ratio", 1, 100.0),
            "windows|valid for energy, of all": windows,
        }
    plan = measurement.plan
    served = [(share, model) for share in plan.streams for model in plan.models]
    return list_table(f"Costs per image on {measurement.host}", served, fields, words=2)


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
            "B %|share of the images that a cascade asked more than A about": lambda one: percent(
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
