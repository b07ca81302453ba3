"""What a reader must know to believe a measurement, or not to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from bicameral.statistics import Estimate
from edge.energy.quantity import Quantity
from models.measurement.record import Measurement
from models.measurement.summary import Summary, energy_per_image, idle_power_w

#: Beyond this, relative, an interval or a difference between sessions is pointed out.
_STEADY = 0.05


def measurement_notes(measurement: Measurement, summary: Summary) -> tuple[str, ...]:
    """Return the notes, in sentences."""
    return (*_meter(measurement), *_windows(measurement), *_steadiness(measurement, summary))


def _meter(measurement: Measurement) -> Iterator[str]:
    """Say how much was measured, and with what."""
    plan, parts = measurement.plan, measurement.parts
    if not measurement.is_complete:
        done = sum(map(measurement.rounds_of, range(plan.sessions)))
        yield (
            f"Not complete: {done} of {plan.rounds * plan.sessions} rounds were measured; --resume "
            "goes on."
        )
    meters = dict.fromkeys(part.meter for part in parts)
    if len(meters) > 1:
        yield "The parts were measured with different meters; do not compare their joules."
    for reason in dict.fromkeys(part.meter_reason for part in parts if part.meter_reason):
        yield (
            f"No joules, for there is no meter ({reason}). CPU time, wall time, "
            "multiply-accumulates and memory are what they are; none of them is energy."
        )
    for meter in meters:
        if meter is not None:
            yield f"Joules from {meter.name}, {meter.source}: {meter.covers}."
    for part in parts:
        if part.meter is not None:
            idle = idle_power_w(part)
            text = "unknown" if idle.value is None else f"{idle.value:.3f} W"
            yield f"Idle power in session {part.session + 1}: {text} {idle.reason}".strip() + "."


def _windows(measurement: Measurement) -> Iterator[str]:
    """Say what steps and moments of the sensor leave open, and which windows are not valid."""
    windows = [(part, window) for part in measurement.parts for window in part.windows]
    energies = [window.window.energy for _, window in windows]
    energies = [energy for energy in energies if energy.energy.valid]
    if energies:
        bound, timing = (
            max((share for one in energies if (share := _share(getattr(one, name), one.energy))),
                default=None)
            for name in ("bound", "timing")
        )  # fmt: skip
        reading = sum(one.meter_cpu_s for one in energies) / sum(one.duration_s for one in energies)
        yield (
            f"The sensor's steps may falsify a window by up to {_percent(bound)}, the moments of "
            f"its readings by {_percent(timing)} (95 %); reading it took {_percent(reading)} of a "
            "core."
        )
    faults = Counter(
        energy.reason
        for part, window in windows
        if part.meter is not None and not (energy := energy_per_image(part, window)).valid
    )
    for reason, count in faults.items():
        yield f"{count} windows were left out: {reason}."


def _share(part: Quantity, whole: Quantity) -> float | None:
    return None if part.value is None or not whole.value else part.value / whole.value


def _percent(share: float | None) -> str:
    return "an unknown share" if share is None else f"{100 * share:.2f} %"


def _steadiness(measurement: Measurement, summary: Summary) -> Iterator[str]:
    """Say where windows or sessions differ, or a model had not warmed up."""

    def found(quantity: str) -> list[Estimate]:
        return [of.estimate for (*_, name), of in summary.items() if name == quantity]

    width = max((of.relative_half_width or 0.0 for of in found("cpu_ratio")), default=0.0)
    if width > _STEADY:
        yield (
            f"The interval of a CPU-time ratio is ± {100 * width:.1f} % wide; more rounds or a "
            "quieter machine would narrow it."
        )
    difference = max((of.value or 0.0 for of in found("session_difference")), default=0.0)
    if difference > _STEADY:
        yield f"Two sessions differ by {100 * difference:.1f} % in a CPU-time ratio."
    for part in measurement.parts:
        restless = [model for model, warm in part.warm_ups.items() if not warm.stable]
        if restless:
            yield (
                f"After {measurement.plan.warm_up_s:g} s of warm-up in session {part.session + 1} "
                f"the time of an image still changed: {', '.join(restless)}."
            )
