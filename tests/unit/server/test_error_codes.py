"""Every status that the server may answer with is documented, and every documented one is real."""

from __future__ import annotations

import ast
import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest

import server
from server.limits import BatchLimits, RequestLimits, ServerSettings

CODE = Path(server.__file__).parent
GUIDE = CODE.parent / "docs" / "server.md"
Use = Callable[[httpx.AsyncClient], Awaitable[Any]]

INFER = "/v2/models/net/infer"
LOAD = "/v2/repository/models/net/load"
BODY = {
    "inputs": [
        {
            "name": "image",
            "datatype": "FP32",
            "shape": [1, 1, 8, 8],
            "data": np.zeros(64).tolist(),
        }
    ]
}


def documented() -> set[int]:
    return set(map(int, re.findall(r"^\| (\d{3}) \|", GUIDE.read_text(), re.MULTILINE)))


def raised() -> Iterator[int]:
    """Return the status of every `RequestError` in the code."""
    for path in CODE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            name = getattr(getattr(node, "func", None), "id", None)
            if not isinstance(node, ast.Call) or name not in ("RequestError", "HTTPException"):
                continue
            for part in ast.walk(node.args[0]):
                value = getattr(part, "value", None)
                if isinstance(value, int) and value >= 400:
                    yield value


def test_the_table_of_errors_is_that_of_the_code() -> None:
    assert documented() == set(raised())


def test_the_table_of_limits_is_that_of_the_code() -> None:
    rows = re.findall(r"^\| `([a-z._]+)` \| ([0-9.]+) \|", GUIDE.read_text(), re.MULTILINE)
    assert len(rows) == 24
    for option, default in rows:  # e.g. batching.max_wait_s
        value: Any = ServerSettings()
        for name in option.split("."):
            value = getattr(value, name)
        assert str(value) == default, option


@pytest.fixture
def serve(models: Path, write_classifier: Callable[..., Path], serving_folder: Any) -> Any:
    """Run a scenario against a server with tight limits."""
    for version in ("1", "2"):
        home = models / "net" / version
        home.mkdir(parents=True)
        write_classifier(home, "net", version=version)
    return partial(
        serving_folder,
        models,
        requests=RequestLimits(max_body_bytes=4096, body_timeout_s=0.1),
        batching=BatchLimits(in_place_s=0.0, max_queued_requests=1),
    )


async def _slow() -> Any:
    yield b"{"
    await asyncio.sleep(5.0)


async def test_every_documented_status_but_that_of_a_defect_can_be_had(
    serve: Any, tmp_path: Path, write_read_out: Callable[..., Path]
) -> None:
    write_read_out(tmp_path / "models", "learner")
    (tmp_path / "models" / "_lessons").write_text("not a folder, so nothing can be written there")
    picture = cv2.imencode(".png", np.zeros((8, 8), np.uint8))[1].tobytes()
    async with serve() as client:
        many = await asyncio.gather(*(client.post(INFER, json=BODY) for _ in range(20)))
        answers = [
            await client.post(INFER, json=BODY | {"inputs": []}),
            await client.get("/nothing"),
            await client.get("/v2/models/other"),
            await client.get(LOAD),
            await client.delete("/metrics"),
            await client.post(INFER, content=_slow()),
            await client.post(INFER, content=b" " * 5000),
            await client.post("/v1/classify/net", content=b"no picture"),
            await client.post("/v1/models/learner/classes/hat/examples", content=picture),
            await client.post(INFER, headers={"Content-Encoding": "br"}, content=b"x"),
            await client.post(INFER, json=BODY, headers={"Origin": "https://stranger.example"}),
            await client.post("/v2/trace/setting"),
            await client.post(LOAD, json={"parameters": {"config": "{}"}}),
            await client.post(LOAD.replace("/load", "/unload")),
            await client.post(INFER, json=BODY),
        ]
        answers = [answer for answer in (*many, *answers) if answer.status_code != 200]
    for answer in answers:
        assert list(answer.json()) == ["error"], answer.text
        if answer.status_code == 429:
            assert int(answer.headers["retry-after"]) >= 1
    # The tests of API keys have the 401, those of connections the 431.
    assert {answer.status_code for answer in answers} == documented() - {401, 431, 500}


@pytest.mark.parametrize(
    "name", ["%2e%2e", "%2e", "..%2fnet", "%2e%2e%2f%2e%2e%2fetc%2fpasswd", "net%2f1", "net%00"]
)
async def test_a_name_leads_nowhere_but_to_models(serve: Any, name: str) -> None:
    async with serve() as client:
        for method, path in (
            ("GET", "/v2/models/{}"),
            ("POST", "/v2/models/{}/infer"),
            ("POST", "/v2/models/net/versions/{}/infer"),
            ("POST", "/v2/repository/models/{}/load"),
            ("POST", "/v2/repository/models/{}/unload"),
            ("POST", "/v1/models/net/versions/{}/load"),
            ("POST", "/v1/classify/{}"),
            ("GET", "/v1/memory/{}"),
        ):
            # As it is: a client must not tidy it up.
            url = httpx.URL("http://localhost").copy_with(raw_path=path.format(name).encode())
            answer = await client.request(method, url)
            assert answer.status_code in (404, 405), (path, answer.text)
            assert "error" in answer.json()
