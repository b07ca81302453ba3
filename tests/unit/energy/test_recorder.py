"""Windows of energy against a sensor whose truth is known, and every fault that spoils one."""

from __future__ import annotations

import statistics
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge.energy.clock import Clock, Repetition
from edge.energy.ina3221 import find_ina3221
from edge.energy.meter import NoMeter
from edge.energy.recorder import EnergyRecorder, WindowEnergy, WindowRules
from tests.simulated_sensor import (
    STEP_W,
    Layout,
    Ramp,
    SimulatedIna3221,
    SquareWave,
    Waveform,
)

LAYOUTS: tuple[Layout, ...] = ("iio", "hwmon")

WAVEFORMS: dict[str, Waveform] = {
    "square wave of 1.3 s": SquareWave(low_w=2.0, high_w=6.0, period_s=1.3),
    "short bursts": SquareWave(low_w=2.5, high_w=7.5, period_s=0.5237, duty=0.3),
    "one step within the window": SquareWave(low_w=2.0, high_w=6.0, period_s=1e4, duty=0.1004),
    "ramp": Ramp(low_w=1.5, high_w=8.0, period_s=7.0),
    "steep ramp": Ramp(low_w=1.0, high_w=10.0, period_s=0.5117),
}


def measure(folder: Path, clock: Any, duration_s: float) -> tuple[WindowEnergy, float, float]:
    """Return one window with the times of its edges."""
    with EnergyRecorder(find_ina3221(folder), clock=clock) as recorder:
        clock.sleep(0.7531)
        recorder.begin()
        begin_s = clock.now_s()
        clock.sleep(duration_s)
        return recorder.end(), begin_s, clock.now_s()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", WAVEFORMS)
def test_ten_seconds_are_right_within_one_percent(
    layout: Layout, shape: str, play: Any, clock: Any, tmp_path: Path
) -> None:
    waveform = WAVEFORMS[shape]
    play(layout, waveform)
    window, begin_s, end_s = measure(tmp_path, clock, 10.0)
    truth_j = waveform.energy_j(begin_s, end_s)
    assert window.energy.valid, window.energy.reason
    assert window.energy.unit == "J"
    assert window.energy.value == pytest.approx(truth_j, rel=0.01)
    assert window.duration_s == pytest.approx(10.0)
    assert window.samples > 400
    assert window.max_gap_s is not None
    assert 0.02 < window.max_gap_s < 0.05


def test_the_bound_is_half_a_step_of_the_converter_over_the_whole_window(
    play: Any, clock: Any, tmp_path: Path
) -> None:
    play("hwmon", WAVEFORMS["ramp"])
    window, _, _ = measure(tmp_path, clock, 10.0)
    assert window.bound.value == pytest.approx(STEP_W * 10.0 / 2.0)


def test_without_a_known_step_the_smallest_one_that_was_seen_counts(
    play: Any, clock: Any, tmp_path: Path
) -> None:
    play("iio", WAVEFORMS["ramp"])
    window, _, _ = measure(tmp_path, clock, 10.0)
    assert window.bound.value == pytest.approx(STEP_W * 10.0 / 2.0)


def test_the_uncertainty_of_the_moments_is_that_of_repeated_windows(
    play: Any, clock: Any, tmp_path: Path
) -> None:
    """Windows at random phases scatter about the truth as much as each of them says."""
    waveform = SquareWave(low_w=2.0, high_w=6.0, period_s=1.37)
    play("iio", waveform)
    errors_j, said_j = [], []
    with EnergyRecorder(find_ina3221(tmp_path), clock=clock) as recorder:
        for _ in range(12):
            clock.sleep(0.123)
            recorder.begin()
            begin_s = clock.now_s()
            clock.sleep(10.0)
            window = recorder.end()
            errors_j.append(
                (window.energy.value or 0.0) - waveform.energy_j(begin_s, clock.now_s())
            )
            said_j.append(window.timing.value or 0.0)
    assert max(said_j) < 0.01 * 40.0
    assert 0.3 < statistics.pstdev(errors_j) / statistics.mean(said_j) < 3.0


@pytest.mark.parametrize("duty", [0.02, 0.05, 0.1, 0.3])
@pytest.mark.parametrize("period_s", [0.0537, 0.1, 0.113, 0.3071])
def test_bursts_are_within_the_uncertainty_or_the_window_is_not_valid(
    play: Any, clock: Any, tmp_path: Path, period_s: float, duty: float
) -> None:
    waveform = SquareWave(low_w=2.0, high_w=8.0, period_s=period_s, duty=duty)
    play("iio", waveform)
    window, begin_s, end_s = measure(tmp_path, clock, 10.0)
    error_j = abs((window.energy.value or 0.0) - waveform.energy_j(begin_s, end_s))
    stated_j = (window.timing.value or 0.0) + (window.bound.value or 0.0)
    assert not window.energy.valid or error_j <= stated_j


def test_readings_too_far_apart_for_what_the_power_does_are_not_trusted(
    play: Any, tmp_path: Path, measured: Any
) -> None:
    play("iio", SquareWave(low_w=1.0, high_w=15.0, period_s=0.6, duty=0.1))
    meter = find_ina3221(tmp_path)
    window = measured(meter, 11.0, period_s=0.1)
    assert not window.energy.valid
    assert "too far apart where the power changes" in window.energy.reason


def test_nothing_is_carried_from_one_window_into_the_next(
    play: Any, clock: Any, tmp_path: Path
) -> None:
    waveform = SquareWave(low_w=2.0, high_w=6.0, period_s=40.0)
    play("iio", waveform)
    with EnergyRecorder(find_ina3221(tmp_path), clock=clock) as recorder:
        for _ in range(6):
            recorder.begin()
            begin_s = clock.now_s()
            clock.sleep(11.0)
            window = recorder.end()
            truth_j = waveform.energy_j(begin_s, clock.now_s())
            assert window.energy.value == pytest.approx(truth_j, rel=0.01)


def test_a_stuck_sensor_is_found(play: Any, clock: Any, tmp_path: Path) -> None:
    play("iio", SquareWave(low_w=4.0, high_w=4.0, period_s=1.0))
    window, _, _ = measure(tmp_path, clock, 10.0)
    assert window.distinct_values == 1
    assert not window.energy.valid
    assert "never changed" in window.energy.reason
    assert window.energy.value == pytest.approx(40.0)  # kept, to be looked at
    assert not window.bound.valid


@pytest.mark.parametrize(
    ("duration_s", "rules", "expected"),
    [
        (3.0, WindowRules(), "the window is 3.000 s, expected at least 10 s"),
        (10.0, WindowRules(least_periods=1000.0), "expected at least 20 s"),
    ],
)
def test_a_short_window_is_not_trusted(
    duration_s: float, rules: WindowRules, expected: str, play: Any, tmp_path: Path, measured: Any
) -> None:
    play("iio", WAVEFORMS["ramp"])
    window = measured(find_ina3221(tmp_path), duration_s, rules=rules)
    assert not window.energy.valid
    assert expected in window.energy.reason


def test_the_least_window_counts_periods_of_a_slow_sensor(
    play: Any, clock: Any, tmp_path: Path
) -> None:
    sensor = play("hwmon", WAVEFORMS["ramp"])
    (sensor.folder / "update_interval").write_text("300\n")
    recorder = EnergyRecorder(find_ina3221(tmp_path), clock=clock)
    assert recorder.sensor_period_s == pytest.approx(0.3)
    assert recorder.least_window_s == pytest.approx(30.0)


def test_a_gap_in_the_readings_is_found(play: Any, clock: Any, tmp_path: Path) -> None:
    play("iio", WAVEFORMS["ramp"])
    with EnergyRecorder(find_ina3221(tmp_path), clock=clock) as recorder:
        recorder.begin()
        clock.sleep(6.0)
        clock.stand_still(0.5)
        clock.sleep(6.0)
        window = recorder.end()
    assert window.max_gap_s == pytest.approx(0.5, abs=0.04)
    assert not window.energy.valid
    assert "no reading for 0.5" in window.energy.reason


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_sensor_that_fails_meanwhile_spoils_the_window(
    layout: Layout, play: Any, clock: Any, tmp_path: Path
) -> None:
    sensor = play(layout, WAVEFORMS["ramp"])
    meter = find_ina3221(tmp_path)
    clock.forget_repetitions()  # the sensor stands still, the file is not written again
    sensor.show(4.0)
    hidden = sensor.folder / "hidden"
    with EnergyRecorder(meter, clock=clock) as recorder:
        recorder.begin()
        clock.sleep(8.0)
        sensor.power_file.rename(hidden)
        clock.sleep(1.0)
        hidden.rename(sensor.power_file)
        clock.sleep(3.0)
        window = recorder.end()
    assert 48 <= window.failed_reads <= 51
    assert not window.energy.valid
    assert f"cannot read {sensor.power_file}: No such file" in window.energy.reason


def test_a_sensor_that_never_answers_again_leaves_no_joules(
    play: Any, clock: Any, tmp_path: Path, measured: Any
) -> None:
    sensor = play("iio", WAVEFORMS["ramp"])
    meter = find_ina3221(tmp_path)
    clock.forget_repetitions()
    sensor.power_file.unlink()
    window = measured(meter, 10.0)
    assert window.energy.value is None
    assert not window.energy.valid
    assert "readings failed" in window.energy.reason
    assert window.samples == 0


def test_no_meter_is_no_joules_and_never_zero(clock: Any) -> None:
    with EnergyRecorder(NoMeter(name="none", reason="no meter here"), clock=clock) as recorder:
        assert recorder.least_window_s == 0.0
        recorder.begin()
        clock.sleep(2.0)
        window = recorder.end()
    assert window.energy.value is None
    assert window.bound.value is None
    assert window.energy.reason == "no meter here"
    assert window.duration_s == pytest.approx(2.0)


def test_the_machines_own_clock_samples_in_the_background(tmp_path: Path) -> None:
    """In real time: the sensor steps while the window is open, and nobody reads it after it."""
    sensor = SimulatedIna3221(tmp_path, "iio")
    sensor.show(3.0)
    meter = SteppingMeter(sensor, find_ina3221(tmp_path))
    rules = WindowRules(least_s=0.0, least_periods=10.0)
    clock = HeldClock()
    with EnergyRecorder(meter, rules=rules, clock=clock, period_s=0.002) as recorder:
        recorder.begin()
        clock.released.set()
        assert meter.enough.wait(180.0)
        window = recorder.end()
        assert recorder.cpu_s > 0.0
        assert window.meter_cpu_s > 0.0
    reads = meter.reads
    # Those that were waited for, and one more at the window's end.
    assert window.samples > SteppingMeter.ENOUGH
    assert window.distinct_values == 2
    assert window.energy.value is not None
    assert 3.0 < window.energy.value / window.duration_s < 5.0
    assert not any(thread.name == "meter" for thread in threading.enumerate())
    assert meter.reads == reads


class HeldClock(Clock):
    """The machine's clock, whose repetitions do nothing before they are released.

    Else a busy machine's meter would read before the window begins.
    """

    def __init__(self) -> None:
        self.released = threading.Event()

    def every(self, period_s: float, action: Callable[[], None]) -> Repetition:
        return super().every(period_s, lambda: action() if self.released.is_set() else None)


class SteppingMeter:
    """A reader whose sensor goes from 3 to 5 W after some readings."""

    STEP_AFTER, ENOUGH = 12, 25

    def __init__(self, sensor: SimulatedIna3221, meter: Any) -> None:
        self._sensor, self._meter, self.info = sensor, meter, meter.info
        self.reads = 0
        self.enough = threading.Event()

    def read(self) -> float:
        self.reads += 1
        if self.reads == self.STEP_AFTER:
            self._sensor.show(5.0)
        if self.reads == self.ENOUGH:
            self.enough.set()
        return self._meter.read()

    def close(self) -> None:
        self._meter.close()
