"""Zeus (https://ml.energy/zeus) as a meter of the simulated sensor, in another interpreter."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

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
