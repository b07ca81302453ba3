"""Starts the workers of one server, replaces those that die, and ends them in good order."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import wait

from bicameral.errors import MachineError
from edge.energy.discovery import find_meter
from server.logs import LogSettings
from server.processes.assignment import AppFactory, Assignment
from server.processes.energy import EnergySampling
from server.processes.ports import reserve_port
from server.processes.restart_policy import RestartPolicy
from server.processes.run_folder import RunFolder, temporary_run_folder
from server.processes.signals import StopSignals
from server.processes.worker_process import WorkerProcess

_log = logging.getLogger(__name__)

#: Libraries that would start a thread per processor in every worker.
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OPENCV_FOR_THREADS_NUM")

#: What a worker may need to end beyond the time for its requests.
_EXIT_MARGIN_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisorSettings:
    """What a supervisor keeps running.

    Attributes:
        host: Address to listen on.
        port: TCP port; 0: any free one.
        workers: Number of processes, at least 1.
        drain_s: How long workers wait for accepted requests at the end.
        logs: How all processes log.
        head_timeout_s: How long the head of a request may take to arrive.
        max_message_bytes: Size of a WebSocket's message; a longer one ends its connection.
        hang_s: A worker without a sign of life for so long is killed. Nothing should keep its event
            loop busy for a second, but a machine that is short of memory or processors may.
        meter: The meter of energy, an argument of `edge.energy.discovery.find_meter`.
    """

    host: str
    port: int
    workers: int
    drain_s: float
    logs: LogSettings
    head_timeout_s: float = 10.0
    max_message_bytes: int = 32 << 20
    hang_s: float = 60.0
    meter: str = "none"


class Supervisor:
    """Runs in the process that was started by hand; serves nothing itself."""

    def __init__(self, settings: SupervisorSettings, factory: AppFactory) -> None:
        """Prepare; nothing is started.

        Args:
            settings: What to keep running.
            factory: Makes the application of each worker, in its process.
        """
        self._settings = settings
        self._factory = factory

    def run(self) -> int:
        """Serve until SIGTERM or SIGINT. For the main thread.

        The first signal makes the workers accept no more connections, finish what they have
        accepted, for at most ``drain_s``, and end. A second one ends everything at once.

        Returns:
            Exit code: 0 after all workers have ended by themselves, 1 if one had to be killed,
            128 + N after a second signal N.

        Raises:
            ConfigError: If the port cannot be had.
            MachineError: If a worker ends before the first one has begun to serve.
            UserError: If there is no such meter.
        """
        settings = self._settings
        meter = find_meter(settings.meter)
        for name in _ONE_THREAD:
            os.environ.setdefault(name, "1")
        with (
            reserve_port(settings.host, settings.port) as reserved,
            temporary_run_folder() as folder,
            StopSignals() as signals,
            EnergySampling(folder.metrics, meter),
        ):
            port = int(reserved.getsockname()[1])
            workers = [self._worker(slot, port, folder) for slot in range(settings.workers)]
            _log.info(
                "process %d starts %d workers on http://%s:%d",
                os.getpid(),
                len(workers),
                settings.host,
                port,
            )
            try:
                self._keep_running(workers, signals)
                return self._drain(workers, signals)
            finally:
                for worker in workers:
                    worker.kill()

    def _worker(self, slot: int, port: int, folder: RunFolder) -> WorkerProcess:
        settings = self._settings
        assignment = Assignment(
            slot=slot,
            workers=settings.workers,
            folder=folder,
            host=settings.host,
            port=port,
            drain_s=settings.drain_s,
            head_timeout_s=settings.head_timeout_s,
            max_message_bytes=settings.max_message_bytes,
            logs=settings.logs,
        )
        return WorkerProcess(assignment, self._factory, RestartPolicy(), settings.hang_s)

    def _keep_running(self, workers: Sequence[WorkerProcess], signals: StopSignals) -> None:
        while not signals.received:
            for worker in workers:
                exit_code = worker.look()
                if exit_code is not None:
                    self._note_death(worker, exit_code, workers)
                worker.start_if_due()
            due_s = min(worker.due_s() for worker in workers)
            _wait(workers, signals, due_s)
        _log.info(
            "%s: no further connections; finishing what was accepted, for at most %g s",
            signal.Signals(signals.received[0]).name,
            self._settings.drain_s,
        )

    def _note_death(
        self, worker: WorkerProcess, exit_code: int, workers: Sequence[WorkerProcess]
    ) -> None:
        if not any(each.has_served for each in workers):
            # It would die again and again of whatever it died of.
            raise MachineError(
                worker.failure
                or f"{worker.name} ended with exit code {exit_code} before it could serve; its log "
                "above should say why"
            )
        _log.error(
            "%s ended with exit code %d%s; it is replaced in %.1f s",
            worker.name,
            exit_code,
            f": {worker.failure}" if worker.failure else "",
            max(0.0, worker.due_s() - time.monotonic()),
        )

    def _drain(self, workers: Sequence[WorkerProcess], signals: StopSignals) -> int:
        for worker in workers:
            worker.terminate()
        give_up_s = time.monotonic() + self._settings.drain_s + _EXIT_MARGIN_S
        while any(worker.alive for worker in workers):
            if len(signals.received) > 1:
                _log.warning("a second signal: the workers are killed")
                return 128 + signals.received[1]
            if time.monotonic() >= give_up_s:
                _log.error("workers that did not end in time are killed")
                return 1
            _wait(workers, signals, give_up_s)
            for worker in workers:
                worker.look()
        return 0


def _wait(workers: Sequence[WorkerProcess], signals: StopSignals, until_s: float) -> None:
    """Wait until something happens to a worker, a signal comes, or it is time."""
    waitables = [waitable for worker in workers for waitable in worker.waitables()]
    timeout_s = None if until_s == float("inf") else max(0.0, until_s - time.monotonic())
    wait([*waitables, signals], timeout_s)  # type: ignore[list-item] # it has a fileno
    signals.heard()
