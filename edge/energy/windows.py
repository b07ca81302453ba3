"""Rounds of windows: all workloads one after the other, so that they share the machine's moods.

With a meter a workload is run without a break for a whole window, because a meter cannot tell whose
joules it counts. Without one, the workloads take short turns, so that whatever else the machine
does slows all of them alike and the ratios within a round stay what they are on a quiet machine.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from edge.energy.device_state import read_throttling, throttling_between
from edge.energy.meter import NoMeter
from edge.energy.quantity import Quantity
from edge.energy.recorder import EnergyRecorder, WindowEnergy

#: Is told whose turn has ended.
Advance = Callable[[str], None]


class Workload(Protocol):
    """What can be measured: items that are worked off one by one, in passes that are all alike."""

    @property
    def name(self) -> str:
        """Unique among what is measured together."""

    @property
    def items_per_pass(self) -> int:
        """Items of one pass, at least 1."""

    def touch(self) -> None:
        """Do a little of the same work, so that the caches are the workload's own again."""

    def begin_pass(self) -> None:
        """Forget what earlier passes left behind, e.g. in a result memory."""

    def run(self, begin: int, end: int) -> None:
        """Work off items of a pass, by their place in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """One workload in one round.

    Attributes:
        workload: Its name.
        round: Index of the round.
        items: Items worked off, of whole passes.
        wall_s: Wall time.
        cpu_s: CPU time, user and system, of everything that counted, less what reading the meter
            took.
        energy: What the meter says; its duration is that of the whole round without a meter.
    """

    workload: str
    round: int
    items: int
    wall_s: float
    cpu_s: float
    energy: WindowEnergy


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundSettings:
    """How a round is measured.

    Attributes:
        turns: Into how many turns a window, one pass, is cut where there is no meter.
        least_s: Least duration of a window, whole passes, where there is one.
        cpu_time_s: CPU time so far of everything that counts; by default all of this process.
    """

    turns: int = 1
    least_s: float = 0.0
    cpu_time_s: Callable[[], float] = time.process_time


def measure_round(
    workloads: Sequence[Workload],
    recorder: EnergyRecorder,
    settings: RoundSettings = RoundSettings(),
    *,
    index: int = 0,
    advance: Advance = lambda name: None,
) -> list[Window]:
    """Measure every workload once.

    Args:
        workloads: What to measure. In odd rounds they come in reverse (A B B A), so that a drift of
            the machine falls on all of them.
        recorder: Measures energy; open.
        settings: How.
        index: Index of the round.
        advance: Is told the workload's name after each turn.

    Returns:
        One window per workload, in the order of `workloads`.
    """
    windows = [_Window(workload, recorder, settings.cpu_time_s) for workload in workloads]
    order = windows[::-1] if index % 2 else windows
    if not isinstance(recorder.meter, NoMeter):
        records = {}
        for window in order:
            records[window.name] = window.contiguous(index, settings.least_s)
            advance(window.name)
        return [records[window.name] for window in windows]
    recorder.begin()
    for turn in range(settings.turns):
        for window in order:
            window.turn(turn, settings.turns)
            advance(window.name)
    no_energy = recorder.end()
    return [window.record(index, no_energy) for window in windows]


class _Window:
    """Adds up what one workload takes."""

    def __init__(
        self, workload: Workload, recorder: EnergyRecorder, cpu_time_s: Callable[[], float]
    ) -> None:
        self._workload, self._recorder, self._cpu_time_s = workload, recorder, cpu_time_s
        self._items = 0
        self._wall_s = self._cpu_s = 0.0

    @property
    def name(self) -> str:
        return self._workload.name

    def contiguous(self, index: int, least_s: float) -> Window:
        """Do passes without a break, between two readings of the meter."""
        self._workload.touch()
        before = read_throttling()
        self._recorder.begin()
        begin_s = self._recorder.now_s()
        # Not so many passes as seem enough: how long one takes may change meanwhile.
        while not self._items or self._recorder.now_s() - begin_s < least_s:
            self._run(0, self._workload.items_per_pass)
        energy = self._recorder.end()
        faults = throttling_between(before, read_throttling())
        return self.record(index, replace(energy, energy=_spoilt(energy.energy, faults)))

    def turn(self, turn: int, turns: int) -> None:
        """Do the part of a pass that is one turn's."""
        size = self._workload.items_per_pass
        begin, end = (size * part // turns for part in (turn, turn + 1))
        if begin < end:
            self._workload.touch()
            self._run(begin, end)

    def record(self, index: int, energy: WindowEnergy) -> Window:
        return Window(
            workload=self.name,
            round=index,
            items=self._items,
            wall_s=self._wall_s,
            cpu_s=self._cpu_s,
            energy=energy,
        )

    def _run(self, begin: int, end: int) -> None:
        """Work off items of one pass."""
        meter_s, cpu_s, wall_s = self._recorder.cpu_s, self._cpu_time_s(), time.perf_counter()
        if begin == 0:
            self._workload.begin_pass()
        self._workload.run(begin, end)
        self._wall_s += time.perf_counter() - wall_s
        self._cpu_s += self._cpu_time_s() - cpu_s - (self._recorder.cpu_s - meter_s)
        self._items += end - begin


def _spoilt(energy: Quantity, faults: tuple[str, ...]) -> Quantity:
    """Return the energy, not valid if something speaks against it."""
    if not faults:
        return energy
    reason = "; ".join((energy.reason, *faults) if energy.reason else faults)
    return Quantity(value=energy.value, unit=energy.unit, valid=False, reason=reason)
