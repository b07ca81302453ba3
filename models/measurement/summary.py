"""Figures from a measurement's windows: medians with intervals, and ratios within rounds.

They are one tidy list, a figure a row. What is not known is no figure, with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from bicameral.statistics import Estimate, median
from bicameral.tables import csv_text
from edge.energy.quantity import Quantity, measured, nothing
from models.measurement.record import Measurement, ModelRecord, Part, StreamAnswers, StreamWindow

#: Larger drifts of the idle power, relative to it, spoil what is net of it.
MAX_IDLE_DRIFT = 0.1

#: Name of the file of figures in a folder of results.
FIGURES_NAME = "measurement.csv"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One quantity of one model on one stream; energy, times and multiply-accumulates per image.

    Attributes:
        duplicates: The stream, by the share of its images that come again.
        model: As the plan names it.
        quantity: ``energy_j`` is all that the meter counted, ``net_energy_j`` what exceeds the idle
            power, ``cpu_s`` CPU time of all threads; ``..._ratio`` is by the first model's on the
            same stream in the same round; ``session_difference`` is that between the sessions'
            medians of ``cpu_ratio``, greatest minus least by their mean.
        estimate: Median over the valid windows; without an interval what needs no window.
        reason: Why some or all windows have no figure; empty where all have one.
        windows: Windows that there are, valid or not.
    """

    duplicates: float
    model: str
    quantity: str
    estimate: Estimate
    reason: str = ""
    windows: int = 0


#: Figures by stream, model and quantity.
Summary = Mapping[tuple[float, str, str], Figure]

Measure = Callable[[Part, StreamWindow], Quantity]


def summarise(measurement: Measurement) -> Summary:
    """Return all figures of every model on every stream, stream by stream."""
    return {
        (figure.duplicates, figure.model, figure.quantity): figure
        for duplicates in measurement.plan.streams
        for model in measurement.models
        for figure in _figures(measurement, model, duplicates)
    }


def figures_csv(measurement: Measurement) -> str:
    """Return all figures as a tidy CSV, a figure a row."""
    header = ("again", "model", "quantity", "value", "low", "high", "n", "unit", "reason")
    rows = []
    for figure in summarise(measurement).values():
        of = figure.estimate
        values = (of.value, of.low, of.high, of.n, of.unit, figure.reason)
        rows.append((figure.duplicates, figure.model, figure.quantity, *values))
    return csv_text(header, rows)


def idle_power_w(part: Part) -> Quantity:
    """Return a part's idle power, the mean of before and after.

    Not valid if they drifted apart or one is missing.
    """
    before, after = part.idle_before, part.idle_after
    if before is None:
        return nothing("W", part.meter_reason or "the idle power was not measured")
    if after is None:
        return nothing("W", "the session was interrupted before its idle power was measured again")
    powers = []
    for name, idle in (("before", before), ("after", after)):
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
    faults = tuple(reason for reason in (gross.reason, idle.reason) if reason)
    return measured(net_j, "J", faults=faults)


def cpu_per_image(part: Part, window: StreamWindow) -> Quantity:
    """Return the CPU time per image."""
    return measured(window.window.cpu_s / window.window.items, "s")


def wall_per_image(part: Part, window: StreamWindow) -> Quantity:
    """Return the wall time per image."""
    return measured(window.window.wall_s / window.window.items, "s")


def _changes_of_mode(part: Part) -> Iterator[str]:
    """Yield what was changed while a part was measured, which makes its joules another device's."""
    after = part.device_after
    for name in ("power_mode", "clocks_pinned"):
        was = getattr(part.device_before, name)
        if after is not None and getattr(after, name) != was:
            yield f"{name} changed from {was} to {getattr(after, name)} meanwhile"


def _figures(measurement: Measurement, model: ModelRecord, duplicates: float) -> Iterator[Figure]:
    own = _windows(measurement, model.model, duplicates)
    base = _windows(measurement, measurement.models[0].model, duplicates)
    answers, first = (_answers(record, duplicates) for record in (model, measurement.models[0]))

    def figure(quantity: str, unit: str, values: Sequence[Quantity]) -> Figure:
        valid = [item.value for item in values if item.valid and item.value is not None]
        return Figure(
            duplicates=duplicates,
            model=model.model,
            quantity=quantity,
            estimate=median(valid, unit),
            reason="; ".join(dict.fromkeys(item.reason for item in values if item.reason)),
            windows=len(values),
        )

    def answered(quantity: str, value: Quantity) -> Figure:
        estimate = Estimate(
            value=value.value if value.valid else None,
            low=None,
            high=None,
            n=answers.n_images,
            unit=value.unit,
        )
        return Figure(
            duplicates=duplicates,
            model=model.model,
            quantity=quantity,
            estimate=estimate,
            reason=value.reason,
        )

    yield answered("accuracy", measured(answers.accuracy, "1"))
    yield answered("share_b", measured(answers.share_b, "1"))
    yield answered("hit_rate", measured(answers.hit_rate, "1"))
    yield answered("macs", answers.macs_per_image)
    yield answered("macs_ratio", _quotient(answers.macs_per_image, first.macs_per_image))
    measures: dict[str, tuple[str, Measure]] = {
        "energy_j": ("J", energy_per_image),
        "net_energy_j": ("J", net_energy_per_image),
        "cpu_s": ("s", cpu_per_image),
        "wall_s": ("s", wall_per_image),
    }
    for name, (unit, measure) in measures.items():
        yield figure(name, unit, [measure(*one) for one in own])
    for name, measure in (("energy_ratio", energy_per_image), ("cpu_ratio", cpu_per_image)):
        pairs = zip(own, base, strict=True)
        yield figure(name, "1", [_quotient(measure(*one), measure(*by)) for one, by in pairs])
    ratios = (
        (part.session, _quotient(cpu_per_image(part, window), cpu_per_image(*by)))
        for (part, window), by in zip(own, base, strict=True)
    )
    difference = _difference((session, ratio.value or 0.0) for session, ratio in ratios)
    yield figure("session_difference", "1", difference)


def _windows(
    measurement: Measurement, model: str, duplicates: float
) -> list[tuple[Part, StreamWindow]]:
    return [
        (part, window)
        for part in measurement.parts
        for window in part.windows
        if (window.model, window.duplicates) == (model, duplicates)
    ]


def _answers(record: ModelRecord, duplicates: float) -> StreamAnswers:
    return next(answers for answers in record.answers if answers.duplicates == duplicates)


def _quotient(value: Quantity, by: Quantity) -> Quantity:
    if value.value is None or not by.value:
        return nothing("1", value.reason or by.reason or "the reference needed nothing")
    faults = tuple(dict.fromkeys(reason for reason in (value.reason, by.reason) if reason))
    return measured(value.value / by.value, "1", faults=faults)


def _difference(ratios: Iterable[tuple[int, float]]) -> list[Quantity]:
    """Return the difference between sessions, or nothing with fewer than two."""
    sessions: dict[int, list[float]] = {}
    for session, ratio in ratios:
        sessions.setdefault(session, []).append(ratio)
    medians = [median(values).value or 0.0 for values in sessions.values()]
    if len(medians) < 2:
        return []
    return [measured((max(medians) - min(medians)) / (sum(medians) / len(medians)), "1")]
