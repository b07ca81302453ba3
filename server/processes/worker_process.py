"""A worker as its supervisor sees it: a place, and the process that fills it at the moment."""

from __future__ import annotations

import logging
import math
import multiprocessing
import signal
import time
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess

from server.counter_file import gauges_path, remove_counters
from server.processes.assignment import AppFactory, Assignment
from server.processes.restart_policy import RestartPolicy
from server.processes.worker import FAILED, SERVING, run_worker
from server.processes.worker_status import remove_status

_log = logging.getLogger(__name__)

_spawn = multiprocessing.get_context("spawn")

#: A process without any sign of life for so long after its start is killed: on a machine without
#: free memory or processors, importing its libraries may take minutes.
_START_S = 300.0


class WorkerProcess:
    """Starts, watches and replaces the process of one place. All times: `time.monotonic`'s."""

    def __init__(
        self, assignment: Assignment, factory: AppFactory, policy: RestartPolicy, hang_s: float
    ) -> None:
        """Describe a worker; nothing is started.

        Args:
            assignment: Its place.
            factory: Makes its application.
            policy: When it is replaced.
            hang_s: A process without a sign of life for so long since the last one is killed.
        """
        self._assignment = assignment
        self._factory = factory
        self._policy = policy
        self._hang_s = hang_s
        self._process: SpawnProcess | None = None
        self._messages: Connection | None = None
        self._started_s = 0.0
        self._silent_until_s = 0.0
        self._start_at_s = 0.0
        #: Whether a process of this place ever accepted connections.
        self.has_served = False
        #: Why the last one could not begin, in its own words; None if it did not say.
        self.failure: str | None = None

    @property
    def name(self) -> str:
        """How messages call it."""
        return f"worker-{self._assignment.slot}"

    @property
    def alive(self) -> bool:
        """Whether there is a process."""
        return self._process is not None and self._process.exitcode is None

    def start(self) -> None:
        """Start a process."""
        receiving, sending = _spawn.Pipe(duplex=False)
        process = _spawn.Process(
            target=run_worker, args=(self._assignment, self._factory, sending), name=self.name
        )
        # The process inherits the mask. So ^C in a terminal, which every process there gets, does
        # not interrupt its imports; the supervisor tells it when to stop.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        sending.close()
        self._process, self._messages = process, receiving
        self._started_s = time.monotonic()
        self._silent_until_s = self._started_s + _START_S
        self.failure = None
        _log.info("started %s, process %d", self.name, process.pid)

    def waitables(self) -> list[int | Connection]:
        """Return what is readable when there is something for `look` to find."""
        found: list[int | Connection] = []
        if self._process is not None:
            found.append(self._process.sentinel)
        if self._messages is not None:
            found.append(self._messages)
        return found

    def due_s(self) -> float:
        """Return when to look again if nothing happens."""
        return self._start_at_s if self._process is None else self._silent_until_s

    def look(self) -> int | None:
        """Note what happened: messages, silence, death.

        Returns:
            The exit code of a process that was found dead now; else None.
        """
        self._read_messages()
        process = self._process
        if process is None:
            return None
        if process.exitcode is not None:
            self._bury(process)
            return process.exitcode
        if time.monotonic() > self._silent_until_s:
            _log.error(
                "%s, process %d, gives no sign of life and is killed", self.name, process.pid
            )
            process.kill()
            # Its end will wake the supervisor; until then there is nothing to wait for.
            self._silent_until_s = math.inf
        return None

    def start_if_due(self) -> None:
        """Start a replacement if it is time."""
        if self._process is None and time.monotonic() >= self._start_at_s:
            self.start()

    def terminate(self) -> None:
        """Ask the process to finish what it accepted and to end."""
        if self.alive and self._process is not None:
            self._process.terminate()

    def kill(self) -> None:
        """End the process at once."""
        if self._process is not None:
            self._process.kill()
            self._process.join()

    def _read_messages(self) -> None:
        while self._messages is not None:
            try:
                if not self._messages.poll():
                    return
                message = self._messages.recv_bytes()
            except (EOFError, OSError):
                self._messages.close()
                self._messages = None
                return
            self._silent_until_s = time.monotonic() + self._hang_s
            if message == SERVING:
                self.has_served = True
            elif message.startswith(FAILED):
                self.failure = message.removeprefix(FAILED).decode()

    def _bury(self, process: SpawnProcess) -> None:
        process.join()
        self._read_messages()  # its last words
        if self._messages is not None:
            self._messages.close()
        self._process = self._messages = None
        remove_status(self._assignment.folder, self._assignment.slot)
        # What it counted stays; what it had in its queues at the moment is gone.
        remove_counters(gauges_path(self._assignment.folder.metrics, self._assignment.slot))
        now_s = time.monotonic()
        self._start_at_s = now_s + self._policy.delay_s(now_s - self._started_s)
