"""What a reader must know to believe a measurement, or not to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from edge.energy.quantity import Quantity
from models.measurement.record import Measurement
from models.measurement.summary import Summary, energy_per_image, idle_power_w

#: Beyond this, relative, an interval or a difference between sessions is pointed out.
_STEADY = 0.05


def measurement_notes(measurement: Measurement, summary: Summary) -> tuple[str, ...]:
    """Return the notes, in sentences."""
    return (
        *_completeness(measurement),
        *_meter(measurement),
        *_precision(measurement),
        *_windows(measurement),
        *_steadiness(summary),
        *_warm_up(measurement),
    )


def _completeness(measurement: Measurement) -> Iterator[str]:
    plan = measurement.plan
    done = sum(measurement.rounds_of(session) for session in range(plan.sessions))
    if not measurement.is_complete:
        yield (
            f"Not complete: {done} of {plan.rounds * plan.sessions} rounds were measured; --resume "
            "goes on."
        )


def _meter(measurement: Measurement) -> Iterator[str]:
    meters = {part.meter for part in measurement.parts}
    if len(meters) > 1:
        yield "The parts were measured with different meters; do not compare their joules."
    for reason in dict.fromkeys(part.meter_reason for part in measurement.parts):
        if reason:
            yield (
                f"No joules, for there is no meter ({reason}). CPU time, wall time, "
                "multiply-accumulates and memory are what they are; none of them is energy."
            )
    for meter in meters - {None}:
        assert meter is not None  # noqa: S101 - for the type checker
        yield f"Joules from {meter.name}, {meter.source}: {meter.covers}."
    for part in measurement.parts:
        if part.meter is not None:
            idle = idle_power_w(part)
            text = "unknown" if idle.value is None else f"{idle.value:.3f} W"
            yield f"Idle power in session {part.session + 1}: {text} {idle.reason}".strip() + "."


def _precision(measurement: Measurement) -> Iterator[str]:
    """Say what the sensor's steps and the moments of its readings leave open."""
    windows = [
        window.window.energy
        for part in measurement.parts
        for window in part.windows
        if window.window.energy.energy.valid
    ]
    if not windows:
        return
    bound = _largest(_share(window.bound, window.energy) for window in windows)
    timing = _largest(_share(window.timing, window.energy) for window in windows)
    cpu_s = sum(window.meter_cpu_s for window in windows)
    duration_s = sum(window.duration_s for window in windows)
    yield (
        f"The sensor's steps may falsify a window by up to {_percent(bound)}, the moments of its "
        f"readings by {_percent(timing)} (95 %); reading it took "
        f"{_percent(cpu_s / duration_s)} of a core."
    )


def _share(part: Quantity, whole: Quantity) -> float | None:
    return None if part.value is None or not whole.value else part.value / whole.value


def _largest(shares: Iterable[float | None]) -> float | None:
    return max((share for share in shares if share is not None), default=None)


def _percent(share: float | None) -> str:
    return "an unknown share" if share is None else f"{100 * share:.2f} %"


def _windows(measurement: Measurement) -> Iterator[str]:
    reasons: dict[str, int] = {}
    for part in measurement.parts:
        for window in part.windows:
            energy = energy_per_image(part, window)
            if part.meter is not None and not energy.valid:
                reasons[energy.reason] = reasons.get(energy.reason, 0) + 1
    for reason, count in reasons.items():
        yield f"{count} windows were left out: {reason}."


def _steadiness(summary: Summary) -> Iterator[str]:
    widths = [
        figure.estimate.relative_half_width or 0.0
        for figure in summary.values()
        if figure.quantity == "cpu_ratio"
    ]
    differences = [
        figure.estimate.value or 0.0
        for figure in summary.values()
        if figure.quantity == "session_difference"
    ]
    if widths and max(widths) > _STEADY:
        yield (
            f"The interval of a CPU-time ratio is ± {100 * max(widths):.1f} % wide; more rounds or "
            "a quieter machine would narrow it."
        )
    if differences and max(differences) > _STEADY:
        yield f"Two sessions differ by {100 * max(differences):.1f} % in a CPU-time ratio."


def _warm_up(measurement: Measurement) -> Iterator[str]:
    for part in measurement.parts:
        restless = [model for model, warm in part.warm_ups.items() if not warm.stable]
        if restless:
            yield (
                f"After {measurement.plan.warm_up_s:g} s of warm-up in session {part.session + 1} "
                f"the time of an image still changed: {', '.join(restless)}."
            )
