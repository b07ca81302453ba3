"""Bodies that would take long to read: elsewhere than on the event loop, or not at all."""

from __future__ import annotations

import json
import struct
import threading
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest

import server.http.exchange
import server.http.picture_body
from server.limits import RequestLimits
from server.open_inference import request as infer_request

Serve = Any

VALUES = b",".join([b"0"] * 3_000_001)


@pytest.fixture
def serve(models: Path, write_pair: Any, serving_folder: Serve) -> Serve:
    write_pair(models)
    return partial(serving_folder, models)


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The threads in which JSON was read."""
    found: list[str] = []

    class Noting:
        JSONDecodeError = orjson.JSONDecodeError
        dumps = staticmethod(orjson.dumps)

        @staticmethod
        def loads(body: Any) -> Any:
            found.append(threading.current_thread().name)
            return orjson.loads(body)

    for module in (infer_request, server.http.exchange, server.http.picture_body):
        monkeypatch.setattr(module, "orjson", Noting)
    return found


@pytest.mark.parametrize(
    ("path", "before", "after"),
    [
        ("/v2/models/a/infer", b'{"inputs":[{"name":"image","data":[', b"]}]}"),
        ("/v2/models/pair/infer", b'{"inputs":[{"name":"image","data":[', b"]}]}"),
        ("/v1/classify/pair", b'{"images":[', b"]}"),
        ("/v2/repository/index", b'{"ready":[', b"]}"),
        ("/v2/repository/models/a/load", b'{"parameters":[', b"]}"),
        ("/v2/models/a/infer", b'{"inputs":[],"id":[', b"]}"),
    ],
)
async def test_more_values_than_can_be_meant_are_not_even_read(
    serve: Serve, threads: list[str], path: str, before: bytes, after: bytes
) -> None:
    async with serve() as client:
        headers = {"Content-Type": "application/json"}
        answer = await client.post(path, content=before + VALUES + after, headers=headers)
        assert answer.status_code == 413
        assert " values, at most" in answer.json()["error"]
    assert threads == []


async def test_large_json_is_read_in_a_thread_and_small_json_in_place(
    serve: Serve, threads: list[str]
) -> None:
    async with serve() as client:
        for blanks in (0, 200_000):
            body = " " * blanks + json.dumps({"inputs": []})
            assert (await client.post("/v2/models/a/infer", content=body)).status_code == 400
            body = " " * blanks + json.dumps({"ready": True})
            assert (await client.post("/v2/repository/index", content=body)).status_code == 200
    main = threading.main_thread().name
    assert threads[:2] == [main, main]
    assert all(name.startswith("aside") for name in threads[2:])
    assert len(threads) == 4


async def test_many_small_elements_are_refused_by_their_number(serve: Serve) -> None:
    elements = 2_000_000
    entry = {"name": "image", "datatype": "BYTES", "shape": [elements]}
    header = json.dumps(
        {"inputs": [{**entry, "parameters": {"binary_data_size": 4 * elements}}]}
    ).encode()
    async with serve() as client:
        headers = {"Inference-Header-Content-Length": str(len(header))}
        content = header + struct.pack("<I", 0) * elements
        answer = await client.post("/v2/models/pair/infer", content=content, headers=headers)
        assert answer.status_code == 413
        assert "2,000,000 elements" in answer.json()["error"]


async def test_a_limit_holds_for_models_that_take_more(serve: Serve, threads: list[str]) -> None:
    async with serve(requests=RequestLimits(max_json_values=10)) as client:
        body = b'{"inputs":[{"name":"image","data":[' + VALUES + b"]}]}"
        answer = await client.post("/v2/models/a/infer", content=body)
        assert answer.status_code == 413
        assert "at most 100,010 are of use" in answer.json()["error"]
        assert "binary data" in answer.json()["error"]
    assert threads == []
