"""A clock that lets ten seconds pass at once, and simulated sensors that follow it."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.energy.clock import Clock, Repetition
from edge.energy.recorder import EnergyRecorder, WindowEnergy
from tests.simulated_sensor import Layout, SimulatedIna3221, Waveform

#: How often a simulated sensor converts; in no simple ratio to any waveform, nor to the sampling.
CONVERSION_S = 0.0071


class _Repetition(Repetition):
    def __init__(self) -> None:
        self.stopped = False
        self.cpu_s = 0.0

    def stop(self) -> None:
        self.stopped = True


class SimulatedClock(Clock):
    """A clock by which whoever sleeps lets everything happen that is due meanwhile.

    Repetitions come late at random, as on a busy machine.
    """

    def __init__(self, *, lateness_s: float = 0.0, begin_s: float = 1000.0) -> None:
        self._now_s, self._lateness_s = begin_s, lateness_s
        self._rng = np.random.default_rng(0)
        self._numbers = itertools.count()
        self._due: list[tuple[float, int, float, float, Callable[[], None], _Repetition]] = []

    def now_s(self) -> float:
        return self._now_s

    def stand_still(self, duration_s: float) -> None:
        """Let time pass in which nothing happens."""
        self._now_s += duration_s

    def forget_repetitions(self) -> None:
        """Do nothing of what was due."""
        self._due.clear()

    def sleep(self, duration_s: float) -> None:
        end_s = self._now_s + duration_s
        while self._due and self._due[0][0] <= end_s:
            late_s, _, due_s, period_s, action, repetition = heapq.heappop(self._due)
            if repetition.stopped:
                continue
            self._now_s = max(self._now_s, late_s)
            action()
            self._push(due_s + period_s, period_s, action, repetition)
        self._now_s = end_s

    def every(self, period_s: float, action: Callable[[], None]) -> _Repetition:
        repetition = _Repetition()
        self._push(self._now_s + period_s, period_s, action, repetition)
        return repetition

    def _push(
        self, due_s: float, period_s: float, action: Callable[[], None], repetition: _Repetition
    ) -> None:
        late_s = due_s + self._rng.uniform(0.0, self._lateness_s)
        entry = (late_s, next(self._numbers), due_s, period_s, action, repetition)
        heapq.heappush(self._due, entry)


@pytest.fixture
def clock() -> SimulatedClock:
    """Give a clock whose repetitions come up to 8 ms late."""
    return SimulatedClock(lateness_s=0.008)


@pytest.fixture
def measured(clock: SimulatedClock) -> Callable[..., WindowEnergy]:
    """Measure one window of so many seconds with a meter."""

    def measure(meter: Any, duration_s: float, **how: Any) -> WindowEnergy:
        with EnergyRecorder(meter, clock=clock, **how) as recorder:
            recorder.begin()
            clock.sleep(duration_s)
            return recorder.end()

    return measure


PlaySensor = Callable[[Layout, Waveform], SimulatedIna3221]


@pytest.fixture
def play(tmp_path: Path, clock: SimulatedClock) -> PlaySensor:
    """Give a maker of sensors that show a waveform, in the folder `tmp_path`."""

    def make(layout: Layout, waveform: Waveform) -> SimulatedIna3221:
        sensor = SimulatedIna3221(tmp_path, layout)

        def convert() -> None:
            sensor.show(waveform.power_w(clock.now_s()))

        convert()
        clock.every(CONVERSION_S, convert)
        return sensor

    return make
