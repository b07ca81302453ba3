"""Warming up: until the time of an item stays the same."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from edge.energy.windows import Workload

#: Stretches over which the time of an item must not change any more.
_STRETCHES = 5

#: Wall time of one, over which an item's time is averaged.
_STRETCH_S = 0.3

#: Largest slope of the time of an item over those, relative to it, per stretch.
_MAX_SLOPE = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmUp:
    """How a workload was warmed up.

    Attributes:
        duration_s: How long it took.
        stable: Whether the time of an item had stopped changing when the time was over.
    """

    duration_s: float
    stable: bool


def warm_up(workload: Workload, *, at_most_s: float) -> WarmUp:
    """Run a workload until its items take an even time, or the time is over.

    Args:
        workload: The workload.
        at_most_s: When to stop.
    """
    begin_s = time.perf_counter()
    times_s: list[float] = []
    place = 0
    while True:
        items, stretch_begin_s = 0, time.perf_counter()
        while (passed_s := time.perf_counter() - stretch_begin_s) < _STRETCH_S:
            if place == 0:
                workload.begin_pass()
            workload.run(place, place + 1)
            items += 1
            place = (place + 1) % workload.items_per_pass
        times_s.append(passed_s / items)
        stable = _is_even(times_s[-_STRETCHES:])
        duration_s = time.perf_counter() - begin_s
        if stable or duration_s >= at_most_s:
            return WarmUp(duration_s=duration_s, stable=stable)


def _is_even(times_s: list[float]) -> bool:
    if len(times_s) < _STRETCHES:
        return False
    slope = float(np.polyfit(np.arange(_STRETCHES), times_s, 1)[0])
    return abs(slope) <= _MAX_SLOPE * float(np.mean(times_s))
