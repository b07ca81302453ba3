"""A server in processes of its own: started, waited for, its processor time read, ended."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from bicameral.errors import MachineError

_START_S = 120.0
_END_S = 30.0
_POLL_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerCommand:
    """How a server is started.

    Attributes:
        name: How tables call it.
        words: The command line; ``{port}`` stands for its port.
        folder: Its working folder; None: the present one.
        environment: Variables beside those of this process; ``{port}`` as above.
    """

    name: str
    words: Sequence[str]
    folder: Path | None = None
    environment: Mapping[str, str] | None = None


class RunningServer:
    """A server that is ready."""

    def __init__(self, name: str, port: int, process: subprocess.Popen[bytes]) -> None:
        """Take over a process that was started."""
        self.name = name
        self.port = port
        self._process = process

    @property
    def pid(self) -> int:
        """Number of the process that was started by hand."""
        return self._process.pid

    def processor_s(self) -> float:
        """Return user and system time of the process and all that descend from it, in seconds."""
        return sum(map(processor_s, process_tree(self._process.pid)))

    def request_end(self) -> None:
        """Ask it to end in good order."""
        self._process.send_signal(signal.SIGTERM)

    def wait(self) -> int:
        """Wait for its end and return its exit code.

        Raises:
            MachineError: If it does not end in time.
        """
        try:
            return self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            raise MachineError(f"{self.name} did not end within {_END_S:g} s") from None


@contextmanager
def running_server(command: ServerCommand, log: Path) -> Iterator[RunningServer]:
    """Start a server on a free port, wait until it is ready, and end it afterwards.

    Args:
        command: How.
        log: Where its output goes.

    Raises:
        MachineError: If it does not become ready, or does not end.
    """
    port = free_port()
    environment = {
        name: value.format(port=port) for name, value in (command.environment or {}).items()
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            [word.format(port=port) for word in command.words],
            stdout=output,
            stderr=output,
            cwd=command.folder,
            env={**os.environ, **environment},
            start_new_session=True,
        )
    server = RunningServer(command.name, port, process)
    try:
        _wait_until_ready(server, process, command, log)
        yield server
        if process.poll() is None:
            server.request_end()
            server.wait()
    finally:
        for pid in process_tree(process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()


@contextmanager
def running_servers(
    commands: Sequence[ServerCommand], folder: Path
) -> Iterator[dict[str, RunningServer]]:
    """Run several servers by their names, as `running_server`; their logs go into a folder."""
    with ExitStack() as stack:
        yield {
            command.name: stack.enter_context(
                running_server(command, folder / f"server-{number}.log")
            )
            for number, command in enumerate(commands)
        }


def free_port() -> int:
    """Return a TCP port of this machine that nobody uses at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def process_tree(root: int) -> list[int]:
    """Return the numbers of a process, if it lives, and of all that descend from it."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The name, in parentheses, may hold anything; state and parent follow it.
            state, parent = stat.read_text("ascii", "replace").rpartition(")")[2].split()[:2]
        except OSError:  # it has ended meanwhile
            continue
        if state != "Z":
            children.setdefault(int(parent), []).append(int(stat.parent.name))
    alive = {pid for siblings in children.values() for pid in siblings}
    found = [root] if root in alive else []
    for pid in found:  # grows
        found += children.get(pid, ())
    return found


def processor_s(pid: int) -> float:
    """Return user and system time of a process, in seconds; 0 if it has ended."""
    # What clock_getcpuclockid(3) returns; /proc tells the same in steps of 10 ms.
    try:
        return time.clock_gettime(~pid << 3 | 2)
    except OSError:  # it has ended meanwhile
        return 0.0


def _wait_until_ready(
    server: RunningServer, process: subprocess.Popen[bytes], command: ServerCommand, log: Path
) -> None:
    give_up_s = time.monotonic() + _START_S
    while time.monotonic() < give_up_s and process.poll() is None:
        if _is_ready(server.port):
            return
        time.sleep(_POLL_S)
    raise MachineError(
        f"the server {command.name!r} was not ready within {_START_S:g} s (exit code "
        f"{process.poll()}); its output ends with: {log.read_text('utf-8', 'replace')[-2000:]}"
    )


def _is_ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/v2/health/ready")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
