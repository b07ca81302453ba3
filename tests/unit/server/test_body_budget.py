"""The bodies that a worker holds at a time, in the whole application."""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from bicameral.errors import ConfigError
from server.http import exchange, stack
from server.limits import BatchLimits, RequestLimits
from server.serving.long_work import LongWork

Use = Callable[[httpx.AsyncClient], Awaitable[Any]]

#: Deflates to some 400 bytes.
NOISE = bytes(range(250)) + b" " * 3500

LIMITS = RequestLimits(max_body_bytes=4000, max_held_bytes=5000)


@pytest.fixture
def serve(models: Path, write_classifier: Callable[..., Path], serving_folder: Any) -> Any:
    write_classifier(models, "net")
    return partial(serving_folder, models, requests=LIMITS)


@pytest.mark.parametrize(
    "path", ["/v2/models/net/infer", "/v1/classify/net", "/v1/classify/net?top_k=1"]
)
async def test_what_would_be_too_much_together_is_refused_until_there_is_room(
    serve: Any, path: str
) -> None:
    async with serve() as client:
        arrived, go_on = asyncio.Event(), asyncio.Event()

        async def slow() -> AsyncIterator[bytes]:
            yield b" " * 3000
            arrived.set()
            await go_on.wait()
            yield b" "

        async with asyncio.TaskGroup() as tasks:
            first = tasks.create_task(client.post(path, content=slow()))
            await arrived.wait()
            refused = await client.post(path, content=b" " * 3000)
            small = await client.post(path, content=b" " * 1000)
            go_on.set()
        later = await client.post(path, content=b" " * 3000)
        assert refused.status_code == 429
        assert "more than 5,000 bytes" in refused.json()["error"]
        assert refused.headers["retry-after"] == "1"
        for answer in (first.result(), small, later):
            assert answer.status_code in (400, 415), "it was read"


async def test_of_large_bodies_one_grows_at_a_time_and_small_ones_pass(
    serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "_CROWDED_BYTES", 2000)
    monkeypatch.setattr(exchange, "LARGE_BYTES", 1000)
    path = "/v2/models/net/infer"
    async with serve() as client:
        arrived, go_on, goes_on = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def first() -> AsyncIterator[bytes]:
            yield b" " * 2500
            arrived.set()
            await go_on.wait()
            yield b" "

        async def second() -> AsyncIterator[bytes]:
            yield b" " * 1500
            goes_on.set()
            yield b" "

        async with asyncio.TaskGroup() as tasks:
            large = [tasks.create_task(client.post(path, content=first()))]
            await arrived.wait()
            large.append(tasks.create_task(client.post(path, content=second())))
            small = await client.post(path, content=b" " * 500)
            assert not goes_on.is_set()
            go_on.set()
            await goes_on.wait()
        assert [one.result().status_code for one in large] == [400, 400]
        assert small.status_code == 400


async def test_a_large_body_that_finds_no_room_is_refused_for_a_while(
    models: Path,
    write_classifier: Callable[..., Path],
    serving_folder: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(exchange, "_CROWDED_BYTES", 2000)
    monkeypatch.setattr(exchange, "LARGE_BYTES", 1000)
    held = exchange.HeldBodies()
    monkeypatch.setattr(stack, "HeldBodies", lambda: held)
    write_classifier(models, "net")

    async def parts() -> AsyncIterator[bytes]:
        yield b" " * 2500
        yield b" "

    path = "/v2/models/net/infer"
    async with serving_folder(models, requests=RequestLimits(body_timeout_s=0.2)) as client:
        async with held.growing:  # another one has it
            refused = await client.post(path, content=parts())
        later = await client.post(path, content=parts())
        assert (refused.status_code, later.status_code) == (429, 400)
        assert refused.headers["retry-after"] == "1"
        assert held.size == 0


async def test_free_memory_is_given_back_after_a_body_that_grew_while_much_was_held(
    serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    given_back: list[bool] = []
    monkeypatch.setattr(exchange, "_CROWDED_BYTES", 2000)
    monkeypatch.setattr(exchange, "LARGE_BYTES", 1000)
    monkeypatch.setattr(stack, "return_free_memory", lambda: given_back.append(True))

    async def pieces(first: int) -> AsyncIterator[bytes]:
        yield b" " * first
        yield b" "

    async with serve() as client:
        for first, times in ((1500, 0), (2500, 1)):
            await client.post("/v2/models/net/infer", content=pieces(first))
            await asyncio.sleep(0)  # the turn that answered ends
            await asyncio.sleep(0)
            assert len(given_back) == times


async def test_what_a_body_inflates_to_counts(serve: Any) -> None:
    async with serve() as client:
        arrived, go_on = asyncio.Event(), asyncio.Event()

        async def slow() -> AsyncIterator[bytes]:
            yield b" " * 3000
            arrived.set()
            await go_on.wait()

        headers = {"Content-Encoding": "gzip"}
        path = "/v2/models/net/infer"
        async with asyncio.TaskGroup() as tasks:
            first = tasks.create_task(client.post(path, content=slow()))
            await arrived.wait()
            refused = await client.post(path, content=gzip.compress(NOISE), headers=headers)
            go_on.set()
        later = await client.post(path, content=gzip.compress(NOISE), headers=headers)
        assert refused.status_code == 429
        assert "more than 5,000 bytes" in refused.json()["error"]
        assert (first.result().status_code, later.status_code) == (400, 400)


async def test_what_comes_in_pieces_is_not_held_twice() -> None:
    pieces, piece = 128, 65_536

    async def receive() -> dict[str, Any]:
        nonlocal pieces
        pieces -= 1
        return {"type": "http.request", "body": bytes(piece), "more_body": pieces > 0}

    scope = {"type": "http", "headers": []}
    limits = RequestLimits()
    work = LongWork(limits, BatchLimits())
    request = exchange.Request(scope, receive, limits, exchange.HeldBodies(), work)
    tracemalloc.start()
    try:
        body = await request.body()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(body) == 128 * piece
    assert peak < 1.5 * len(body)


def test_a_budget_below_a_single_body_is_refused() -> None:
    with pytest.raises(ConfigError, match="max_held_bytes is 10, expected at least max_body_bytes"):
        RequestLimits(max_body_bytes=11, max_held_bytes=10)
