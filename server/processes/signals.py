"""Signals that a process waits for together with everything else."""

from __future__ import annotations

import signal
import socket
from types import FrameType, TracebackType
from typing import Any, Self

_STOP = (signal.SIGTERM, signal.SIGINT)


class StopSignals:
    """Collects SIGTERM and SIGINT, as long as its ``with`` block lasts. For the main thread only.

    Attributes:
        received: What came so far, in order.
    """

    def __init__(self) -> None:
        self.received: list[int] = []
        self._reading, self._writing = socket.socketpair()
        self._before: dict[int, Any] = {}
        self._wakeup_before = -1

    def __enter__(self) -> Self:
        self._reading.setblocking(False)
        self._writing.setblocking(False)
        self._before = {number: signal.signal(number, self._note) for number in _STOP}
        self._wakeup_before = signal.set_wakeup_fd(
            self._writing.fileno(), warn_on_full_buffer=False
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        signal.set_wakeup_fd(self._wakeup_before)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._reading.close()
        self._writing.close()

    def fileno(self) -> int:
        """Become readable with a signal, so that `multiprocessing.connection.wait` ends."""
        return self._reading.fileno()

    def heard(self) -> None:
        """Wait for the next signal, not for the last one again."""
        try:
            while self._reading.recv(64):
                pass
        except BlockingIOError:
            return

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self.received.append(number)
