"""Checks the INA3221 reader in real time against a simulated sensor whose energy is known.

    python -m edge.energy.sensor_check [--zeus PYTHON] [--windows N]

``--zeus`` names a Python interpreter that has zeus (https://ml.energy/zeus); its Jetson backend
then measures the very same windows. The table shows errors against what the sensor showed.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import numpy as np

from edge.energy.ina3221 import Ina3221, find_rails
from edge.energy.recorder import EnergyRecorder, WindowEnergy
from edge.energy.simulation import Ramp, SimulatedIna3221, SquareWave, Waveform

DURATIONS_S = (0.5, 1.0, 3.0, 10.0)

#: Power of the work whose beginning and end are those of the window, and around it.
WORK_W, IDLE_W = 6.0, 2.0

WAVEFORMS: dict[str, Waveform | None] = {
    "work from edge to edge": None,
    "square wave of 1.7 s": SquareWave(low_w=2.0, high_w=6.0, period_s=1.7),
    "ramp of 3 s": Ramp(low_w=1.5, high_w=8.0, period_s=3.0),
}

_CONVERSION_S = 0.002

#: Runs under the other interpreter: measures windows by zeus's Jetson backend, whose look-up of the
#: sensor's files cannot be turned to another folder.
_ZEUS = """
import json, multiprocessing, sys, time
from pathlib import Path
from zeus.device.soc import jetson

class Simulated(jetson.Jetson):
    def __init__(self, power_file):
        self.measurement_states, self.available_metrics = {}, None
        self.power_measurement = {"total_power_mw": jetson.DirectPower(power_file)}
        spawn = multiprocessing.get_context("spawn")
        self.command_queue, self.result_queue = spawn.Queue(), spawn.Queue()
        arguments = (self.command_queue, self.result_queue, self.power_measurement)
        poll = jetson._polling_process_async_wrapper
        self.process = spawn.Process(target=poll, args=arguments, daemon=True)
        self.process.start()

def cpu_s(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100.0

if __name__ == "__main__":
    soc = Simulated(Path(sys.argv[1]))
    soc.get_total_energy_consumption(60.0)
    for line in sys.stdin:
        word = line.strip()
        if word == "begin":
            soc.begin_window("window")
            answer = None
        elif word == "end":
            answer = soc.end_window("window").total_energy_mj / 1e3
        else:
            answer = [cpu_s(soc.process.pid), time.monotonic()]
        print(json.dumps(answer), flush=True)
    soc.process.kill()
"""


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


class Zeus:
    """Zeus in a process of its own, asked line by line."""

    def __init__(self, interpreter: str, root: Path, power_file: Path) -> None:
        """Start it on the simulated sensor's file; its script is put into `root`."""
        script = root / "zeus_windows.py"
        script.write_text(_ZEUS)
        self._process = subprocess.Popen(
            [interpreter, str(script), str(power_file)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.ask("cpu")

    def ask(self, word: str) -> Any:
        """Send a word and return the answer."""
        process = self._process
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("zeus has no pipes")
        process.stdin.write(f"{word}\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline())

    def close(self) -> None:
        """End it."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait(60.0)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure all waveforms and write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--zeus", metavar="PYTHON", help="an interpreter that has zeus")
    parser.add_argument("--windows", type=int, default=6, help="of each kind")
    flags = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        sensor = SimulatedIna3221(Path(folder), "iio")
        sensor.show(IDLE_W)
        meter = Ina3221(find_rails(Path(folder))[0])
        zeus = Zeus(flags.zeus, Path(folder), sensor.power_file) if flags.zeus else None
        _write(_measure_all(sensor, Path(folder), meter, zeus, flags.windows))
        if zeus is not None:
            zeus.close()
    return 0


def _measure_all(
    sensor: SimulatedIna3221, root: Path, meter: Ina3221, zeus: Zeus | None, count: int
) -> Iterator[str]:
    """Yield the lines of the table."""
    yield "| power | window s | n | error %, median (range) | trusted | zeus: error % |"
    yield "|---|---|---|---|---|---|"
    reasons: list[str] = []
    with EnergyRecorder(meter) as recorder:
        begin_s, zeus_begin = time.monotonic(), None if zeus is None else zeus.ask("cpu")
        for name, waveform in WAVEFORMS.items():
            if waveform is None:
                windows, shown = _measure_work(sensor, recorder, zeus, count)
            else:
                windows, shown = _measure_played(root, waveform, recorder, zeus, count)
            yield from _rows(name, windows, shown)
            reasons += (
                measured.window.energy.reason
                for measured in windows
                if measured.nominal_s >= recorder.least_window_s
            )
        share = recorder.cpu_s / (time.monotonic() - begin_s)
        yield ""
        yield from (f"not trusted: {reason}" for reason in reasons if reason)
        yield f"cost of sampling: {100 * share:.2f} % of a core"
        if zeus is not None and zeus_begin is not None:
            cpu_s, now_s = zeus.ask("cpu")
            share = (cpu_s - zeus_begin[0]) / (now_s - zeus_begin[1])
            yield f"cost of zeus's polling process: {100 * share:.2f} % of a core"


def _measure_work(
    sensor: SimulatedIna3221, recorder: EnergyRecorder, zeus: Zeus | None, count: int
) -> tuple[list[MeasuredWindow], Shown]:
    """Measure windows whose power rises and falls at their edges."""
    shown = Shown()

    def show(power_w: float) -> None:
        sensor.show(power_w)
        shown.add(time.monotonic(), power_w)

    show(IDLE_W)
    windows = [
        _measure(duration_s, recorder, zeus, at_edge=show)
        for duration_s in DURATIONS_S
        for _ in range(count)
    ]
    return windows, shown


def _measure_played(
    root: Path, waveform: Waveform, recorder: EnergyRecorder, zeus: Zeus | None, count: int
) -> tuple[list[MeasuredWindow], Shown]:
    """Measure windows while another process plays a waveform."""
    spawn = multiprocessing.get_context("spawn")
    stop, results = spawn.Event(), spawn.Queue()
    player = spawn.Process(target=_play, args=(root, waveform, stop, results), daemon=True)
    player.start()
    results.get()  # it plays
    windows = [
        _measure(duration_s, recorder, zeus) for duration_s in DURATIONS_S for _ in range(count)
    ]
    stop.set()
    shown: Shown = results.get()
    player.join()
    return windows, shown


def _measure(
    duration_s: float,
    recorder: EnergyRecorder,
    zeus: Zeus | None,
    at_edge: Callable[[float], None] = lambda power_w: None,
) -> MeasuredWindow:
    """Measure one window by both, at a random moment."""
    time.sleep(random.uniform(0.2, 0.7))  # noqa: S311 - a phase, not a secret
    if zeus is not None:
        zeus.ask("begin")
    begin_s = time.monotonic()
    recorder.begin()
    at_edge(WORK_W)
    time.sleep(duration_s)
    window = recorder.end()
    end_s = time.monotonic()
    zeus_j = None if zeus is None else zeus.ask("end")
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


def _rows(name: str, windows: Sequence[MeasuredWindow], shown: Shown) -> Iterator[str]:
    """Yield a row for each duration."""
    for duration_s in DURATIONS_S:
        of = [window for window in windows if window.nominal_s == duration_s]
        ours, zeus = [], []
        for measured in of:
            window, energy_j = measured.window, measured.window.energy.value
            if energy_j is not None:
                truth_j = shown.energy_j(window.begin_s, window.begin_s + window.duration_s)
                ours.append(energy_j / truth_j - 1.0)
            if measured.zeus_j is not None:
                zeus.append(
                    measured.zeus_j / shown.energy_j(measured.begin_s, measured.end_s) - 1.0
                )
        trusted = sum(measured.window.energy.valid for measured in of)
        cells = (name, f"{duration_s:g}", str(len(of)), _spread(ours), f"{trusted} of {len(of)}")
        yield f"| {' | '.join((*cells, _spread(zeus)))} |"


def _spread(errors: Sequence[float]) -> str:
    if not errors:
        return "-"
    median, least, most = (100.0 * f(errors) for f in (statistics.median, min, max))
    return f"{median:+.2f} ({least:+.2f} to {most:+.2f})"


def _write(lines: Iterator[str]) -> None:
    for line in lines:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
