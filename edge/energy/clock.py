"""Time as the energy meters see it, so that ten seconds can pass at once in a test."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable


class Clock:
    """The machine's monotonic clock."""

    def now_s(self) -> float:
        """Return seconds since some moment; never goes back."""
        return time.monotonic()

    def every(self, period_s: float, action: Callable[[], None]) -> Repetition:
        """Do something again and again, first after one period; it must not raise."""
        return Repetition(period_s, action)


MACHINE_CLOCK = Clock()


class Repetition:
    """Something that is done again and again near a fixed grid, in a thread of its own.

    A thread and not a process: reading a sensor waits in the kernel and ONNX Runtime computes
    without the interpreter's lock, so neither holds the other up, and its CPU time is known
    exactly and can be subtracted.

    What comes too late is left out, not made up for. Each comes up to a quarter of a period off the
    grid, so that bursts in step with the grid are seen as often as they are there, not always or
    never.

    Attributes:
        cpu_s: CPU time that it took so far, the waking up included.
    """

    def __init__(self, period_s: float, action: Callable[[], None]) -> None:
        """Begin."""
        self._period_s, self._action = period_s, action
        self.cpu_s = 0.0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="meter", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End it; when this returns, it is not running and will not run again."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        begin_s = time.monotonic()
        due = 1
        while True:
            off = random.uniform(-0.25, 0.25)  # noqa: S311 - no secret
            wait_s = begin_s + (due + off) * self._period_s - time.monotonic()
            if self._stopped.wait(max(wait_s, 0.0)):
                return
            self._action()
            self.cpu_s = time.thread_time()
            due = max(due + 1, int((time.monotonic() - begin_s) / self._period_s) + 1)
