"""The examples of the documentation, run against a real server: they print what they say."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from bicameral.cli.app import app
from models.data.sources import load_dataset

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
#: Those whose examples talk to a server.
CLIENTS = [ROOT / "docs" / name for name in ("client.md", "server.md")]
PATIENCE_S = 180.0
BICAMERAL = (sys.executable, "-c", "from bicameral.cli.app import main; main()")
DOCUMENTED_ADDRESS = re.compile(r"(?:127\.0\.0\.1|localhost):8000")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A fenced block, where it stands, and the output that is printed below it."""

    place: str
    language: str
    text: str
    output: str | None


def blocks(document: Path) -> list[Block]:
    """Return the fenced blocks of a document."""
    text = document.read_text()
    found: list[Block] = []
    for match in re.finditer(r"^```(\w+)\n(.*?)^```\n", text, re.MULTILINE | re.DOTALL):
        language, content = match.groups()
        after = re.match(r"\n```text\n(.*?)^```", text[match.end() :], re.MULTILINE | re.DOTALL)
        place = f"{document.name}:{text[: match.start()].count(chr(10)) + 1}"
        output = after[1] if after else None
        found.append(Block(place=place, language=language, text=content, output=output))
    return found


def examples(language: str, *documents: Path) -> list[Any]:
    return [
        pytest.param(block, id=block.place)
        for document in documents
        for block in blocks(document)
        if block.language == language
    ]


def commands(text: str, program: str) -> list[str]:
    """Return the commands of a shell block that run a program, each with what it stands in."""
    joined = text.replace("|\n", "|").replace("\\\n", "")
    return [line for line in joined.splitlines() if re.search(rf"(^|\| *){program} ", line)]


class Server:
    """A server with the shipped models, on a port of its own."""

    def __init__(self, folder: Path, *options: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.log = folder / f"{self.port}.log"
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [*BICAMERAL, "serve", f"--port={self.port}", "--workers=1", *options],
                stdout=log,
                stderr=log,
            )

    def wait_until_ready(self) -> None:
        give_up_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < give_up_s and self._process.poll() is None:
            try:
                if self.ask("GET", "/v2/health/ready") == 200:
                    return
            except OSError:
                pass
            time.sleep(0.05)
        raise AssertionError(f"the server did not become ready: {self.log.read_text()}")

    def ask(self, method: str, path: str) -> int:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        try:
            connection.request(method, path)
            return connection.getresponse().status
        finally:
            connection.close()

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        assert self._process.wait(PATIENCE_S) == 0, self.log.read_text()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the pictures that the examples speak of, and a key."""
    folder = tmp_path_factory.mktemp("examples")
    images = load_dataset("fashion-mnist").test.images
    for name, image in zip(("shoe", "hat1", "hat2"), images, strict=False):
        cv2.imwrite(str(folder / f"{name}.png"), image)
    with np.load(ROOT / "tests" / "golden" / "agent_observations.npz") as recorded:
        cv2.imwrite(str(folder / "view.png"), recorded["pictures"][0][..., ::-1])
    made = subprocess.run([*BICAMERAL, "keys", "new", "alice"], capture_output=True, check=True)
    (folder / "keys.toml").write_bytes(made.stdout)
    (folder / "key").write_bytes(made.stderr.split()[-1])
    return folder


@pytest.fixture(scope="module")
def servers(folder: Path) -> Iterator[tuple[Server, Server]]:
    """A server for everybody, and one for those who have a key."""
    started = Server(folder), Server(folder, f"--api-keys={folder / 'keys.toml'}")
    for server in started:
        server.wait_until_ready()
    yield started
    for server in started:
        server.stop()


@pytest.fixture
def run(folder: Path, servers: tuple[Server, Server]) -> Any:
    """Run a program of an example; one that has a key asks the server that wants one."""

    def run_program(command: list[str], text: str) -> str:
        server = servers["KEY" in text]
        script = DOCUMENTED_ADDRESS.sub(f"127.0.0.1:{server.port}", text)
        done = subprocess.run(
            [*command, script],
            cwd=folder,
            env=os.environ | {"KEY": (folder / "key").read_text()},
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run_program


@pytest.mark.parametrize("block", examples("python", *CLIENTS))
def test_python_examples_print_what_stands_below_them(block: Block, run: Any) -> None:
    printed = run([sys.executable, "-W", "error", "-c"], block.text)
    assert printed
    if block.output is not None:
        assert printed == block.output


@pytest.mark.parametrize("block", examples("sh", *CLIENTS))
def test_curl_examples_are_answered(block: Block, run: Any) -> None:
    for command in commands(block.text, "curl"):
        answer = run(["bash", "-euo", "pipefail", "-c"], command)
        if "/metrics" in command:
            assert "inference_requests_total" in answer
        elif any(word in command for word in ("/load", "/unload", "DELETE")):
            assert answer == ""
        else:
            assert "error" not in (found := json.loads(answer)), command
            if "/v1/classify" in command:
                assert found["results"][0]["label"] == "Ankle boot"


def test_the_documents_have_examples_for_both() -> None:
    client = blocks(ROOT / "docs" / "client.md")
    assert sum(block.language == "python" for block in client) >= 7
    assert sum(len(commands(block.text, "curl")) for block in client) >= 10


def test_the_documented_retry_outlasts_a_model_that_is_away(
    servers: tuple[Server, Server],
) -> None:
    server = servers[0]
    (block,) = [block for block in blocks(CLIENTS[0]) if "Retry-After" in block.text]
    names: dict[str, Any] = {}
    exec(block.text.partition("\n\nprint(")[0], names)  # the function alone
    path = "/v2/repository/models/caril_paper"
    assert server.ask("POST", f"{path}/unload") == 200
    model = "/v2/models/caril_paper"
    assert server.ask("GET", model) == 503
    load = threading.Timer(0.5, server.ask, ("POST", f"{path}/load"))
    load.start()
    assert names["ask"](f"http://127.0.0.1:{server.port}{model}", tries=20)["name"] == "caril_paper"
    load.join()
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        with pytest.raises(OSError, match="refused"):
            names["ask"](f"http://127.0.0.1:{nobody.getsockname()[1]}/", tries=1)


def test_the_health_check_of_the_image_knows_a_ready_server(
    servers: tuple[Server, Server],
) -> None:
    dockerfile = (ROOT / "docker" / "server.Dockerfile").read_text().replace("\\\n", "")
    (check,) = re.findall(r"^HEALTHCHECK .* CMD (.*)$", dockerfile, re.MULTILINE)
    for server in servers:  # it needs no key
        environment = os.environ | {"BICAMERAL_SERVE_PORT": str(server.port)}
        subprocess.run([sys.executable, *json.loads(check)[1:]], env=environment, check=True)


#: Shows the words of each command of ours, as a shell makes them; no other program is found.
SHOW_COMMANDS = "PATH=/nowhere; bicameral() { printf '%s ' \"${@@Q}\" >&3; echo >&3; }"


@pytest.mark.parametrize("block", examples("sh", *DOCUMENTS))
def test_commands_of_ours_take_the_options_that_are_shown(block: Block, tmp_path: Path) -> None:
    shown = tmp_path / "shown"
    script = f"exec 3>{shown}\n{SHOW_COMMANDS}\n{block.text}"
    subprocess.run(["/bin/bash", "-c", script], cwd=tmp_path, capture_output=True)
    lines = shown.read_text().splitlines()
    assert len(lines) == len(re.findall(r"^bicameral ", block.text, re.MULTILINE))
    for line in lines:
        app.parse_args(shlex.split(line), exit_on_error=False, print_error=False)
