"""Wall time, and the CPU time of another process."""

from __future__ import annotations

import time

from server.bench.running import processor_s


class Stopwatch:
    """Wall time since it was made, and the CPU time of a process since then."""

    def __init__(self, process_id: int) -> None:
        self._process_id = process_id
        self._begin_s, self._begin_cpu_s = time.monotonic(), processor_s(process_id)

    def read(self) -> tuple[float, float]:
        """Return both in seconds."""
        return time.monotonic() - self._begin_s, processor_s(self._process_id) - self._begin_cpu_s
