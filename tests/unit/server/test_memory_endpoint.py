"""Result memories over HTTP: the whole application of one worker, a real cascade."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
from starlette.types import Scope

from edge.sidecar import read_sidecar
from server.api_keys import Right
from server.errors import RequestError

Writer = Callable[..., Path]
Serve = Callable[..., Any]
Use = Callable[[httpx.AsyncClient], Awaitable[Any]]


def authorise(scope: Scope, right: Right) -> str:
    """Let the key "user" infer only, everybody else everything."""
    if dict(scope["headers"]).get(b"x-key") == b"user" and right == "manage":
        raise RequestError(403, "the key may not manage")
    return ""


@pytest.fixture
def serve(models: Path, write_pair: Writer, write_cascade: Writer, serving_folder: Serve) -> Serve:
    """Serve "pair" with a memory, "plain" without one, and the single networks "a" and "b"."""
    cascade = read_sidecar(write_pair(models)).cascade
    assert cascade is not None
    names = [(stage.name, stage.sha256) for stage in cascade.stages]
    write_cascade(models, "plain", *names)
    return partial(serving_folder, models, authorise=authorise)


async def ask(client: httpx.AsyncClient, image: np.ndarray) -> bool:
    """Classify an image; returns whether the memory answered."""
    picture = cv2.imencode(".png", image)[1].tobytes()
    answer = await client.post("/v1/classify/pair", content=picture)
    return bool(answer.json()["results"][0]["trace"]["memory_hit"])


async def counters(client: httpx.AsyncClient) -> dict[str, int]:
    found: dict[str, int] = (await client.get("/v1/memory/pair")).json()["counters"]
    return found


async def test_the_counters_tell_what_the_memory_did(serve: Serve, pictures: np.ndarray) -> None:
    async with serve() as client:
        for image in (pictures[0], pictures[0], pictures[1]):
            await ask(client, image)
        answer = (await client.get("/v1/memory/pair")).json()
    found = answer.pop("counters")
    assert answer == {"model": "pair", "version": "1", "shared": False}
    assert (found["lookups"], found["hits"], found["stored"], found["entries"]) == (3, 1, 2, 2)


async def test_a_cleared_memory_answers_nothing(serve: Serve, pictures: np.ndarray) -> None:
    async with serve() as client:
        before = [await ask(client, pictures[0]), await ask(client, pictures[0])]
        status = (await client.delete("/v1/memory/pair")).status_code
        entries = (await counters(client))["entries"]
        found = before, status, entries, await ask(client, pictures[0])
    assert found == ([False, True], 204, 0, False)


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize(
    ("model", "status", "word"),
    [("plain", 400, "'plain'"), ("a", 400, "'a'"), ("pear", 404, "'pair'")],
)
async def test_a_model_without_a_memory_is_named(
    serve: Serve, method: str, model: str, status: int, word: str
) -> None:
    async with serve() as client:
        answer = await client.request(method, f"/v1/memory/{model}")
    assert (answer.status_code, list(answer.json())) == (status, ["error"])
    assert word in answer.json()["error"]


async def test_a_server_that_remembers_nothing_says_so(serve: Serve) -> None:
    async with serve(remember=False) as client:
        answer = await client.get("/v1/memory/pair")
    assert answer.status_code == 400
    assert "no result memory" in answer.json()["error"]


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_only_who_may_manage_may_ask(serve: Serve, pictures: np.ndarray, method: str) -> None:
    async with serve() as client:
        await ask(client, pictures[0])
        answer = await client.request(method, "/v1/memory/pair", headers={"X-Key": "user"})
        found = answer.status_code, (await counters(client))["entries"]
    assert found == (403, 1)
