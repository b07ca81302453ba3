"""A pocket simulator of one's own: started on free ports, watched, restarted, always ended."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import carla

import sim
from bicameral.errors import SimulatorLostError
from sim.client.connection import DEFAULT_TIMEOUT_S, connect

_LOG = logging.getLogger(__name__)

#: Printed by ``python -m sim.pocket`` when it accepts connections.
_READY_TEXT = "listening on "

#: A server that fails says so by ending; one that is slow may be compiling its kernels for the
#: first time on a machine with better things to do.
_START_TIMEOUT_S = 600.0

_STOP_TIMEOUT_S = 5.0
_PORT_ATTEMPTS = 5


def find_free_port_pair() -> int:
    """Return a port N such that N and N + 1 were both free on the loopback interface just now.

    Raises:
        SimulatorLostError: If the system has no such pair.
    """
    for _ in range(200):
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = int(first.getsockname()[1])
            try:
                second.bind(("127.0.0.1", port + 1))
            except (OSError, OverflowError):
                continue
            return port
    raise SimulatorLostError("found no two neighbouring free ports on 127.0.0.1 in 200 attempts")


class LocalServer:
    """Runs a pocket simulator in a process of its own for the length of a ``with`` block.

    The server ends with the block, on an error inside it, and when this process dies in any way
    (see `sim.client.guarded_pocket`). It runs in its own process group, so that an interrupt from
    the keyboard reaches it only through this object.
    """

    host = "127.0.0.1"

    def __init__(
        self,
        *,
        port: int = 0,
        seed: int = 0,
        map_folders: Sequence[Path] = (),
        options: Sequence[str] = (),
    ) -> None:
        """Describe the server; `start` or ``with`` starts it.

        Args:
            port: RPC port; 0 picks a free pair of ports at every start.
            seed: Seed of the simulator.
            map_folders: Further folders with OpenDRIVE files.
            options: Further options of ``python -m sim.pocket``.
        """
        self.port = port
        self._pick_port = port == 0
        self._arguments = ["--seed", str(seed), *options]
        if map_folders:
            self._arguments += ["--maps", *(str(folder) for folder in map_folders)]
        self._process: subprocess.Popen[bytes] | None = None
        # A file without a name: nobody has to remove it, however this process ends.
        self._log: IO[bytes] | None = None

    def __enter__(self) -> LocalServer:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    @property
    def alive(self) -> bool:
        """True while the server process runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def process_id(self) -> int | None:
        """Process number of the server, or None when it has not been started."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start the server and wait until it listens; does nothing when it already runs.

        Raises:
            SimulatorLostError: If it ends, or does not listen in time. Shows the end of its log.
        """
        if self.alive:
            return
        for attempt in range(1, _PORT_ATTEMPTS + 1):
            if self._pick_port:
                self.port = find_free_port_pair()
            try:
                self._launch()
            except SimulatorLostError:
                # Between looking and binding, someone else may have taken the ports.
                taken = "in use" in self.log_tail()
                self.stop()
                if not (self._pick_port and taken and attempt < _PORT_ATTEMPTS):
                    raise
            else:
                return

    def restart(self) -> None:
        """Stop the server however it is and start a new one, on new ports if they were picked."""
        if tail := self.log_tail():
            _LOG.warning("the log of the lost pocket simulator ends with:\n%s", tail)
        self.stop()
        self.start()

    def stop(self) -> None:
        """End the server; returns when its process has gone."""
        process, self._process = self._process, None
        log, self._log = self._log, None
        if log is not None:
            log.close()
        if process is None:
            return
        process.terminate()
        try:
            process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdin is not None:
            process.stdin.close()

    def connect(self, timeout_s: float = DEFAULT_TIMEOUT_S) -> carla.Client:
        """Return a new client of this server."""
        return connect(self.host, self.port, timeout_s)

    def _launch(self) -> None:
        # The server must be the code that this process imports, wherever it was started.
        package_root = str(Path(sim.__path__[0]).resolve().parent)
        search_path = os.pathsep.join(
            filter(None, [package_root, os.environ.get("PYTHONPATH", "")])
        )
        module = "sim.client.guarded_pocket"
        command = [sys.executable, "-m", module, "--port", str(self.port), *self._arguments]
        self._log = tempfile.TemporaryFile(prefix="pocket-simulator-")  # noqa: SIM115 - see `stop`
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
            env=os.environ | {"PYTHONPATH": search_path, "PYTHONUNBUFFERED": "1"},
        )
        deadline = time.monotonic() + _START_TIMEOUT_S
        while _READY_TEXT not in self._log_text():
            if not self.alive:
                raise self._failed(f"ended with exit code {self._process.returncode}")
            if time.monotonic() > deadline:
                raise self._failed(f"was not ready after {_START_TIMEOUT_S:g} s")
            time.sleep(0.02)
        _LOG.info("pocket simulator %d listens on port %d", self._process.pid, self.port)

    def _failed(self, what: str) -> SimulatorLostError:
        return SimulatorLostError(
            f"the pocket simulator on port {self.port} {what}; its log ends with:\n"
            f"{self.log_tail()}"
        )

    def log_tail(self, lines: int = 12) -> str:
        """Return the last lines of what the server has printed since it was started."""
        return "\n".join(self._log_text().splitlines()[-lines:])

    def _log_text(self) -> str:
        if self._log is None:
            return ""
        number = self._log.fileno()
        # The server writes where this descriptor stands, so that it must not be moved.
        return os.pread(number, os.fstat(number).st_size, 0).decode("utf-8", errors="replace")
