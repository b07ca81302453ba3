"""The INA3221 reader in real time against a simulated sensor whose energy is known.

Power is played on the files of a Jetson Nano's monitor. `ZEUS_PYTHON` in the environment may name a
Python interpreter that has zeus (https://ml.energy/zeus); its Jetson backend then measures the very
same windows. Errors are against what the sensor showed.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import numpy as np

from bicameral.files import write_text_atomic
from bicameral.tables import DASH, Row, csv_text, print_table, row, table_of
from edge.energy.ina3221 import Ina3221, find_rails
from edge.energy.recorder import EnergyRecorder, WindowEnergy
from studies.simulated_sensor import Ramp, SimulatedIna3221, SquareWave, Waveform
from studies.study import Study
from studies.zeus_meter import Zeus

DURATIONS_S = (0.5, 1.0, 3.0, 10.0)
QUICK_DURATIONS_S = (0.2, 0.4)
WINDOWS = 6

#: Power of the work whose beginning and end are those of the window, and around it.
WORK_W, IDLE_W = 6.0, 2.0

WAVEFORMS: dict[str, Waveform | None] = {
    "work from edge to edge": None,
    "square wave of 1.7 s": SquareWave(low_w=2.0, high_w=6.0, period_s=1.7),
    "ramp of 3 s": Ramp(low_w=1.5, high_w=8.0, period_s=3.0),
}

_CONVERSION_S = 0.002


class Shown:
    """What the sensor showed: a power from each moment on, not yet rounded to its steps.

    It is the truth: on a busy machine the player may be late, which is no fault of the reader.
    """

    def __init__(self) -> None:
        self._times_s: list[float] = []
        self._powers_w: list[float] = []

    def add(self, time_s: float, power_w: float) -> int:
        """Note that the sensor shows another power; return the number of notes."""
        self._times_s.append(time_s)
        self._powers_w.append(power_w)
        return len(self._times_s)

    def energy_j(self, begin_s: float, end_s: float) -> float:
        """Return the energy between two times after the first note."""
        times, powers = np.asarray(self._times_s), np.asarray(self._powers_w)
        within = (times > begin_s) & (times < end_s)
        first = powers[np.searchsorted(times, begin_s, side="right") - 1]
        edges = np.concatenate(([begin_s], times[within], [end_s]))
        return float(np.diff(edges) @ np.concatenate(([first], powers[within])))


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredWindow:
    """One window as both measured it.

    Attributes:
        nominal_s: How long it was to be.
        window: What this reader says, between its readings at the edges.
        begin_s: When zeus had answered that it began; as good as the same moment.
        end_s: When zeus was asked to end.
        zeus_j: What zeus says; None without it.
    """

    nominal_s: float
    window: WindowEnergy
    begin_s: float
    end_s: float
    zeus_j: float | None


def run(folder: Path, quick: bool) -> int:
    """Measure all waveforms; return whether a window of 10 s was off by a percent and trusted."""
    zeus_python = os.environ.get("ZEUS_PYTHON")
    durations_s, count = (QUICK_DURATIONS_S, 1) if quick else (DURATIONS_S, WINDOWS)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        sensor = SimulatedIna3221(root, "iio")
        sensor.show(IDLE_W)
        zeus = Zeus(zeus_python, root, sensor.power_file) if zeus_python else None
        with EnergyRecorder(Ina3221(find_rails(root)[0])) as recorder:
            began_s, zeus_began = time.monotonic(), None if zeus is None else zeus.ask("cpu")
            judged: list[Judged] = []
            for title, waveform in WAVEFORMS.items():
                bench = Bench(recorder, zeus, [t for t in durations_s for _ in range(count)])
                windows, shown = (
                    bench.measure_work(sensor)
                    if waveform is None
                    else bench.measure_played(root, waveform)
                )
                judged += [Judged.of(title, window, shown) for window in windows]
            share = recorder.cpu_s / (time.monotonic() - began_s)
        _report(judged, folder)
        print(f"cost of sampling: {100 * share:.2f} % of a core")
        if zeus is not None and zeus_began is not None:
            cpu_s, now_s = zeus.ask("cpu")
            share = (cpu_s - zeus_began[0]) / (now_s - zeus_began[1])
            print(f"cost of zeus's polling process: {100 * share:.2f} % of a core")
            zeus.close()
    return int(any(one.trusted and abs(one.error or 0.0) > 0.01 for one in judged))


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A window's errors: a row of the data.

    Attributes:
        power: Which waveform.
        nominal_s: How long it was to be.
        error: Of this reader, relative to what was shown; None: it says nothing.
        trusted: Whether this reader says that it can be trusted.
        reason: Why not.
        zeus_error: Of zeus; None without it.
    """

    power: str
    nominal_s: float
    error: float | None
    trusted: bool
    reason: str
    zeus_error: float | None

    @classmethod
    def of(cls, power: str, measured: MeasuredWindow, shown: Shown) -> Judged:
        """Compare a window with what was shown meanwhile."""
        window, energy = measured.window, measured.window.energy
        truth_j = shown.energy_j(window.begin_s, window.begin_s + window.duration_s)
        zeus_truth_j = shown.energy_j(measured.begin_s, measured.end_s)
        return cls(
            power=power,
            nominal_s=measured.nominal_s,
            error=None if energy.value is None else energy.value / truth_j - 1.0,
            trusted=energy.valid,
            reason=energy.reason,
            zeus_error=None if measured.zeus_j is None else measured.zeus_j / zeus_truth_j - 1.0,
        )


def _report(judged: Sequence[Judged], folder: Path) -> None:
    """Print a row for each waveform and duration, and write a row for each window."""
    kinds = dict.fromkeys((one.power, one.nominal_s) for one in judged)
    table = table_of(
        "errors against what the sensor showed, %: median (range)",
        ("power", "window s", "n", "error", "trusted", "zeus: error"),
        [_row([one for one in judged if (one.power, one.nominal_s) == kind]) for kind in kinds],
    )
    print_table(table)
    header = ("power", "nominal_s", "error", "trusted", "reason", "zeus_error")
    rows = [[getattr(one, name) for name in header] for one in judged]
    write_text_atomic(folder / "windows.csv", csv_text(header, rows))


def _row(judged: Sequence[Judged]) -> Row:
    errors = [one.error for one in judged if one.error is not None]
    zeus = [one.zeus_error for one in judged if one.zeus_error is not None]
    trusted = sum(one.trusted for one in judged)
    return row(
        judged[0].power,
        f"{judged[0].nominal_s:g}",
        len(judged),
        _spread(errors),
        f"{trusted} of {len(judged)}",
        _spread(zeus),
    )


def _spread(errors: Sequence[float]) -> str:
    if not errors:
        return DASH
    median, least, most = (100.0 * f(errors) for f in (statistics.median, min, max))
    return f"{median:+.2f} ({least:+.2f} to {most:+.2f})"


@dataclass(frozen=True, slots=True)
class Bench:
    """What measures, and the windows to measure."""

    recorder: EnergyRecorder
    zeus: Zeus | None
    durations_s: Sequence[float]

    def measure_work(self, sensor: SimulatedIna3221) -> tuple[list[MeasuredWindow], Shown]:
        """Measure windows whose power rises and falls at their edges."""
        shown = Shown()

        def show(power_w: float) -> None:
            sensor.show(power_w)
            shown.add(time.monotonic(), power_w)

        show(IDLE_W)
        return [self._measure(duration_s, at_edge=show) for duration_s in self.durations_s], shown

    def measure_played(self, root: Path, waveform: Waveform) -> tuple[list[MeasuredWindow], Shown]:
        """Measure windows while another process plays a waveform."""
        spawn = multiprocessing.get_context("spawn")
        stop, results = spawn.Event(), spawn.Queue()
        player = spawn.Process(target=_play, args=(root, waveform, stop, results), daemon=True)
        player.start()
        results.get()  # it plays
        windows = [self._measure(duration_s) for duration_s in self.durations_s]
        stop.set()
        shown: Shown = results.get()
        player.join()
        return windows, shown

    def _measure(
        self, duration_s: float, at_edge: Callable[[float], None] = lambda power_w: None
    ) -> MeasuredWindow:
        """Measure one window by both, at a random moment."""
        time.sleep(random.uniform(0.2, 0.7))  # noqa: S311 - a phase, not a secret
        if self.zeus is not None:
            self.zeus.ask("begin")
        begin_s = time.monotonic()
        self.recorder.begin()
        at_edge(WORK_W)
        time.sleep(duration_s)
        window = self.recorder.end()
        end_s = time.monotonic()
        zeus_j = None if self.zeus is None else self.zeus.ask("end")
        at_edge(IDLE_W)
        return MeasuredWindow(
            nominal_s=duration_s, window=window, begin_s=begin_s, end_s=end_s, zeus_j=zeus_j
        )


def _play(root: Path, waveform: Waveform, stop: Event, results: Any) -> None:
    """Play until told to stop; then tell what was shown."""
    sensor, shown = SimulatedIna3221(root, "iio"), Shown()
    while not stop.is_set():
        power_w = waveform.power_w(time.monotonic())
        sensor.show(power_w)
        if shown.add(time.monotonic(), power_w) == 1:
            results.put(None)
        stop.wait(_CONVERSION_S)
    results.put(shown)


STUDY = Study(
    claim="Where the INA3221 reader trusts its energy, it is within 1 % of what the sensor showed.",
    setting=(
        f"any Linux machine, {WINDOWS} windows each of {', '.join(f'{t:g}' for t in DURATIONS_S)} s"
        " for three waveforms, seven minutes; random phases, no seed"
    ),
    run=run,
    needs="ZEUS_PYTHON for the comparison with zeus",
)
