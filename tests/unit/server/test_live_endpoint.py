"""The figures of the live panel: the whole application of one worker, a real cascade."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.types import Scope

from server.api_keys import Right
from server.errors import RequestError
from server.http.live import live_models
from server.metrics import ModelTotals
from server.serving.model_slot import IndexEntry
from server.serving.served_model import ModelVersion

PATIENCE_S = 120.0


def authorise(scope: Scope, right: Right) -> str:
    """Let the key "watcher" read figures only, "user" infer only, everybody else everything."""
    key = dict(scope["headers"]).get(b"x-key")
    if {b"watcher": "metrics", b"user": "infer"}.get(key, right) != right:
        raise RequestError(403, f"the key does not allow {right}")
    return ""


@pytest.fixture
def serve(models: Path, write_pair, serving_folder) -> Callable[..., Any]:
    """Serve "pair" with a memory, its members "a" and "b", and "broken", which is none."""
    write_pair(models)
    (models / "broken.bicameral.json").write_text("{")
    return partial(serving_folder, models, authorise=authorise)


async def classify(client: httpx.AsyncClient, times: int, model: str = "pair") -> None:
    picture = cv2.imencode(".png", np.full((8, 8), 90, np.uint8))[1].tobytes()
    for _ in range(times):
        answer = await client.post(f"/v1/classify/{model}", content=picture)
        assert answer.status_code == 200


async def live(client: httpx.AsyncClient) -> dict[str, Any]:
    answer = await client.get("/v1/live")
    assert answer.status_code == 200, answer.text
    return answer.json()


def by_name(answer: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {model["name"]: model for model in answer["models"]}


async def test_what_was_counted_is_told_by_model(serve):
    async with serve() as client:
        await classify(client, 5)
        await classify(client, 2, "a")
        give_up_s = time.monotonic() + PATIENCE_S
        while True:  # stages and memories are sampled, one after the other
            answer = await live(client)
            pair = by_name(answer)["pair"]
            sampled = (sum(pair["stages"].values()), pair["memory"]["lookups"])
            if sampled == (5, 5) or time.monotonic() > give_up_s:
                break
        assert sampled == (5, 5)
        assert pair["requests"] == {"success": 5}
        assert pair["memory"]["hits"] == pair["stages"]["memory"] == 4
        assert pair["memory"]["entries"] == pair["memory"]["stored"] == 1
        assert pair["memory_shared"] is False
        assert pair["waiting"] == 0
        assert by_name(answer)["a"]["requests"] == {"success": 2}
        assert by_name(answer)["a"]["memory"] is None
        assert by_name(answer)["b"]["requests"] == {}
        assert sum(by_name(answer)["b"]["durations"]) == 0


async def test_durations_are_those_of_the_metrics_by_bucket(serve):
    async with serve() as client:
        await classify(client, 3)
        answer = await live(client)
        metrics = (await client.get("/metrics")).text
        buckets = {
            sample.labels["le"]: sample.value
            for family in text_string_to_metric_families(metrics)
            for sample in family.samples
            if sample.name == "inference_request_duration_seconds_bucket"
            and sample.labels["model"] == "pair"
        }
        bounds_s, durations = answer["bounds_s"], by_name(answer)["pair"]["durations"]
        assert [*bounds_s, float("inf")] == [float(bound) for bound in buckets]
        np.testing.assert_array_equal(np.cumsum(durations), list(buckets.values()))
        assert sum(durations) == 3


async def test_models_and_workers_are_told_with_their_state(serve):
    async with serve() as client:
        answer = await live(client)
        index = (await client.post("/v2/repository/index")).json()
        assert [
            {key: model[key] for key in ("name", "version", "state", "reason")}
            for model in answer["models"]
        ] == index
        assert "JSON" in by_name(answer)["broken"]["reason"]
        assert answer["workers"] == (await client.get("/v1/workers")).json()


async def test_the_right_to_metrics_is_needed_and_enough(serve):
    async with serve() as client:
        seen = await client.get("/v1/live", headers={"X-Key": "watcher"})
        assert len(seen.json()["models"]) == 4
        assert (await client.get("/v1/live", headers={"X-Key": "user"})).status_code == 403


def test_what_a_model_did_stays_counted_when_its_files_are_gone():
    gone = ModelVersion(name="gone", version="2")
    found = IndexEntry(name="net", version="1", state="READY", reason="")
    models = live_models([found], {gone: ModelTotals(requests={"success": 3})})
    assert [(model.name, model.state) for model in models] == [
        ("gone", "UNAVAILABLE"),
        ("net", "READY"),
    ]
    assert models[0].requests == {"success": 3}
    assert models[0].reason == "its files are no longer there"
    assert models[1].requests == {}
