"""Workers that share a port: what clients and operators see when they start, die and end."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from http.client import HTTPConnection, HTTPException, HTTPResponse, RemoteDisconnected
from pathlib import Path
from typing import Any, Self, TypeVar

import cv2
import numpy as np
import pytest

from bicameral.cli.app import main
from server.bench.running import free_port
from tests.contract.asked_workers import PATIENCE_S, ask_every_worker

T = TypeVar("T")
Writer = Callable[..., Path]

SERVE = (sys.executable, "-c", "from bicameral.cli.app import main; main()", "serve")
SUPERVISED_APP = Path(__file__).with_name("supervised_app.py")


def until(condition: Callable[[], T], what: str) -> T:
    """Return the first true value of a condition, which other processes come to meet."""
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


def wait_for_end(process_id: int) -> None:
    """Return when a process has ended."""
    try:
        process = os.pidfd_open(process_id)
    except ProcessLookupError:
        return
    try:
        assert select.select([process], [], [], PATIENCE_S)[0], f"{process_id} does not end"
    finally:
        os.close(process)


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
        for _ in range(2):  # the second one ends it at once, and it tidies up
            self.process.terminate()
        try:
            self.process.wait(PATIENCE_S)
        finally:
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
        return json.loads(self.ask("GET", path)[1])

    def ask(self, method: str, path: str) -> tuple[int, bytes]:
        """Return status and body of an answer, given on a connection of its own."""
        connection = self.connect()
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def status(self, path: str = "/v2/health/ready") -> int:
        """Return the status of an answer; 0: there was none."""
        try:
            return self.ask("GET", path)[0]
        except OSError:
            return 0

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
    return free_port()


@pytest.fixture
def start(tmp_path: Path, port: int) -> Iterator[Callable[..., Server]]:
    """Start a supervisor with the application of `supervised_app`."""
    started: list[Server] = []

    def start_server(
        workers: int = 2,
        drain_s: float = 30.0,
        hang_s: float = 60.0,
        head_timeout_s: float = 10.0,
        trouble: str = "none",
    ) -> Server:
        arguments = [port, workers, drain_s, hang_s, head_timeout_s, trouble]
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


def test_a_port_that_another_server_has_is_an_error_before_anything_starts(start):
    first = start(workers=1)
    until(lambda: "starts 1 workers" in first.log, "the port is reserved")
    second = start(workers=1)
    assert second.wait() == 2
    assert f"error: cannot listen on 127.0.0.1 port {first.port}: another program" in second.log
    assert second.workers() == []


def test_a_killed_worker_is_replaced_and_the_other_one_answers_meanwhile(start):
    server = start(workers=2)
    until(lambda: len(server.serving()) == 2, "connections are dealt out to both workers")
    assert server.serving() <= set(server.workers())
    killed, other = server.workers()
    os.kill(killed, signal.SIGKILL)
    wait_for_end(killed)
    assert server.get("/")["pid"] != killed
    until(lambda: len(server.serving() - {killed}) == 2, "the replacement answers")
    assert other in server.workers()
    assert f"worker {killed} ended with exit code -9 and is replaced" in server.log


def test_a_worker_that_dies_again_and_again_is_replaced_again_and_again(start):
    server = start(workers=1)
    seen = set()
    for _ in range(3):
        process_id = until(lambda: list(server.serving() - seen), "a worker answers")[0]
        seen.add(process_id)
        os.kill(process_id, signal.SIGKILL)
    until(lambda: server.serving() - seen, "a worker answers")


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


def test_a_hangup_replaces_the_workers_one_after_the_other(start):
    server = start(workers=2)
    until(lambda: len(server.serving()) == 2, "both workers answer")
    before = set(server.workers())
    server.process.send_signal(signal.SIGHUP)
    until(lambda: server.serving() and not before & set(server.workers()), "both are replaced")
    until(lambda: len(server.serving() - before) == 2, "the new ones answer")


def test_a_worker_that_hangs_is_killed_and_replaced(start):
    server = start(workers=1, hang_s=3.0, drain_s=1.0)
    hung = until(lambda: list(server.serving()), "the worker answers")[0]
    connection = server.connect()
    connection.request("GET", "/hang")
    with pytest.raises((RemoteDisconnected, ConnectionResetError)):
        connection.getresponse()
    connection.close()
    assert until(lambda: server.serving(), "a worker answers") != {hung}
    assert "Timeout (0:00:04)!" in server.log
    assert "in act" in server.log, "the log says where it hung"
    assert f"worker {hung} ended with exit code 1 and is replaced" in server.log


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
    left = f"bicameral-serve-{server.process.pid}-*"
    folders = (Path("/dev/shm"), Path("/tmp"))
    assert not [path for folder in folders for path in folder.glob(left)], "nothing is left"


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
    for worker in workers:
        wait_for_end(worker)


def test_a_head_has_to_come_in_time_and_comes_back_together_with_its_body(start):
    server = start(workers=1, head_timeout_s=1.0)
    until(lambda: server.serving(), "the worker answers")
    whole = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    for before, part in ((b"", b""), (b"", whole[:9]), (whole, whole[:9])):
        with socket.create_connection(("127.0.0.1", server.port), PATIENCE_S) as connection:
            if before:
                connection.sendall(before)
                assert connection.recv(65536).startswith(b"HTTP/1.1 200")
            connection.sendall(part)
            assert connection.recv(65536) == b"", "it is closed"
    kept = server.connect()
    for _ in range(2):
        kept.request("GET", "/")
        kept.getresponse().read()
    kept.close()
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE_S) as connection:
        for _ in range(20):
            connection.sendall(whole)
            head, _, body = connection.recv(65536).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200")
            assert b'"pid"' in body


class Client(threading.Thread):
    """Sends the same request again and again, on one connection as long as it holds."""

    def __init__(self, server: Server, model: str, image: np.ndarray) -> None:
        super().__init__()
        self.server, self.model, self.image = server, model, image
        self.answers: list[bytes] = []
        self.resets = 0
        self.wrong: list[str] = []
        self.connection = server.connect()
        self.stopped = threading.Event()

    def run(self) -> None:
        while not self.stopped.is_set():
            self.ask()
        self.connection.close()

    def ask(self) -> None:
        """Have one request answered, after a reset on a new connection.

        A dying process may close its connections before its listening socket, so that a quick
        client reaches it once more.
        """
        identity = f"{self.name}/{len(self.answers)}"
        for _ in range(4):
            try:
                answer = self.send(identity)
                body = answer.read()
            except (ConnectionError, HTTPException):  # the latter in the middle of an answer
                self.resets += 1
                self.connection.close()
                continue
            if answer.status != 200 or answer.getheader("X-Request-Id") != identity:
                self.wrong.append(f"{answer.status} {answer.headers} {body!r}")
            self.answers.append(body)
            return
        self.wrong.append(f"{identity} was not answered")

    def send(self, identity: str) -> HTTPResponse:
        tensor = {"name": "image", "datatype": "FP32", "shape": self.image.shape}
        tensor["parameters"] = {"binary_data_size": self.image.nbytes}
        head = json.dumps({"inputs": [tensor]}).encode()
        self.connection.request(
            "POST",
            f"/v2/models/{self.model}/infer",
            head + self.image.tobytes(),
            {"Inference-Header-Content-Length": str(len(head)), "X-Request-Id": identity},
        )
        return self.connection.getresponse()


def counted(server: Server, model: str) -> int:
    """Return how many requests for a model all workers together have answered."""
    statistics = server.get(f"/v2/models/{model}/stats")["model_stats"][0]
    return int(statistics["inference_stats"]["success"]["count"])


def listed(server: Server) -> set[int]:
    """Return the process ids of the workers that serve."""
    try:
        return {worker["pid"] for worker in server.get("/v1/workers")["workers"]}
    except OSError:
        return set()


@pytest.fixture
def serve(tmp_path: Path, port: int, write_classifier: Writer) -> Iterator[Server]:
    """Two workers of `bicameral serve` with one model, ready, whose logs are JSON in the end."""
    folder = tmp_path / "models"
    folder.mkdir()
    write_classifier(folder, "first", seed=1)
    options = ["--port", str(port), "--workers", "2", "--log-format", "json", "--watch-s", "0.2"]
    command = [*SERVE, str(folder), *options]
    with Server(command, port, tmp_path / "serve.log") as server:
        until(lambda: server.status() == 200, "the server is ready")
        until(lambda: len(listed(server)) == 2, "both workers serve")
        yield server
        workers = {f"worker-{pid}" for pid in listed(server)}
        lines = [json.loads(line) for line in server.log.splitlines()]
    assert {"supervisor"} | workers <= {line["process"] for line in lines}
    assert all({"time", "level", "logger", "message"} <= line.keys() for line in lines)


def answers_everywhere(server: Server, path: str, expected: set[int]) -> None:
    """Wait until both workers answer so."""

    def answers() -> set[int]:
        return {status for status, _ in ask_every_worker(server.port, 2, path)}

    until(lambda: answers() == expected, f"{path}: {expected}")


def test_a_server_survives_the_death_of_a_worker(
    serve: Server, tmp_path: Path, write_classifier: Writer
):
    image = np.random.default_rng(0).normal(size=(1, 1, 8, 8)).astype(np.float32)
    write_classifier(tmp_path / "models", "second", seed=2)
    assert serve.ask("POST", "/v2/repository/models/second/load") == (200, b"")
    answers_everywhere(serve, "/v2/models/second/ready", {200})
    clients = [Client(serve, model, image) for model in ("first", "second") * 2]
    idle = [Client(serve, "second", image) for _ in range(20)]
    for client in idle:
        client.ask()
    for client in clients:
        client.start()

    killed, other = serve.workers()
    os.kill(killed, signal.SIGKILL)
    until(lambda: listed(serve) - {killed} != {other}, "the worker is replaced")
    for client in idle:
        client.ask()
        client.connection.close()
    for client in clients:
        client.stopped.set()
        client.join()

    everybody = [*clients, *idle]
    assert [problem for client in everybody for problem in client.wrong] == []
    assert 0 < sum(client.resets for client in idle) < len(idle)
    for model in ("first", "second"):
        answers = {a for client in everybody if client.model == model for a in client.answers}
        assert len(answers) == 1, "both workers and the replacement answer alike"

    assert other in serve.workers()
    assert killed not in serve.workers()
    assert listed(serve) == set(serve.workers())
    again = [Client(serve, "second", image) for _ in range(20)]
    for client in again:
        client.ask()
        client.connection.close()
    answered = sum(len(client.answers) for client in everybody if client.model == "first")
    resets = sum(client.resets for client in everybody if client.model == "first")
    # A worker counts a turn of its event loop together, so the killed one may lose its last turn.
    lost = len(clients)
    assert answered - lost <= counted(serve, "first") <= answered + resets, "no count is lost"


def test_every_worker_follows_whoever_was_asked(
    serve: Server, tmp_path: Path, write_classifier: Writer
):
    path = write_classifier(tmp_path / "models", "second", seed=2)
    path.with_name("second.onnx").write_bytes(b"no graph")
    status, body = serve.ask("POST", "/v2/repository/models/second/load")
    assert status == 400
    assert b"second.onnx" in body
    assert serve.status() == 200, "a broken model concerns nobody else"

    write_classifier(tmp_path / "models", "second", seed=2)
    for change, expected in (("load", 200), ("unload", 503), ("load", 200)):
        assert serve.ask("POST", f"/v2/repository/models/second/{change}") == (200, b"")
        answers_everywhere(serve, "/v2/models/second/ready", {expected})
    for model in ("first", "second"):
        assert serve.ask("POST", f"/v2/repository/models/{model}/unload") == (200, b"")
    answers_everywhere(serve, "/v2/health/ready", {503})
    status, body = serve.ask("GET", "/v2/health/ready")
    assert (status, b"no model is loaded" in body) == (503, True)


def test_a_class_that_one_worker_was_taught_is_known_to_all_and_after_a_restart(
    tmp_path: Path, port: int, write_read_out: Writer, pictures: np.ndarray
):
    folder = tmp_path / "models"
    folder.mkdir()
    write_read_out(folder, "learner")
    picture = cv2.imencode(".png", pictures[3])[1].tobytes()

    def post(path: str) -> Any:
        connection = server.connect()
        connection.request("POST", path, picture, {"Content-Type": "image/png"})
        answer = connection.getresponse()
        body = json.loads(answer.read())
        connection.close()
        assert answer.status == 200, body
        return body

    def answers() -> set[str]:
        """Return what the workers say."""
        kind = {"Content-Type": "image/png"}
        asked = ask_every_worker(port, 3, "/v1/classify/learner", "POST", picture, kind)
        assert {status for status, _ in asked} == {200}
        return {json.loads(body)["results"][0]["label"] for _, body in asked}

    options = ["--port", str(port), "--workers", "3", "--watch-s", "0.2"]
    command = [*SERVE, str(folder), *options]
    with Server(command, port, tmp_path / "log") as server:
        until(lambda: len(listed(server)) == 3, "all workers serve")
        before = answers()
        assert "hat" not in before
        assert post("/v1/models/learner/classes/hat/examples")["others_follow_s"] == 0.2
        until(lambda: answers() == {"hat"}, "every worker knows it")

        killed = server.workers()[0]
        os.kill(killed, signal.SIGKILL)
        until(lambda: len(listed(server) - {killed}) == 3, "the worker is replaced")
        assert answers() == {"hat"}
        server.process.terminate()
        assert server.wait() == 0

    with Server(command, port, tmp_path / "log") as server:
        until(lambda: server.status() == 200, "the server is ready")
        assert answers() == {"hat"}, "it is kept beside the model"
        assert server.ask("DELETE", "/v1/models/learner/classes") == (204, b"")
        until(lambda: answers() == before, "every worker has forgotten it")


def test_what_changes_in_the_folder_reaches_all_workers_when_it_is_whole(
    tmp_path: Path, port: int, write_classifier: Writer
):
    def add(version: str) -> Path:
        home = tmp_path / "models" / "net" / version
        home.mkdir(parents=True)
        return write_classifier(home, "net", seed=int(version), version=version)

    def versions() -> list[list[str]]:
        """Return what both workers serve."""
        asked = ask_every_worker(port, 2, "/v2/models/net")
        found = {json.dumps(json.loads(body)["versions"]) for _, body in asked}
        return [json.loads(versions) for versions in found]

    add("1")
    options = ["--port", str(port), "--workers", "2", "--watch-s", "0.05"]
    with Server([*SERVE, str(tmp_path / "models"), *options], port, tmp_path / "log") as server:
        until(lambda: len(listed(server)) == 2, "both workers serve")
        graph = add("2").with_name("net.onnx")
        whole = graph.read_bytes()
        graph.write_bytes(whole[:-1])

        def broken() -> list[Any]:
            index = json.loads(server.ask("POST", "/v2/repository/index")[1])
            return [entry for entry in index if "is not the file" in entry.get("reason", "")]

        assert until(broken, "the half file is reported")[0]["version"] == "2"
        assert versions() == [["1"]], "the old version goes on"
        graph.write_bytes(whole)
        until(lambda: versions() == [["2"]], "both workers serve the new version")
        until(lambda: server.status() == 200, "the server is ready")
        assert server.ask("POST", "/v1/models/net/versions/1/load") == (204, b"")
        assert server.ask("POST", "/v1/models/net/versions/2/unload") == (204, b"")
        until(lambda: versions() == [["1"]], "both workers serve what was rolled back")
        add("3")
        until(lambda: versions() == [["3"]], "both workers serve what came after the roll back")
        killed = server.workers()[0]
        os.kill(killed, signal.SIGKILL)
        until(lambda: len(listed(server) - {killed}) == 2, "the worker is replaced")
        assert versions() == [["3"]]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["no/such/folder"], "error: cannot read the model folder no/such/folder"),
        (
            ["--meter", "volt"],
            "error: unknown meter 'volt'; known: auto, ina3221, none, nvml, rapl",
        ),
        (["--cors-origin", "me"], "error: the origin 'me' cannot be that of a page"),
        (["--api-keys", "no/file"], "error: cannot read the API keys no/file: No such file"),
        (["--workers", "0"], "error: the server's workers is 0, expected at least 1"),
    ],
)
def test_settings_that_cannot_be_meant_end_the_command_with_their_reason(
    words, reason, monkeypatch, capsys
):
    monkeypatch.setattr("server.logs.configure_logging", lambda *_: None)  # it is the process's
    with pytest.raises(SystemExit) as stop:
        main(["serve", *words])
    assert stop.value.code == 2
    assert reason in capsys.readouterr().err


def test_an_address_that_this_machine_lacks_ends_the_command_without_a_traceback():
    words = ["--host", "192.0.2.1"]
    result = subprocess.run([*SERVE, *words], capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "error: cannot listen on 192.0.2.1 port 8000: this machine has" in result.stderr
    assert "Traceback" not in result.stderr
