"""Time as the energy meters see it, so that ten seconds can pass at once in a test."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import Protocol


class Repetition(Protocol):
    """Something that is done again and again."""

    @property
    def cpu_s(self) -> float:
        """CPU time that it took so far, the waking up included."""

    def stop(self) -> None:
        """End it; when this returns, it is not running and will not run again."""


class Clock(Protocol):
    """A monotonic clock."""

    def now_s(self) -> float:
        """Return seconds since some moment; never goes back."""

    def sleep(self, duration_s: float) -> None:
        """Wait."""

    def every(self, period_s: float, action: Callable[[], None]) -> Repetition:
        """Do something again and again, first after one period; it must not raise."""


class SystemClock:
    """The machine's monotonic clock; repetitions run in a thread of their own.

    A thread and not a process: reading a sensor waits in the kernel and ONNX Runtime computes
    without the interpreter's lock, so neither holds the other up, and its CPU time is known
    exactly and can be subtracted.
    """

    def now_s(self) -> float:
        """Return seconds since some moment; never goes back."""
        return time.monotonic()

    def sleep(self, duration_s: float) -> None:
        """Wait."""
        time.sleep(duration_s)

    def every(self, period_s: float, action: Callable[[], None]) -> Repetition:
        """Do something again and again, first after one period; it must not raise."""
        return _Thread(period_s, action)


class _Thread:
    """A repetition near a fixed grid; what comes too late is left out, not made up for.

    Each comes up to a quarter of a period off the grid, so that bursts in step with the grid are
    seen as often as they are there, not always or never.
    """

    def __init__(self, period_s: float, action: Callable[[], None]) -> None:
        self._period_s, self._action = period_s, action
        self._cpu_s = 0.0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="meter", daemon=True)
        self._thread.start()

    @property
    def cpu_s(self) -> float:
        return self._cpu_s

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        begin_s = time.monotonic()
        due = 1
        while not self._stopped.wait(
            max(begin_s + (due + _dither()) * self._period_s - time.monotonic(), 0.0)
        ):
            self._action()
            self._cpu_s = time.thread_time()
            due = max(due + 1, int((time.monotonic() - begin_s) / self._period_s) + 1)


def _dither() -> float:
    """Return a share of a period by which a repetition comes off its grid."""
    return random.uniform(-0.25, 0.25)  # noqa: S311 - no secret
