"""Workers that share a port: what clients and operators see when they start, die and end."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from http.client import HTTPConnection, RemoteDisconnected
from pathlib import Path
from typing import Any, Self, TypeVar

import pytest

T = TypeVar("T")

PATIENCE_S = 60.0
SUPERVISED_APP = Path(__file__).with_name("supervised_app.py")


def until(condition: Callable[[], T], what: str) -> T:
    """Return the condition's first true value."""
    give_up_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < give_up_s:
        if value := condition():
            return value
        time.sleep(0.02)
    raise AssertionError(f"{what}: not within {PATIENCE_S:g} s")


def is_running(process_id: int) -> bool:
    try:
        # A zombie is dead, but its number is still taken.
        return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


class Server:
    """A server's processes, seen from outside; kills all that is left at the end."""

    def __init__(self, command: Sequence[str], port: int, log: Path) -> None:
        self.command, self.port, self.log_file = command, port, log

    def __enter__(self) -> Self:
        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen(self.command, stderr=log)
        return self

    def __exit__(self, *_: object) -> None:
        orphans = self.workers()
        self.process.kill()
        self.process.wait()
        for process_id in orphans:
            if is_running(process_id):
                os.kill(process_id, signal.SIGKILL)

    @property
    def log(self) -> str:
        return self.log_file.read_text()

    def workers(self) -> list[int]:
        """Return the workers' process ids; the standard library's own helper is none of them."""
        process_id = self.process.pid
        try:
            children = Path(f"/proc/{process_id}/task/{process_id}/children").read_text().split()
            commands = {int(child): Path(f"/proc/{child}/cmdline") for child in children}
            return [child for child, path in commands.items() if b"spawn_main" in path.read_bytes()]
        except (FileNotFoundError, ProcessLookupError):
            return []

    def connect(self) -> HTTPConnection:
        return HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)

    def get(self, path: str) -> Any:
        """Return the parsed answer, given on a connection of its own."""
        connection = self.connect()
        try:
            connection.request("GET", path)
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()

    def serving(self) -> set[int]:
        """Return the process ids of workers that answered one of a few connections."""
        try:
            return {self.get("/")["pid"] for _ in range(8)}
        except OSError:
            return set()

    def wait(self) -> int:
        return self.process.wait(PATIENCE_S)


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def start(tmp_path: Path, port: int) -> Iterator[Callable[..., Server]]:
    """Start a supervisor with the application of `supervised_app`."""
    started: list[Server] = []

    def start_server(
        workers: int = 2, drain_s: float = 30.0, hang_s: float = 60.0, trouble: str = "none"
    ) -> Server:
        arguments = [port, workers, drain_s, hang_s, trouble]
        command = [sys.executable, str(SUPERVISED_APP), *map(str, arguments)]
        server = Server(command, port, tmp_path / f"{len(started)}.log")
        started.append(server.__enter__())
        return server

    yield start_server
    for server in started:
        server.__exit__()


def begin_waiting(server: Server, release: Path) -> HTTPConnection:
    """Send a request that is answered when `release` exists; return when it is being handled."""
    connection = server.connect()
    connection.request("GET", f"/wait?{release}")
    until(Path(f"{release}.begun").exists, "the request is handled")
    return connection


def refuses_connections(server: Server) -> bool:
    try:
        socket.create_connection(("127.0.0.1", server.port)).close()
    except ConnectionRefusedError:
        return True
    return False


def test_connections_are_dealt_out_to_all_workers(start):
    server = start(workers=2)
    until(lambda: len(server.serving()) == 2, "both workers answer")
    assert server.serving() <= set(server.workers())


def test_a_port_that_another_server_has_is_an_error_before_anything_starts(start):
    first = start(workers=1)
    until(lambda: "starts 1 workers" in first.log, "the port is reserved")
    second = start(workers=1)
    assert second.wait() == 2
    assert f"error: cannot listen on 127.0.0.1 port {first.port}: another program" in second.log
    assert "started worker" not in second.log


def test_a_killed_worker_is_replaced_and_the_other_one_answers_meanwhile(start):
    server = start(workers=2)
    until(lambda: len(server.serving()) == 2, "both workers answer")
    killed, other = server.workers()
    os.kill(killed, signal.SIGKILL)
    until(lambda: not is_running(killed), "the worker is dead")
    assert server.get("/")["pid"] != killed
    until(lambda: len(server.serving() - {killed}) == 2, "the replacement answers")
    assert other in server.workers()
    assert "worker-0 ended with exit code -9; it is replaced in 0.0 s" in server.log


def test_a_worker_that_dies_again_and_again_is_replaced_later_and_later(start):
    server = start(workers=1)
    for _ in range(3):
        process_id = until(lambda: list(server.serving()), "a worker answers")[0]
        os.kill(process_id, signal.SIGKILL)
    until(lambda: server.serving(), "a worker answers")
    delays = [
        line.split("replaced in ")[1][:3] for line in server.log.splitlines() if "replaced" in line
    ]
    assert delays == ["0.0", "0.5", "1.0"]


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        ("config", "this worker was told to fail"),
        ("exit", "ended with exit code 7 before it could"),
    ],
)
def test_a_server_whose_workers_cannot_begin_ends_with_the_reason(start, trouble, reason):
    server = start(trouble=trouble)
    assert server.wait() == 3
    assert reason in server.log


def test_a_worker_that_hangs_is_killed_and_replaced(start):
    server = start(workers=1, hang_s=4.0)
    hung = until(lambda: list(server.serving()), "the worker answers")[0]
    connection = server.connect()
    connection.request("GET", "/hang")
    with pytest.raises((RemoteDisconnected, ConnectionResetError)):
        connection.getresponse()
    connection.close()
    assert until(lambda: server.serving(), "a worker answers") != {hung}
    assert "gives no sign of life and is killed" in server.log


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_finishes_what_was_accepted_and_accepts_no_more(start, tmp_path, number):
    server = start(workers=2)
    until(lambda: len(server.serving()) == 2, "both workers answer")
    waiting = begin_waiting(server, tmp_path / "release")
    server.process.send_signal(number)
    until(lambda: refuses_connections(server), "no further connections")
    assert server.process.poll() is None
    (tmp_path / "release").touch()
    answer = waiting.getresponse()
    assert (answer.status, answer.getheader("connection")) == (200, "close")
    assert server.wait() == 0


def test_what_is_not_finished_in_time_is_broken_off(start, tmp_path):
    server = start(workers=1, drain_s=1.0)
    until(lambda: server.serving(), "the worker answers")
    waiting = begin_waiting(server, tmp_path / "never")
    server.process.send_signal(signal.SIGTERM)
    assert waiting.getresponse().status == 500
    assert server.wait() == 0


def test_a_second_signal_ends_everything_at_once(start, tmp_path):
    server = start(workers=1, drain_s=600.0)
    until(lambda: server.serving(), "the worker answers")
    waiting = begin_waiting(server, tmp_path / "never")
    (worker,) = server.workers()
    server.process.send_signal(signal.SIGTERM)
    until(lambda: "no further connections" in server.log, "the first signal is noticed")
    server.process.send_signal(signal.SIGTERM)
    assert server.wait() == 128 + signal.SIGTERM
    assert not is_running(worker)
    with pytest.raises((RemoteDisconnected, ConnectionResetError)):
        waiting.getresponse()


def test_workers_end_when_their_supervisor_is_killed(start):
    server = start(workers=2)
    until(lambda: len(server.serving()) == 2, "both workers answer")
    workers = server.workers()
    server.process.kill()
    until(lambda: not any(map(is_running, workers)), "the workers end")


def test_nothing_is_left_in_memory_or_on_disk(start):
    server = start(workers=1)
    until(lambda: server.serving(), "the worker answers")
    server.process.send_signal(signal.SIGTERM)
    assert server.wait() == 0
    assert not [
        path
        for folder in (Path("/dev/shm"), Path("/tmp"))
        for path in folder.glob(f"bicameral-serve-{server.process.pid}-*")
    ]
