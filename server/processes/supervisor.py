"""Starts the workers of one server, replaces those that die, and ends them in good order."""

from __future__ import annotations

import logging
import os
import signal
import socket
import time
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING

from uvicorn.supervisors.multiprocess import Multiprocess, Process

from bicameral.errors import MachineError
from edge.energy.discovery import find_meter
from server.limits import ServerSettings, available_processors
from server.processes.listening import listen
from server.processes.run_folder import RunFolder, temporary_run_folder
from server.processes.worker import WorkerConfig

if TYPE_CHECKING:
    from starlette.types import ASGIApp

_log = logging.getLogger(__name__)

#: Libraries that would start a thread per processor in every worker.
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OPENCV_FOR_THREADS_NUM")

#: What a worker may need to end beyond the time for its requests.
_EXIT_MARGIN_S = 5.0

_LOOK_EVERY_S = 0.5

#: Makes the application of one worker. It crosses into the new process, so it is a function of a
#: module, or a `functools.partial` of one.
AppFactory = Callable[[RunFolder], "ASGIApp"]


def run_workers(settings: ServerSettings, factory: AppFactory, *, hang_s: float = 60.0) -> int:
    """Serve until SIGTERM or SIGINT, in the process that was started by hand. For the main thread.

    The first signal makes the workers accept no more connections, finish what they have accepted,
    for at most ``drain_s``, and end. A second one ends everything at once. SIGHUP replaces the
    workers one after the other.

    Args:
        settings: What to keep running.
        factory: Makes the application of each worker, in its process.
        hang_s: A worker whose event loop does nothing for so long, and for ``drain_s``, is
            replaced. Nothing should keep it busy for a second, but a machine that is short of
            memory or processors may.

    Returns:
        Exit code: 0 after all workers have ended by themselves, 1 if one had to be killed,
        128 + N after a second signal N.

    Raises:
        ConfigError: If the port cannot be had.
        MachineError: If a worker ends before the first one has begun to serve.
        UserError: If there is no such meter.
    """
    meter, workers = find_meter(settings.meter), settings.workers or available_processors()
    for name in _ONE_THREAD:
        os.environ.setdefault(name, "1")
    with listen(settings.host, settings.port) as listener, temporary_run_folder() as folder:
        folder.count_there()
        # It imports prometheus-client, which looks by then where to count.
        from server.processes.energy import energy_sampling

        port = int(listener.getsockname()[1])
        _log.info(
            "process %d starts %d workers on http://%s:%d",
            os.getpid(),
            workers,
            settings.host,
            port,
        )
        config = WorkerConfig(factory, folder, settings, workers=workers, hang_s=hang_s)
        with energy_sampling(meter):
            supervisor = _Supervisor(config, [listener])
            supervisor.run()
            return supervisor.exit_code


class _Supervisor(Multiprocess):
    """uvicorn's supervisor, which ends in time, and gives up only if nothing ever worked."""

    config: WorkerConfig

    def __init__(self, config: WorkerConfig, sockets: list[socket.socket]) -> None:
        super().__init__(config, sockets)
        self.exit_code = 0
        self._stops: list[int] = []
        self._pids: set[int] = set()

    def run(self) -> None:
        """Keep the workers running until a signal, then end them."""
        self.init_processes()
        try:
            while not self.should_exit.wait(_LOOK_EVERY_S):
                self.handle_signals()
                self.keep_subprocess_alive()
            for listener in self.sockets:
                listener.close()  # or connections would wait for somebody to accept them
            self.terminate_all()
            self.join_all()
        finally:
            for process in self.processes:
                if process.exitcode is None:
                    process.kill()
                    process.process.join()

    def keep_subprocess_alive(self) -> None:
        """Replace workers that ended or hang.

        Raises:
            MachineError: If none has served yet: it would die again and again of the same.
        """
        for index, process in enumerate(self.processes):
            if self.should_exit.is_set():
                return
            if _answers(process, self.config.timeout_worker_healthcheck):
                continue
            process.kill()  # it may only not answer
            process.process.join()
            ended = f"worker {process.pid} ended with exit code {process.exitcode}"
            if not self.config.folder.served.exists():
                raise MachineError(f"{ended} before it could serve; its log above should say why")
            _log.error("%s and is replaced", ended)
            replacement = Process(self.config, self.sockets)
            replacement.start()
            self.processes[index] = replacement
        self._forget_the_dead()

    def _forget_the_dead(self) -> None:
        """Remove what workers had at the moment that are gone, also those that SIGHUP replaced."""
        living = {process.pid for process in self.processes if process.pid is not None}
        for pid in self._pids - living:
            self.config.folder.forget_worker(pid)
        self._pids = living

    def handle_int(self) -> None:
        """End; the second time, at once."""
        self._stop(signal.SIGINT)

    def handle_term(self) -> None:
        """End; the second time, at once."""
        self._stop(signal.SIGTERM)

    def join_all(self) -> None:
        """Wait until the workers have ended, but not for ever."""
        give_up_s = time.monotonic() + self.config.drain_s + _EXIT_MARGIN_S
        while alive := [each.process for each in self.processes if each.exitcode is None]:
            self.handle_signals()
            if len(self._stops) > 1:
                _log.warning("a second signal: the workers are killed")
                self.exit_code = 128 + self._stops[1]
                return
            if time.monotonic() >= give_up_s:
                _log.error("workers that did not end in time are killed")
                self.exit_code = 1
                return
            wait([process.sentinel for process in alive], _LOOK_EVERY_S)

    def _stop(self, number: int) -> None:
        if not self._stops:
            _log.info(
                "%s: no further connections; finishing what was accepted, for at most %g s",
                signal.Signals(number).name,
                self.config.drain_s,
            )
        self._stops.append(number)
        self.should_exit.set()


def _answers(process: Process, timeout_s: float) -> bool:
    """Return whether a worker is alive, as soon as that is clear.

    uvicorn's own question waits for the answer of a process that has just died.
    """
    both: list[Connection | int] = [process.parent_conn, process.process.sentinel]
    try:
        process.parent_conn.send(b"ping")
        ready = wait(both, timeout_s)
        if process.parent_conn in ready:
            process.parent_conn.recv()
    except (OSError, EOFError):
        return False
    return ready == [process.parent_conn]
