"""From windows to figures: medians with intervals, ratios within rounds, and what may not be said.

A ratio is taken between windows of one round on one stream, so that what slowed the machine in that
round slowed both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from edge.energy.intervals import MedianInterval, median_interval
from edge.energy.quantity import Quantity, measured, nothing
from models.cascade.measurement.records import (
    Measurement,
    ModelRecord,
    Part,
    StreamAnswers,
    StreamWindow,
)

#: Larger drifts of the idle power, relative to it, spoil what is net of it.
MAX_IDLE_DRIFT = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A figure over windows.

    Attributes:
        interval: Median and interval; None where no window is valid.
        reason: Why some or all windows have no figure; empty where all have one.
        of_windows: Windows that there are.
    """

    interval: MedianInterval | None
    reason: str
    of_windows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """One model on one stream; everything per image.

    Attributes:
        model: As the plan names it.
        duplicates: The stream.
        accuracy: Share of right answers.
        macs_per_image: Multiply-accumulates.
        energy_j: All that the meter counted.
        net_energy_j: What exceeds the idle power.
        wall_s: Wall time, while the models took turns or alone.
        cpu_s: CPU time of all threads.
        cpu_ratio: CPU time by that of the first model on the same stream in the same round.
        energy_ratio: Energy by that of the first model, likewise.
        macs_ratio: Multiply-accumulates by those of the first model on the same stream.
        session_difference: Between the sessions' medians of `cpu_ratio`, greatest minus least by
            their mean; None with fewer than two sessions.
    """

    model: str
    duplicates: float
    accuracy: float
    macs_per_image: Quantity
    energy_j: Figure
    net_energy_j: Figure
    wall_s: Figure
    cpu_s: Figure
    cpu_ratio: Figure
    energy_ratio: Figure
    macs_ratio: Quantity
    session_difference: float | None


Measure = Callable[[Part, StreamWindow], Quantity]


def summarise(measurement: Measurement) -> tuple[Summary, ...]:
    """Return a summary of every model on every stream, stream by stream."""
    return tuple(
        _summary(measurement, model, duplicates)
        for duplicates in measurement.plan.streams
        for model in measurement.models
    )


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


def _summary(measurement: Measurement, model: ModelRecord, duplicates: float) -> Summary:
    own = _windows(measurement, model.model, duplicates)
    reference = _windows(measurement, measurement.models[0].model, duplicates)
    answers, first = (_answers(record, duplicates) for record in (model, measurement.models[0]))
    ratios = [
        (part.session, cpu_per_image(part, window).value or 0.0, cpu_per_image(*base).value or 0.0)
        for (part, window), base in zip(own, reference, strict=True)
    ]
    return Summary(
        model=model.model,
        duplicates=duplicates,
        accuracy=answers.accuracy,
        macs_per_image=answers.macs_per_image,
        energy_j=_figure(own, energy_per_image),
        net_energy_j=_figure(own, net_energy_per_image),
        wall_s=_figure(own, wall_per_image),
        cpu_s=_figure(own, cpu_per_image),
        cpu_ratio=_ratio_figure(own, reference, cpu_per_image),
        energy_ratio=_ratio_figure(own, reference, energy_per_image),
        macs_ratio=_quotient(answers.macs_per_image, first.macs_per_image),
        session_difference=_difference((session, a / b) for session, a, b in ratios),
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


def _answers(record: ModelRecord, duplicates: float) -> StreamAnswers:
    return next(answers for answers in record.answers if answers.duplicates == duplicates)


def _figure(windows: Sequence[tuple[Part, StreamWindow]], measure: Measure) -> Figure:
    return _over([measure(part, window) for part, window in windows])


def _ratio_figure(
    own: Sequence[tuple[Part, StreamWindow]],
    reference: Sequence[tuple[Part, StreamWindow]],
    measure: Measure,
) -> Figure:
    pairs = zip(own, reference, strict=True)
    return _over([_quotient(measure(*mine), measure(*base)) for mine, base in pairs])


def _over(quantities: Sequence[Quantity]) -> Figure:
    values = [item.value for item in quantities if item.valid and item.value is not None]
    reasons = dict.fromkeys(item.reason for item in quantities if item.reason)
    return Figure(
        interval=median_interval(values), reason="; ".join(reasons), of_windows=len(quantities)
    )


def _quotient(value: Quantity, by: Quantity) -> Quantity:
    if value.value is None or not by.value:
        return nothing("1", value.reason or by.reason or "the reference needed nothing")
    faults = tuple(dict.fromkeys(reason for reason in (value.reason, by.reason) if reason))
    return measured(value.value / by.value, "1", faults=faults)


def _difference(ratios: Iterable[tuple[int, float]]) -> float | None:
    sessions: dict[int, list[float]] = {}
    for session, ratio in ratios:
        sessions.setdefault(session, []).append(ratio)
    intervals = [median_interval(values) for values in sessions.values()]
    medians = [interval.median for interval in intervals if interval is not None]
    if len(medians) < 2:
        return None
    return (max(medians) - min(medians)) / (sum(medians) / len(medians))
