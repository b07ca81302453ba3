"""Wall time, and the CPU time of another process."""

from __future__ import annotations

import os
import time
from pathlib import Path


def cpu_s(process_id: int) -> float:
    """Return the CPU time that a process of this machine has used so far."""
    fields = Path(f"/proc/{process_id}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Stopwatch:
    """Wall time since it was made, and the CPU time of a process since then."""

    def __init__(self, process_id: int) -> None:
        self._process_id = process_id
        self._begin_s, self._begin_cpu_s = time.monotonic(), cpu_s(process_id)

    def read(self) -> tuple[float, float]:
        """Return both in seconds."""
        return time.monotonic() - self._begin_s, cpu_s(self._process_id) - self._begin_cpu_s
