"""Axes of charts: where a value lies, and which values carry a tick."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from models.cascade.report.quantities import magnitude

_NICE_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)

#: A logarithmic axis so short that it would have fewer is ticked like a linear one.
_LEAST_TICKS = 3

#: Of the values' span, so that no mark sits on the frame.
_PADDING = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """An axis from `low` to `high`, low < high; logarithmic ones need low > 0.

    Attributes:
        label: Name and unit.
        low: Value at its beginning.
        high: Value at its end.
        kind: Spacing.
    """

    label: str
    low: float
    high: float
    kind: Literal["linear", "log"] = "linear"

    def share(self, value: float) -> float:
        """Return where a value lies: 0 at the beginning, 1 at the end."""
        if self.kind == "log":
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def ticks(self, about: int) -> list[tuple[float, str]]:
        """Return about so many round values with their labels, ascending."""
        if self.kind == "log":
            values = _log_ticks(self.low, self.high, about)
            if len(values) >= _LEAST_TICKS:
                return [(value, magnitude(value)) for value in values]
        step = nice_step(self.high - self.low, about)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        values = [k * step for k in range(first, last + 1)]
        if self.kind == "log":
            return [(value, magnitude(value)) for value in values]
        digits = max(0, -math.floor(math.log10(step) + 1e-9))
        if round(step * 10**digits, 6) % 1.0:  # a step of 2.5, 0.25, ...
            digits += 1
        return [(value, f"{value:.{digits}f}") for value in values]


def linear_axis(
    label: str, values: Iterable[float], *, bounds: tuple[float, float] = (-math.inf, math.inf)
) -> Axis:
    """Return an axis that holds all values with some room, within the bounds."""
    present = list(values)
    low, high = min(present), max(present)
    room = _PADDING * (high - low) if high > low else max(abs(high), 1.0) * _PADDING
    return Axis(label=label, low=max(low - room, bounds[0]), high=min(high + room, bounds[1]))


def log_axis(label: str, values: Iterable[float]) -> Axis:
    """Return a logarithmic axis that holds all values, which are positive, with some room."""
    logarithms = [math.log(value) for value in values]
    room = max(_PADDING * (max(logarithms) - min(logarithms)), 0.1)
    return Axis(
        label=label,
        low=math.exp(min(logarithms) - room),
        high=math.exp(max(logarithms) + room),
        kind="log",
    )


def nice_step(span: float, about: int) -> float:
    """Return the step of 1, 2, 2.5 or 5 times a power of ten that fits most nearly so often."""
    power = 10.0 ** math.floor(math.log10(span / about))
    return min(
        (power * step for step in _NICE_STEPS), key=lambda step: abs(math.log(span / step / about))
    )


def _log_ticks(low: float, high: float, about: int) -> list[float]:
    """Return powers of ten, with their double and fivefold where those are too few."""
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    candidates: list[list[float]] = [
        [factor * 10.0**exponent for exponent in exponents for factor in factors]
        for factors in ((1.0,), (1.0, 3.0), (1.0, 2.0, 5.0), (1.0, 1.5, 2.0, 3.0, 5.0, 7.0))
    ]
    within = [[value for value in values if low <= value <= high] for values in candidates]
    return next((values for values in within if len(values) >= about), within[-1])
