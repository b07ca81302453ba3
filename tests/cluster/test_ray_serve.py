"""The shipped Ray Serve configuration on a real local cluster, with a real Redis."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from server.bench.running import free_port

pytestmark = pytest.mark.timeout(600)

ROOT = Path(__file__).resolve().parents[2]
Writer = Callable[..., Path]

#: Ray takes half a minute to start on two processors.
PATIENCE_S = 240.0
#: With two replicas, the same one answers so often in a row once in 2^50 times.
TRIES = 50


@pytest.fixture
def folder(tmp_path: Path, write_pair: Writer) -> Path:
    """A cascade that remembers everything."""
    return write_pair(tmp_path, threshold=0.9, memory={}).parent


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def cluster(folder: Path, port: int, redis: Any) -> Iterator[int]:
    """`serve run` with the shipped configuration; models, memory and port are this test's."""
    configuration = yaml.safe_load((ROOT / "deploy" / "ray_serve.yaml").read_text())
    configuration["http_options"]["port"] = port
    (application,) = configuration["applications"]
    application["args"] |= {"folders": [str(folder)], "redis_url": redis.url}
    path = folder / "ray_serve.yaml"
    path.write_text(yaml.safe_dump(configuration))
    log = folder / "serve.log"
    # Not pytest's folder: the paths of Ray's sockets would be too long.
    with tempfile.TemporaryDirectory() as ray_folder, log.open("wb") as output:
        serve = Path(sys.executable).with_name("serve")
        process = subprocess.Popen(
            # Programs that a shell started in the background ignore SIGINT, and so do their own.
            ["env", "--default-signal=INT", serve, "run", path],
            env=os.environ | {"RAY_TMPDIR": ray_folder, "RAY_USAGE_STATS_ENABLED": "0"},
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            wait_until_ready(process, port, log)
            yield port
            process.send_signal(signal.SIGINT)
            assert process.wait(PATIENCE_S) == 0, log.read_text()
        finally:
            process.kill()
            process.wait()


def wait_until_ready(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    give_up_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < give_up_s and process.poll() is None:
        try:
            if ask(port, "GET", "/v2/health/ready")[0] == 200:
                return
        except OSError:
            pass
        with suppress(subprocess.TimeoutExpired):  # asked again, unless it ends
            process.wait(0.2)
    raise AssertionError(f"the application did not become ready: {log.read_text()}")


def ask(port: int, method: str, path: str, body: bytes | None = None) -> tuple[int, str, Any]:
    """Return the answer's status, the replica that gave it, and what it says (Ray: in text)."""
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    try:
        connection.request(method, path, body)
        answer = connection.getresponse()
        content: Any = answer.read()
        replica = answer.getheader("X-Replica", "")
        return answer.status, replica, json.loads(content) if replica else content
    finally:
        connection.close()


def processes(port: int) -> dict[str, int]:
    """Return the process id of each replica, once both answer: the first one serves alone."""
    found: dict[str, int] = {}
    give_up_s = time.monotonic() + PATIENCE_S
    while len(found) < 2 and time.monotonic() < give_up_s:
        _, replica, answer = ask(port, "GET", "/v1/workers")
        found[replica] = answer["workers"][0]["pid"]
    return found


def classify(port: int, image: np.ndarray) -> tuple[str, bool, list[float]]:
    """Return the replica that answered, whether it remembered, and the probabilities."""
    tensor = {"name": "image", "shape": [1, 8, 8, 1], "datatype": "UINT8", "data": image.tolist()}
    body = json.dumps({"inputs": [tensor]}).encode()
    status, replica, answer = ask(port, "POST", "/v2/models/pair/infer", body)
    assert status == 200, answer
    outputs = {output["name"]: output["data"] for output in answer["outputs"]}
    return replica, outputs["memory_hit"][0], outputs["probabilities"]


def first_answers(port: int, image: np.ndarray) -> dict[str, tuple[bool, list[float]]]:
    """Ask until both replicas have answered; return what each said first, in their order."""
    found: dict[str, tuple[bool, list[float]]] = {}
    for _ in range(TRIES):
        replica, hit, probabilities = classify(port, image)
        found.setdefault(replica, (hit, probabilities))
        if len(found) == 2:
            break
    return found


def test_what_one_replica_has_answered_the_other_remembers(
    cluster: int, pictures: np.ndarray
) -> None:
    replicas = processes(cluster)
    assert len(set(replicas.values())) == 2, "two processes answer"
    asked_first = set()
    for image in pictures:
        answers = first_answers(cluster, image[None])
        assert answers.keys() == replicas.keys()
        (first, (known, computed)), (_, (remembered, recalled)) = answers.items()
        assert not known, f"{first} saw the picture before anybody had"
        assert remembered
        assert recalled == pytest.approx(computed, abs=1e-6)
        asked_first.add(first)
        if asked_first == replicas.keys():
            return
    raise AssertionError(f"of {len(pictures)} pictures, {asked_first} saw each one first")
