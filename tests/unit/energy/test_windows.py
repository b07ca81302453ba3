"""Rounds of windows: order, turns, whole passes, and what is counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edge.energy.ina3221 import find_ina3221
from edge.energy.meter import NoMeter
from edge.energy.quantity import Quantity, measured, nothing
from edge.energy.recorder import EnergyRecorder
from edge.energy.windows import RoundSettings, measure_round
from tests.simulated_sensor import SquareWave

Event = tuple[str, str | tuple[int, int]]


class Recorded:
    """A workload that writes down what is done to it, and lets simulated time pass."""

    def __init__(self, name: str, items: int, events: list[Event], clock: Any = None) -> None:
        self.name, self.items_per_pass = name, items
        self._events, self._clock = events, clock

    def touch(self) -> None:
        self._events.append((self.name, "touch"))

    def begin_pass(self) -> None:
        self._events.append((self.name, "begin"))

    def run(self, begin: int, end: int) -> None:
        self._events.append((self.name, (begin, end)))
        if self._clock is not None:
            self._clock.sleep(0.5 * (end - begin))


def without_meter() -> EnergyRecorder:
    return EnergyRecorder(NoMeter(name="none", reason="no meter"))


def test_without_a_meter_the_workloads_take_turns() -> None:
    events: list[Event] = []
    workloads = [Recorded(name, 4, events) for name in "ab"]
    measure_round(workloads, without_meter(), RoundSettings(turns=2))
    assert [event for event in events if event[1] != "touch"] == [
        ("a", "begin"), ("a", (0, 2)), ("b", "begin"), ("b", (0, 2)), ("a", (2, 4)), ("b", (2, 4)),
    ]  # fmt: skip


def test_every_turn_begins_with_a_touch_that_is_not_counted() -> None:
    events: list[Event] = []
    workloads = [Recorded(name, 4, events) for name in "ab"]
    ticks = iter(range(100))
    settings = RoundSettings(turns=2, cpu_time_s=lambda: float(next(ticks)))
    windows = measure_round(workloads, without_meter(), settings)
    assert events.count(("a", "touch")) == 2
    # Two readings of the clock per turn, one tick apart.
    assert [window.cpu_s for window in windows] == [2.0, 2.0]


def test_every_second_round_goes_the_other_way() -> None:
    events: list[Event] = []
    workloads = [Recorded(name, 1, events) for name in "abc"]
    for index in range(3):
        windows = measure_round(workloads, without_meter(), index=index)
        assert [window.workload for window in windows] == ["a", "b", "c"]
        assert {window.round for window in windows} == {index}
    assert "".join(name for name, what in events if what == "begin") == "abccbaabc"


def test_more_turns_than_items_leave_no_empty_turn() -> None:
    events: list[Event] = []
    (window,) = measure_round([Recorded("a", 2, events)], without_meter(), RoundSettings(turns=7))
    assert [what for _, what in events if what != "touch"] == ["begin", (0, 1), (1, 2)]
    assert window.items == 2


def test_without_a_meter_a_window_has_no_joules() -> None:
    (window,) = measure_round([Recorded("a", 2, [])], without_meter())
    assert window.energy.energy == nothing("J", "no meter")


def test_with_a_meter_a_window_is_whole_passes_without_a_break(
    play: Any, clock: Any, tmp_path: Path
) -> None:
    """Were it cut into turns, its joules would be those of all that took turns."""
    waveform = SquareWave(low_w=2.0, high_w=6.0, period_s=1.7)
    play("iio", waveform)
    events: list[Event] = []
    workloads = [Recorded("a", 9, events, clock), Recorded("b", 24, events, clock)]
    with EnergyRecorder(find_ina3221(tmp_path), clock=clock) as recorder:
        begin_s = clock.now_s()
        windows = measure_round(workloads, recorder, RoundSettings(turns=5, least_s=10.0))
    # Passes of 4.5 and of 12 s, until 10 s are over.
    assert [(name, what) for name, what in events if what != "touch"] == [
        *[("a", "begin"), ("a", (0, 9))] * 3, ("b", "begin"), ("b", (0, 24)),
    ]  # fmt: skip
    for window, (begin, end) in zip(windows, ((0.0, 13.5), (13.5, 25.5)), strict=True):
        truth_j = waveform.energy_j(begin_s + begin, begin_s + end)
        assert window.energy.energy.valid, window.energy.energy.reason
        assert window.energy.energy.value == pytest.approx(truth_j, rel=0.01)
        assert window.energy.duration_s == pytest.approx(end - begin)
        assert window.items == 2 * (end - begin)


def test_a_quantity_cannot_hide_that_it_is_absent_or_doubtful() -> None:
    assert nothing("J", "why") == Quantity(value=None, unit="J", valid=False, reason="why")
    assert not measured(3.0, "J", faults=("a", "b")).valid
    for value, valid, reason in ((None, True, ""), (1.0, True, "why"), (1.0, False, "")):
        with pytest.raises(ValueError, match="a quantity is valid with a value"):
            Quantity(value=value, unit="J", valid=valid, reason=reason)
