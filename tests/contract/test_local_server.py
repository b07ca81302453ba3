"""A pocket simulator of one's own: it starts, restarts, and never outlives its starter."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bicameral.errors import SimulatorLostError
from sim.client.connection import connect
from sim.client.local_server import LocalServer, find_free_port_pair
from sim.pocket.carla_launcher import translated, write_launcher

#: Several simulators start here, one after the other, perhaps on a busy machine.
pytestmark = pytest.mark.timeout(600)

PATIENCE_S = 180.0
#: Nobody looks at what stands beside the road.
NO_SCENERY = ("--build-late",)


def is_running(process_id):
    """Whether the process exists and is no zombie."""
    try:
        state = Path(f"/proc/{process_id}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait_until_gone(process_id):
    deadline = time.monotonic() + PATIENCE_S
    while is_running(process_id) and time.monotonic() < deadline:
        os.sched_yield()
    return not is_running(process_id)


def test_a_free_pair_of_ports_is_free():
    port = find_free_port_pair()
    for number in (port, port + 1):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", number))


def test_a_killed_server_is_replaced_and_nothing_is_left(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with LocalServer(options=NO_SCENERY) as server:
        first = server.process_id
        os.kill(first, signal.SIGKILL)
        assert wait_until_gone(first) or not server.alive
        server.restart()
        second = server.process_id
        assert server.connect().get_server_version() == "0.9.16"
    assert not is_running(second)
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_cannot_start_shows_the_end_of_its_log():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        server = LocalServer(port=taken.getsockname()[1])
        with pytest.raises(SimulatorLostError, match=r"(?s)ended with exit code.*in use"):
            server.start()
    assert not server.alive


def test_the_server_goes_when_its_starter_is_killed(tmp_path):
    script = (
        "import sys, time\n"
        "from sim.client.local_server import LocalServer\n"
        "server = LocalServer(options=['--build-late']); server.start()\n"
        "print(server.process_id, flush=True)\n"
        "sys.stdin.read()\n"
    )
    starter = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with starter:
        process_id = int(starter.stdout.readline())
        assert is_running(process_id)
        starter.kill()
    assert wait_until_gone(process_id)


def is_taken(port):
    """Whether somebody listens on the port; connections that have ended do not count."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def test_evaluators_start_and_kill_the_simulator_as_they_do_carla(tmp_path):
    launcher = write_launcher(tmp_path / "a CARLA")
    port = find_free_port_pair()
    command = f"'{launcher}' -RenderOffScreen -nosound -carla-rpc-port={port} -graphicsadapter=0"
    # What Bench2Drive puts into the path of its own modules is not searched.
    (tmp_path / "sitecustomize.py").write_text("raise SystemExit('not the evaluator')")
    (tmp_path / "msgpack.py").write_text("raise SystemExit('not the evaluator')")
    server = subprocess.Popen(
        command,
        shell=True,
        start_new_session=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    deadline = time.monotonic() + PATIENCE_S
    told = ""
    try:
        # A server that ends ends its output, too; one that hangs meets the time limit of a test.
        for line in server.stdout:
            told += line
            if f"listening on 127.0.0.1:{port}" in line:
                break
        assert f"listening on 127.0.0.1:{port}" in told
        assert connect("127.0.0.1", port, PATIENCE_S).get_server_version() == "0.9.16"
        assert "-RenderOffScreen -nosound -graphicsadapter=0" in told
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
        server.stdout.close()
    while is_taken(port):
        assert time.monotonic() < deadline


@pytest.mark.parametrize(
    ("given", "ours"),
    [
        ([], []),
        (["-carla-rpc-port=2010"], ["--port", "2010"]),
        (["/Game/Carla/Maps/Town04"], ["--town", "/Game/Carla/Maps/Town04"]),
        (["-quality-level=Low", "-carla-port=3000"], ["--port", "3000"]),
    ],
)
def test_the_launcher_understands_carlas_arguments(given, ours):
    assert translated(given) == ["--compile-first", *ours]
