"""What workers share before any of them runs: a port, places, and the pace of replacements."""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from bicameral.errors import ConfigError, DataError
from server.processes.ports import bind_shared, reserve_port
from server.processes.restart_policy import RestartPolicy
from server.processes.run_folder import RunFolder, temporary_run_folder
from server.processes.worker_status import WorkerStatus, read_statuses, remove_status, write_status


def port_of(bound: socket.socket) -> int:
    return int(bound.getsockname()[1])


def test_workers_share_a_reserved_port_and_the_reservation_gets_no_connection():
    with reserve_port("127.0.0.1", 0) as reserved:
        port = port_of(reserved)
        with bind_shared("127.0.0.1", port) as first, bind_shared("127.0.0.1", port) as second:
            first.listen()
            second.listen()
            for listener in (first, second):
                listener.setblocking(False)
            for _ in range(16):
                socket.create_connection(("127.0.0.1", port)).close()
            accepted = 0
            for listener in (first, second):
                try:
                    while True:
                        listener.accept()[0].close()
                        accepted += 1
                except BlockingIOError:
                    continue
            assert accepted == 16


@pytest.mark.parametrize("listens", [False, True])
def test_a_second_server_cannot_join_a_port(listens):
    with reserve_port("127.0.0.1", 0) as reserved:
        port = port_of(reserved)
        with bind_shared("127.0.0.1", port) as worker:
            if listens:
                worker.listen()
            with pytest.raises(ConfigError, match=f"127.0.0.1 port {port}: another program"):
                reserve_port("127.0.0.1", port)


def test_a_port_can_be_reserved_again_while_old_connections_fade_away():
    with reserve_port("127.0.0.1", 0) as reserved:
        port = port_of(reserved)
        with bind_shared("127.0.0.1", port) as worker:
            worker.listen()
            with socket.create_connection(("127.0.0.1", port)):
                worker.accept()[0].close()  # who closes first keeps the port in TIME_WAIT
    with reserve_port("127.0.0.1", port), bind_shared("127.0.0.1", port) as worker:
        worker.listen()


@pytest.mark.parametrize(
    ("host", "reason"),
    [("192.0.2.1", "this machine has no such address"), ("no.such.host.invalid", "expected an")],
)
def test_an_address_that_cannot_be_had_is_named(host, reason):
    with pytest.raises(ConfigError, match=rf"cannot listen on '?{host}.*{reason}"):
        reserve_port(host, 0)


def test_ipv6_is_as_good_as_ipv4():
    try:
        probe = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("this machine has no IPv6")
    probe.close()
    with reserve_port("::1", 0) as reserved, bind_shared("::1", port_of(reserved)) as worker:
        assert worker.family == socket.AF_INET6


def test_replacements_come_at_once_then_later_and_later():
    policy = RestartPolicy()
    assert [policy.delay_s(1.0) for _ in range(9)] == [0, 0.5, 1, 2, 4, 8, 16, 30, 30]


def test_a_long_life_forgives_the_deaths_before():
    policy = RestartPolicy()
    for _ in range(5):
        policy.delay_s(1.0)
    assert policy.delay_s(60.0) == 0.0
    assert policy.delay_s(1.0) == 0.5


def test_a_run_folder_is_its_owners_and_vanishes():
    with temporary_run_folder() as folder:
        assert folder.path.stat().st_mode & 0o777 == 0o700
        assert folder.metrics.is_dir()
        assert str(os.getpid()) in folder.path.name
    assert not folder.path.exists()


def test_a_run_folder_that_a_killed_server_has_left_is_removed(tmp_path: Path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    left = tmp_path / f"bicameral-serve-{gone.pid}-left"
    locked = tmp_path / f"bicameral-serve-{gone.pid}-locked"
    others = [
        locked,
        tmp_path / f"bicameral-serve-{os.getpid()}-mine",
        tmp_path / "bicameral-serve-odd",
        tmp_path / "something else",
    ]
    for folder in (left, *others):
        folder.mkdir()
    handle = os.open(locked, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    with temporary_run_folder(tmp_path), temporary_run_folder(tmp_path) as second:
        assert second.metrics.is_dir()
        assert not left.exists()
    os.close(handle)
    assert sorted(tmp_path.iterdir()) == sorted(others)


def test_statuses_are_those_of_the_workers_that_live(tmp_path: Path):
    folder = RunFolder(path=tmp_path)
    first = WorkerStatus(slot=0, pid=10, revision=3, failures={"a/1": "broken"})
    for status in (first, WorkerStatus(slot=1, pid=11, revision=2)):
        write_status(folder, status)
    remove_status(folder, 1)
    remove_status(folder, 2)
    assert read_statuses(folder, 3) == {0: first}


def test_a_damaged_status_is_named(tmp_path: Path):
    folder = RunFolder(path=tmp_path)
    folder.status(0).write_text('{"slot": 0}')
    with pytest.raises(DataError, match=r"worker-0\.json is not a worker's status"):
        read_statuses(folder, 1)
