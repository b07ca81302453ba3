"""Checks the INA3221 reader in real time against a simulated sensor whose energy is known.

    python -m edge.energy.sensor_check [--zeus PYTHON] [--windows N]

``--zeus`` names a Python interpreter that has zeus (https://ml.energy/zeus); its Jetson backend
then measures the very same windows. The table shows errors against the truth; nothing is written.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

from edge.energy.ina3221 import Ina3221, find_rails
from edge.energy.recorder import EnergyRecorder
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


@dataclass(slots=True, kw_only=True)
class Errors:
    """Relative errors of windows of one duration on one waveform.

    Attributes:
        waveform: Its name.
        duration_s: Nominal duration.
        ours: Of this reader.
        trusted: How many of its windows it called valid.
        zeus: Of zeus; empty without it.
    """

    waveform: str
    duration_s: float
    ours: list[float] = field(default_factory=list)
    trusted: int = 0
    zeus: list[float] = field(default_factory=list)


class Zeus:
    """Zeus in a process of its own, asked line by line."""

    def __init__(self, interpreter: str, power_file: Path) -> None:
        """Start it on the simulated sensor's file."""
        script = Path(tempfile.mkdtemp()) / "zeus_windows.py"
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
        zeus = Zeus(flags.zeus, sensor.power_file) if flags.zeus else None
        _write(_measure_all(sensor, Path(folder), meter, zeus, flags.windows))
        if zeus is not None:
            zeus.close()
    return 0


def _measure_all(
    sensor: SimulatedIna3221, root: Path, meter: Ina3221, zeus: Zeus | None, windows: int
) -> Iterator[str]:
    """Yield the lines of the table."""
    yield "| power | window s | n | error %, median (range) | trusted | zeus: error % |"
    yield "|---|---|---|---|---|---|"
    reasons: dict[str, int] = {}
    with EnergyRecorder(meter) as recorder:
        begin_s, zeus_begin = time.monotonic(), None if zeus is None else zeus.ask("cpu")
        for name, waveform in WAVEFORMS.items():
            with _playing(root, waveform):
                for duration_s in DURATIONS_S:
                    errors = Errors(waveform=name, duration_s=duration_s)
                    for _ in range(windows):
                        reason = _measure(errors, sensor, waveform, recorder, zeus)
                        if duration_s >= recorder.least_window_s and reason:
                            reasons[reason] = reasons.get(reason, 0) + 1
                    yield _row(errors)
        share = recorder.cpu_s / (time.monotonic() - begin_s)
        yield ""
        for reason, count in reasons.items():
            yield f"not trusted: {count} times {reason}"
        yield f"cost of sampling: {100 * share:.2f} % of a core"
        if zeus is not None and zeus_begin is not None:
            cpu_s, now_s = zeus.ask("cpu")
            share = (cpu_s - zeus_begin[0]) / (now_s - zeus_begin[1])
            yield f"cost of zeus's polling process: {100 * share:.2f} % of a core"


def _measure(
    errors: Errors,
    sensor: SimulatedIna3221,
    waveform: Waveform | None,
    recorder: EnergyRecorder,
    zeus: Zeus | None,
) -> str:
    """Measure one window by both, at a random moment; return why ours is not trusted, if so."""
    time.sleep(random.uniform(0.2, 0.7))  # noqa: S311 - a phase, not a secret
    if zeus is not None:
        zeus.ask("begin")
    recorder.begin()
    begin_s = time.monotonic()
    if waveform is None:
        sensor.show(WORK_W)
    time.sleep(errors.duration_s)
    end_s = time.monotonic()
    window = recorder.end()
    if waveform is None:
        sensor.show(IDLE_W)
        truth_j = WORK_W * (end_s - begin_s)
    else:
        truth_j = waveform.energy_j(begin_s, end_s)
    if zeus is not None:
        errors.zeus.append(zeus.ask("end") / truth_j - 1.0)
    errors.ours.append((window.energy.value or 0.0) / truth_j - 1.0)
    errors.trusted += window.energy.valid
    return window.energy.reason


@contextlib.contextmanager
def _playing(root: Path, waveform: Waveform | None) -> Iterator[None]:
    """Let another process play a waveform on the sensor's files."""
    if waveform is None:
        yield
        return
    spawn = multiprocessing.get_context("spawn")
    stop = spawn.Event()
    player = spawn.Process(target=_play, args=(root, waveform, stop), daemon=True)
    player.start()
    time.sleep(2.0)
    yield
    stop.set()
    player.join()


def _play(root: Path, waveform: Waveform, stop: Event) -> None:
    sensor = SimulatedIna3221(root, "iio")
    while not stop.wait(_CONVERSION_S):
        sensor.show(waveform.power_w(time.monotonic()))


def _row(errors: Errors) -> str:
    count = len(errors.ours)
    cells = (
        errors.waveform,
        f"{errors.duration_s:g}",
        str(count),
        _spread(errors.ours),
        f"{errors.trusted} of {count}",
        _spread(errors.zeus) if errors.zeus else "-",
    )
    return f"| {' | '.join(cells)} |"


def _spread(values: Sequence[float]) -> str:
    median, least, most = (100.0 * f(values) for f in (statistics.median, min, max))
    return f"{median:+.2f} ({least:+.2f} to {most:+.2f})"


def _write(lines: Iterator[str]) -> None:
    for line in lines:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
