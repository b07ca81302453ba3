"""Served cascades that share their memory through a real Redis or Valkey server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.memory.redis_memory import RedisServer
from edge.sidecar import read_sidecar
from server.limits import ServerSettings
from server.serving.cascade_model import CascadeModel
from server.serving.computation import BatchRecord
from server.serving.served_model import ModelVersion, RequestContext, ServingParts

pytest.importorskip("redis", reason="the Python package redis is not installed")

Writer = Callable[..., Path]

PUBLIC = RequestContext()


@pytest.fixture
def load(
    tmp_path: Path, write_pair: Writer, write_cascade: Writer, redis: Any
) -> Callable[[str], tuple[CascadeModel, list[BatchRecord]]]:
    """Load a cascade as one more server process would."""
    memory = {"key": "dhash_verified"}
    members = read_sidecar(write_pair(tmp_path, threshold=0.9, memory=memory)).cascade.stages
    hashes = [(member.name, member.sha256) for member in members]
    write_cascade(tmp_path, "other", *hashes, cascade={"threshold": 0.8, "memory": memory})
    settings = ServerSettings(redis_url=redis.url)
    # On a busy machine 5 ms may pass; that a slow server is skipped is tested elsewhere.
    patient = RedisServer(url=redis.url, timeout_s=10.0)

    def start(name: str) -> tuple[CascadeModel, list[BatchRecord]]:
        records: list[BatchRecord] = []
        parts = ServingParts(settings, lambda _, record: records.append(record))
        parts.redis = patient
        path = tmp_path / f"{name}.bicameral.json"
        return CascadeModel.load(path, ModelVersion(name=name, version="1"), parts), records

    return start


async def _hits(model: CascadeModel, images: np.ndarray, context: RequestContext = PUBLIC) -> Any:
    answer = await model.infer({"image": images}, context=context)
    return answer["memory_hit"].tolist()


async def test_what_one_server_has_answered_the_others_know(
    load: Callable[..., Any], pictures: np.ndarray
) -> None:
    (one, records), (two, _) = load("pair"), load("pair")
    first = await one.infer({"image": pictures[:4]}, context=PUBLIC)
    second = await two.infer({"image": pictures[2:6]}, context=PUBLIC)
    assert second["memory_hit"].tolist() == [True, True, False, False]
    np.testing.assert_array_equal(second["probabilities"][:2], first["probabilities"][2:])
    assert not any(record.in_place for record in records), "the loop never waits for a server"
    assert not one.concurrency().in_place
    assert one.memory is not None
    assert (await one.memory.counters()).entries == 6
    one.close()
    assert (await two.memory.counters()).entries == 6, "it is not the first one's to clear"
    two.close()


async def test_keys_and_cascades_stay_apart(load: Callable[..., Any], pictures: np.ndarray) -> None:
    (pair, records), (other, _) = load("pair"), load("other")
    alice, bob = (RequestContext(memory_namespace=name) for name in ("alice", "bob"))
    await asyncio.gather(
        *(_hits(pair, pictures[:2], context) for context in (alice, bob, alice, bob))
    )
    assert all(record.rows <= 4 for record in records), "namespaces never share a run"
    await _hits(other, pictures[:2], alice)
    secret = RequestContext(memory_namespace="alice", no_store=True)
    assert await _hits(pair, pictures[1:3], secret) == [True, False]
    assert await _hits(pair, pictures[1:3], secret) == [True, False]
    assert pair.memory is not None
    await pair.memory.clear("alice")
    assert await _hits(pair, pictures[:2], secret) == [False, False]
    assert await _hits(pair, pictures[:2], bob) == [True, True]
    await pair.memory.clear(None)
    assert await _hits(pair, pictures[:2], bob) == [False, False]
    assert await _hits(other, pictures[:2], alice) == [True, True]
    pair.close()
    other.close()


async def test_a_server_that_is_gone_is_skipped_and_counted(
    load: Callable[..., Any], redis: Any, pictures: np.ndarray
) -> None:
    model, _ = load("pair")
    before = await model.infer({"image": pictures[:4]}, context=PUBLIC)
    redis.process.kill()
    redis.process.wait()
    after = await model.infer({"image": pictures[:4]}, context=PUBLIC)
    assert not after["memory_hit"].any()
    np.testing.assert_allclose(after["probabilities"], before["probabilities"], atol=1e-6)
    assert model.memory is not None
    assert (await model.memory.counters()).skipped >= 4
    model.close()
