"""What the workers of a server share: a port and a folder."""

from __future__ import annotations

import fcntl
import gc
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from bicameral.errors import ConfigError
from server.processes.listening import listen
from server.processes.run_folder import temporary_run_folder
from server.serving.footprint import collect_often


def test_a_second_server_cannot_join_a_port_before_anybody_accepts():
    with listen("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(ConfigError, match=f"127.0.0.1 port {port}: another program"):
            listen("127.0.0.1", port)


def test_a_port_can_be_taken_again_while_old_connections_fade_away():
    with listen("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            first.accept()[0].close()  # who closes first keeps the port in TIME_WAIT
    listen("127.0.0.1", port).close()


@pytest.mark.parametrize(
    ("host", "reason"),
    [("192.0.2.1", "this machine has no such address"), ("no.such.host.invalid", "expected an")],
)
def test_an_address_that_cannot_be_had_is_named(host, reason):
    with pytest.raises(ConfigError, match=rf"cannot listen on '?{host}.*{reason}"):
        listen(host, 0)


def test_ipv6_is_as_good_as_ipv4():
    try:
        probe = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("this machine has no IPv6")
    probe.close()
    with listen("::1", 0) as listener:
        assert listener.family == socket.AF_INET6


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


def test_the_workers_are_those_that_serve(tmp_path: Path):
    with temporary_run_folder(tmp_path) as folder:
        assert folder.worker_pids() == []
        with folder.registered():
            (folder.workers / "7").touch()
            assert folder.worker_pids() == sorted([7, os.getpid()])
            folder.forget_worker(7)
            assert folder.worker_pids() == [os.getpid()]
        assert folder.worker_pids() == []


def test_a_worker_looks_for_garbage_among_what_has_come_since_its_start():
    collect_often()
    try:
        before, kept = gc.get_stats()[-1]["collections"], []
        for place in range(200_000):
            circle: list[object] = []
            circle.append(circle)
            if place % 100 == 0:
                kept.append(circle)
        assert gc.get_stats()[-1]["collections"] > before
    finally:
        gc.unfreeze()


def test_names_that_come_and_go_take_no_memory_once_a_worker_serves():
    code = """
import sys
import server.processes.worker
from server.serving import footprint
footprint.let_names_come_and_go()
before = footprint.allocated_bytes()
for number in range(100_000):
    sys.intern(f"header {number}")
print(footprint.allocated_bytes() - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 100_000
