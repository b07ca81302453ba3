"""Figures from a measurement's windows: medians with intervals, and ratios within rounds.

They are one tidy list, a figure a row. What is not known is no figure, with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from bicameral.statistics import Estimate, median
from bicameral.tables import csv_text
from edge.energy.quantity import Quantity, measured, nothing
from models.measurement.record import Measurement, ModelRecord, Part, StreamWindow

#: Larger drifts of the idle power, relative to it, spoil what is net of it.
MAX_IDLE_DRIFT = 0.1

#: Name of the file of figures in a folder of results.
FIGURES_NAME = "measurement.csv"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One quantity of one model on one stream.

    Attributes:
        estimate: Median over the valid windows; without an interval what needs no window.
        reason: Why some or all windows have no figure; empty where all have one.
        windows: Windows that there are, valid or not.
    """

    estimate: Estimate
    reason: str = ""
    windows: int = 0


#: Figures by stream (the share of its images that come again), model and quantity. Energy, times
#: and multiply-accumulates are per image: ``energy_j`` is all that the meter counted,
#: ``net_energy_j`` what exceeds the idle power, ``cpu_s`` CPU time of all threads; ``..._ratio`` is
#: by the first model's on the same stream in the same round; ``session_difference`` is that between
#: the sessions' medians of ``cpu_ratio``, greatest minus least by their mean.
Summary = Mapping[tuple[float, str, str], Figure]


def summarise(measurement: Measurement) -> Summary:
    """Return all figures of every model on every stream, stream by stream."""
    return {
        (duplicates, model.model, quantity): figure
        for duplicates in measurement.plan.streams
        for model in measurement.models
        for quantity, figure in _figures(measurement, model, duplicates)
    }


def figures_csv(measurement: Measurement) -> str:
    """Return all figures as a tidy CSV, a figure a row."""
    header = ("again", "model", "quantity", "value", "low", "high", "n", "unit", "reason")
    return csv_text(
        header,
        [
            (*key, of.estimate.value, of.estimate.low, of.estimate.high, of.estimate.n,
             of.estimate.unit, of.reason)
            for key, of in summarise(measurement).items()
        ],
    )  # fmt: skip


def idle_power_w(part: Part) -> Quantity:
    """Return a part's idle power, the mean of before and after.

    Not valid if they drifted apart or one is missing.
    """
    if part.idle_before is None:
        return nothing("W", part.meter_reason or "the idle power was not measured")
    if part.idle_after is None:
        return nothing("W", "the session was interrupted before its idle power was measured again")
    powers = []
    for name, idle in (("before", part.idle_before), ("after", part.idle_after)):
        if idle.energy.value is None or not idle.energy.valid:
            return nothing("W", f"the idle power {name} is not valid: {idle.energy.reason}")
        powers.append(idle.energy.value / idle.duration_s)
    mean_w = sum(powers) / 2.0
    drift = abs(powers[1] - powers[0]) / mean_w
    faults: tuple[str, ...] = ()
    if drift > MAX_IDLE_DRIFT:
        faults = (
            f"the idle power drifted by {100 * drift:.0f} % from {powers[0]:.3f} to "
            f"{powers[1]:.3f} W",
        )
    return measured(mean_w, "W", faults=faults)


def energy_per_image(part: Part, window: StreamWindow) -> Quantity:
    """Return all that the meter counted, per image."""
    energy, items = window.window.energy.energy, window.window.items
    if energy.value is None:
        return energy
    faults = tuple(reason for reason in (energy.reason, *_changes_of_mode(part)) if reason)
    return measured(energy.value / items, "J", faults=faults)


def net_energy_per_image(part: Part, window: StreamWindow) -> Quantity:
    """Return what exceeds the idle power, per image."""
    gross, idle = energy_per_image(part, window), idle_power_w(part)
    if gross.value is None or idle.value is None:
        return nothing("J", gross.reason if gross.value is None else idle.reason)
    net_j = gross.value - idle.value * window.window.energy.duration_s / window.window.items
    return measured(net_j, "J", faults=tuple(filter(None, (gross.reason, idle.reason))))


def cpu_per_image(part: Part, window: StreamWindow) -> Quantity:
    """Return the CPU time per image."""
    return measured(window.window.cpu_s / window.window.items, "s")


def wall_per_image(part: Part, window: StreamWindow) -> Quantity:
    """Return the wall time per image."""
    return measured(window.window.wall_s / window.window.items, "s")


#: What is measured of each window.
_MEASURES: dict[str, tuple[str, Callable[[Part, StreamWindow], Quantity]]] = {
    "energy_j": ("J", energy_per_image),
    "net_energy_j": ("J", net_energy_per_image),
    "cpu_s": ("s", cpu_per_image),
    "wall_s": ("s", wall_per_image),
}


def _changes_of_mode(part: Part) -> Iterator[str]:
    """Yield what was changed while a part was measured, which makes its joules another device's."""
    after = part.device_after
    for name in ("power_mode", "clocks_pinned"):
        was = getattr(part.device_before, name)
        if after is not None and getattr(after, name) != was:
            yield f"{name} changed from {was} to {getattr(after, name)} meanwhile"


def _figures(
    measurement: Measurement, model: ModelRecord, duplicates: float
) -> Iterator[tuple[str, Figure]]:
    first = measurement.models[0]
    answers, others = model.answers_on(duplicates), first.answers_on(duplicates)
    answered = {
        "accuracy": measured(answers.accuracy, "1"),
        "share_b": measured(answers.share_b, "1"),
        "hit_rate": measured(answers.hit_rate, "1"),
        "macs": answers.macs_per_image,
        "macs_ratio": _quotient(answers.macs_per_image, others.macs_per_image),
    }
    for name, one in answered.items():
        value = one.value if one.valid else None
        estimate = Estimate(value=value, low=None, high=None, n=answers.n_images, unit=one.unit)
        yield name, Figure(estimate=estimate, reason=one.reason)
    own, base = (_windows(measurement, one.model, duplicates) for one in (model, first))
    for name, (unit, measure) in _MEASURES.items():
        yield name, _median([measure(*window) for window in own], unit)
    by_first = {
        name: [
            _quotient(measure(*window), measure(*by)) for window, by in zip(own, base, strict=True)
        ]
        for name, measure in (("energy_ratio", energy_per_image), ("cpu_ratio", cpu_per_image))
    }
    for name, ratios in by_first.items():
        yield name, _median(ratios, "1")
    sessions: dict[int, list[float]] = {}
    for (part, _), ratio in zip(own, by_first["cpu_ratio"], strict=True):
        sessions.setdefault(part.session, []).append(ratio.value or 0.0)
    yield "session_difference", _median(_difference(sessions), "1")


def _median(values: Sequence[Quantity], unit: str) -> Figure:
    valid = [item.value for item in values if item.valid and item.value is not None]
    return Figure(
        estimate=median(valid, unit),
        reason="; ".join(dict.fromkeys(item.reason for item in values if item.reason)),
        windows=len(values),
    )


def _windows(
    measurement: Measurement, model: str, duplicates: float
) -> list[tuple[Part, StreamWindow]]:
    return [
        (part, window)
        for part in measurement.parts
        for window in part.windows
        if (window.model, window.duplicates) == (model, duplicates)
    ]


def _quotient(value: Quantity, by: Quantity) -> Quantity:
    if value.value is None or not by.value:
        return nothing("1", value.reason or by.reason or "the reference needed nothing")
    faults = tuple(dict.fromkeys(filter(None, (value.reason, by.reason))))
    return measured(value.value / by.value, "1", faults=faults)


def _difference(sessions: Mapping[int, Sequence[float]]) -> list[Quantity]:
    """Return the difference between sessions, or nothing with fewer than two."""
    medians = [median(values).value or 0.0 for values in sessions.values()]
    if len(medians) < 2:
        return []
    return [measured((max(medians) - min(medians)) / (sum(medians) / len(medians)), "1")]
