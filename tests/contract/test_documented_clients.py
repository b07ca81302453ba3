"""The examples of the documentation, run against a real server: they print what they say."""

from __future__ import annotations

import json
import os
import re
import shlex
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from bicameral.cli.app import app
from models.data.sources import load_dataset
from server.api_keys import new_api_key
from server.bench.running import free_port

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


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the pictures that the examples speak of, and a key."""
    folder = tmp_path_factory.mktemp("examples")
    images = load_dataset("fashion-mnist").test.images
    for name, image in zip(("shoe", "hat1", "hat2"), images, strict=False):
        cv2.imwrite(str(folder / f"{name}.png"), image)
    with np.load(ROOT / "tests" / "golden" / "agent_observations.npz") as recorded:
        cv2.imwrite(str(folder / "view.png"), recorded["pictures"][0][..., ::-1])
    key, table = new_api_key("alice", frozenset({"infer"}))
    (folder / "keys.toml").write_text(table)
    (folder / "key").write_text(key)
    return folder


@pytest.fixture(scope="module")
def grpc_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def servers(folder: Path, grpc_port: int, serving: Callable[..., Any]) -> Iterator[tuple[Any, Any]]:
    """A server with the shipped models for everybody, and one for those who have a key."""
    keys = f"--api-keys={folder / 'keys.toml'}"
    grpc = f"--grpc-port={grpc_port}"
    with (
        serving(None, folder / "open.log", "--workers=1", grpc) as everybody,
        serving(None, folder / "keyed.log", "--workers=1", keys) as holders,
    ):
        yield everybody, holders


@pytest.fixture
def run(folder: Path, servers: tuple[Any, Any], grpc_port: int) -> Any:
    """Run a program of an example; one that has a key asks the server that wants one."""

    def run_program(command: list[str], text: str) -> str:
        server = servers["KEY" in text]
        script = DOCUMENTED_ADDRESS.sub(f"127.0.0.1:{server.port}", text)
        script = script.replace("localhost:8001", f"127.0.0.1:{grpc_port}")
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
    servers: tuple[Any, Any],
) -> None:
    server = servers[0]
    (block,) = [block for block in blocks(CLIENTS[0]) if "Retry-After" in block.text]
    names: dict[str, Any] = {}
    exec(block.text.partition("\n\nprint(")[0], names)  # the function alone
    path = "/v2/repository/models/caril_paper"
    assert server.status(f"{path}/unload", "POST") == 200
    model = "/v2/models/caril_paper"
    assert server.status(model) == 503
    load = threading.Timer(0.5, server.status, (f"{path}/load", "POST"))
    load.start()
    assert names["ask"](f"{server.url}{model}", tries=20)["name"] == "caril_paper"
    load.join()
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        with pytest.raises(OSError, match="refused"):
            names["ask"](f"http://127.0.0.1:{nobody.getsockname()[1]}/", tries=1)


def test_the_health_check_of_the_image_knows_a_ready_server(
    servers: tuple[Any, Any],
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
