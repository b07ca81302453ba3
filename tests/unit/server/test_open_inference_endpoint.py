"""The protocol's endpoint on real models: every path, every refusal, bodies that never end."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from starlette.types import Message, Receive, Scope

import bicameral
from edge.session import OnnxSession
from edge.sidecar import Sidecar
from server.api_keys import Right
from server.errors import RequestError
from server.http.open_inference import OpenInference
from server.http.stack import HttpStack, StackParts
from server.limits import BatchLimits, RequestLimits, ServerSettings
from server.metrics import Metrics, outcome_of
from server.open_inference.datatypes import Tensor, V2Spec
from server.serving.loaded_models import LoadedModel, LoadedModels
from server.serving.long_work import LongWork
from server.serving.repository import ModelRepository
from server.serving.served_model import (
    ConcurrencyFigures,
    MemoryFigures,
    ModelVersion,
    RequestContext,
    ServedModel,
    ServingParts,
)

Writer = Callable[..., Path]
PartsMaker = Callable[..., ServingParts]

BODY_LIMIT = 5000


@dataclass
class Answered:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def refused(self, status: int, *words: str) -> bool:
        """Whether it is the protocol's error, and its message holds these words in this order."""
        assert self.status == status, self.body
        assert self.headers["content-type"] == "application/json"
        assert list(self.json) == ["error"]
        rest = self.json["error"]
        for word in words:
            before, found, rest = rest.partition(word)
            assert found, f"{word!r} is not in {before!r}"
        return True


@dataclass
class Client:
    """Talks to an ASGI application as an HTTP server does."""

    app: HttpStack
    metrics: Metrics
    repository: Any

    async def ask(
        self,
        method: str,
        path: str,
        body: Any = b"",
        *,
        receive: Receive | None = None,
        **headers: str,
    ) -> Answered:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        messages = await self.messages(method, path, receive or sending(raw), headers)
        start, end = messages
        assert (start["type"], end["type"]) == ("http.response.start", "http.response.body")
        found = {name.decode(): value.decode() for name, value in start["headers"]}
        assert found["content-length"] == str(len(end["body"]))
        return Answered(start["status"], found, end["body"])

    async def messages(
        self, method: str, path: str, receive: Receive, headers: Mapping[str, str]
    ) -> list[Message]:
        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append(message)

        lines = [(name.replace("_", "-").encode(), text.encode()) for name, text in headers.items()]
        scope = {"type": "http", "method": method, "path": path, "headers": lines}
        await self.app(scope, receive, send)
        return sent

    def get(self, path: str, **headers: str) -> Awaitable[Answered]:
        return self.ask("GET", path, **headers)

    def post(self, path: str, body: Any = b"", **headers: str) -> Awaitable[Answered]:
        return self.ask("POST", path, body, **headers)

    async def infer(self, *inputs: dict[str, Any], model: str = "net", **fields: Any) -> Answered:
        return await self.post(f"/v2/models/{model}/infer", {"inputs": inputs, **fields})


def sending(*parts: bytes, then: Callable[[], Awaitable[None]] | None = None) -> Receive:
    """Return a `receive` that gives a body in parts, and tells of a disconnect after `then`."""
    waiting = list(parts)

    async def receive() -> Message:
        if waiting:
            part = waiting.pop(0)
            return {"type": "http.request", "body": part, "more_body": bool(waiting)}
        if then is not None:
            await then()
            return {"type": "http.disconnect"}
        await asyncio.Event().wait()
        raise AssertionError

    return receive


@dataclass
class Keys:
    """Who may do what; a request without a key may do everything."""

    asked: list[Right] = field(default_factory=list)

    def __call__(self, scope: Scope, right: Right) -> str:
        self.asked.append(right)
        key = dict(scope["headers"]).get(b"key", b"").decode()
        if key == "wrong" or (key == "infer" and right == "manage"):
            raise RequestError(403, f"this key may not {right}")
        return key


@pytest.fixture
def models(tmp_path: Path, write_classifier: Writer, write_pair: Writer) -> Path:
    """A folder with two versions of a network, a cascade, and a broken model."""
    folder = tmp_path / "models"
    for version in ("1", "2"):
        home = folder / "net" / version
        home.mkdir(parents=True)
        write_classifier(home, "net", seed=int(version), version=version)
    home = folder / "pair" / "1"
    home.mkdir(parents=True)
    write_pair(home, memory=None)
    (folder / "broken").mkdir()
    (folder / "broken" / "1").mkdir()
    (folder / "broken" / "1" / "broken.bicameral.json").write_text("{")
    return folder


@pytest.fixture
def keys() -> Keys:
    return Keys()


@pytest.fixture
async def client(models: Path, make_parts: PartsMaker, keys: Keys) -> AsyncIterator[Client]:
    """Talk to a server's application with these models."""
    limits = RequestLimits(max_body_bytes=BODY_LIMIT, body_timeout_s=0.05)
    metrics = Metrics()
    parts = make_parts()
    parts.on_batch = metrics.count_batch
    repository = ModelRepository([models], parts)
    await repository.start()
    yield client_of(repository, limits, metrics, keys)
    await repository.close()


def client_of(repository: Any, limits: RequestLimits, metrics: Metrics, keys: Keys) -> Client:
    endpoints = OpenInference(repository=repository, totals=metrics.totals).endpoints()
    parts = StackParts(
        settings=ServerSettings(requests=limits),
        metrics=metrics,
        work=LongWork(limits, BatchLimits()),
        lifespan=never,
        authorise=keys,
    )
    return Client(HttpStack(parts, endpoints, []), metrics, repository)


async def never(*_: Any) -> None:
    raise AssertionError("nothing begins or ends here")


def fp32(array: np.ndarray, **fields: Any) -> dict[str, Any]:
    data = {} if "parameters" in fields else {"data": array.ravel().tolist()}
    return {"name": "image", "datatype": "FP32", "shape": array.shape, **data, **fields}


PIXELS = np.random.default_rng(3).normal(size=(2, 1, 8, 8)).astype(np.float32)


@pytest.fixture
def expected(models: Path) -> np.ndarray:
    """The logits of the network's highest version for `PIXELS`."""
    session = OnnxSession((models / "net" / "2" / "net.onnx").read_bytes(), name="net")
    return session.run({"image": PIXELS})["logits"]


# What a client can find out.


async def test_the_server_tells_that_it_lives_is_ready_and_what_it_offers(client: Client) -> None:
    assert (await client.get("/v2/health/live")).json == {"live": True}
    assert (await client.get("/v2/health/ready")).json == {"ready": True}
    server = (await client.get("/v2")).json
    assert server["name"] == "bicameral"
    assert server["version"] == bicameral.__version__
    assert {"binary_tensor_data", "classification", "statistics"} <= set(server["extensions"])
    assert (await client.get("/v2/")).json == server


async def test_models_tell_their_tensors_versions_and_configuration(client: Client) -> None:
    net = (await client.get("/v2/models/net")).json
    assert net == {
        "name": "net",
        "versions": ["2"],
        "platform": "onnxruntime_onnx",
        "inputs": [{"name": "image", "datatype": "FP32", "shape": [-1, 1, 8, 8]}],
        "outputs": [{"name": "logits", "datatype": "FP32", "shape": [-1, 5]}],
    }
    assert (await client.get("/v2/models/net/versions/2")).json == net
    pair = (await client.get("/v2/models/pair/config")).json
    assert pair["input"] == [{"name": "image", "data_type": "TYPE_UINT8", "dims": [-1, 8, 8, 1]}]
    assert pair["output"][2] == {"name": "stage", "data_type": "TYPE_STRING", "dims": [-1]}
    ready = await client.get("/v2/models/net/versions/2/ready")
    assert ready.json == {"name": "net", "version": "2", "ready": True}


async def test_the_index_tells_every_version_and_why_one_does_not_answer(client: Client) -> None:
    index = (await client.post("/v2/repository/index")).json
    states = {(entry["name"], entry["version"]): entry for entry in index}
    assert states["net", "2"]["state"] == "READY"
    assert states["net", "1"]["state"] == "UNAVAILABLE"
    assert "broken.bicameral.json" in states["broken", "1"]["reason"]
    ready = (await client.post("/v2/repository/index", {"ready": True})).json
    assert {entry["name"] for entry in ready} == {"net", "pair"}


async def test_models_are_loaded_and_unloaded(client: Client) -> None:
    parameters = {"parameters": {"unload_dependents": False}}
    unloaded = await client.post("/v2/repository/models/net/unload", parameters)
    assert (unloaded.status, unloaded.body) == (200, b"")
    assert (await client.get("/v2/models/net/ready")).refused(503, "'net'", "not loaded")
    loaded = await client.post("/v2/repository/models/net/load", {})
    assert (loaded.status, loaded.body) == (200, b"")
    assert (await client.get("/v2/models/net/ready")).status == 200
    broken = await client.post("/v2/repository/models/broken/load")
    assert broken.refused(400, "'broken'", "broken.bicameral.json")
    assert (await client.post("/v2/repository/models/nte/load")).refused(404, "net")


async def test_the_server_is_not_ready_without_a_model(client: Client) -> None:
    for name in ("net", "pair"):
        await client.post(f"/v2/repository/models/{name}/unload")
    assert (await client.get("/v2/health/ready")).refused(503, "no model is loaded")
    assert (await client.get("/v2/health/live")).status == 200


async def test_statistics_count_rows_runs_and_outcomes(client: Client) -> None:
    fresh = (await client.get("/v2/models/net/stats")).json["model_stats"]
    assert [entry["inference_count"] for entry in fresh] == [0]
    await client.infer(fp32(PIXELS))
    await client.infer(fp32(PIXELS[:1]))
    await client.infer(fp32(PIXELS, datatype="INT8"))
    (net,) = (await client.get("/v2/models/net/versions/2/stats")).json["model_stats"]
    assert (net["name"], net["version"]) == ("net", "2")
    assert (net["inference_count"], net["execution_count"]) == (3, 2)
    assert net["inference_stats"]["success"]["count"] == 2
    assert net["inference_stats"]["fail"]["count"] == 1
    assert net["inference_stats"]["compute_infer"]["ns"] > 0
    spent = [net["inference_stats"][outcome]["ns"] for outcome in ("success", "fail")]
    assert min(spent) > 0
    assert abs(sum(spent) - net["request_ns"]) <= 1
    assert [(one["batch_size"], one["compute_infer"]["count"]) for one in net["batch_stats"]] == [
        (1, 1),
        (2, 1),
    ]
    in_batches = sum(one["compute_infer"]["ns"] for one in net["batch_stats"])
    assert abs(in_batches - net["inference_stats"]["compute_infer"]["ns"]) <= 2
    for part in ("compute_input", "compute_output"):
        assert net["inference_stats"][part]["count"] == 2, "of those that were answered"
        assert 0 < net["inference_stats"][part]["ns"] < net["inference_stats"]["success"]["ns"]
    assert net["requests"] == {"success": 2, "client_error": 1}
    assert net["memory"]["file_bytes"] > 0
    assert net["concurrency"]["queued_requests"] == 0
    everything = (await client.get("/v2/models/stats")).json["model_stats"]
    assert [entry["name"] for entry in everything] == ["net", "pair"]
    await client.post("/v2/repository/models/net/unload")
    (net,) = (await client.get("/v2/models/net/stats")).json["model_stats"]
    assert net["inference_count"] == 3, "what was counted outlives the model"
    assert "memory" not in net


# Inference.


async def test_json_and_bytes_give_the_networks_own_numbers(
    client: Client, expected: np.ndarray
) -> None:
    answer = await client.infer(fp32(PIXELS), id="abc")
    assert answer.json == {
        "model_name": "net",
        "model_version": "2",
        "id": "abc",
        "outputs": [
            {
                "name": "logits",
                "datatype": "FP32",
                "shape": [2, 5],
                "data": pytest.approx(expected.ravel().tolist(), rel=1e-6),
            }
        ],
    }
    sized = fp32(PIXELS, parameters={"binary_data_size": PIXELS.nbytes})
    header = json.dumps({"inputs": [sized], "parameters": {"binary_data_output": True}}).encode()
    answer = await client.post(
        "/v2/models/net/infer",
        header + PIXELS.tobytes(),
        inference_header_content_length=str(len(header)),
    )
    assert answer.headers["content-type"] == "application/octet-stream"
    length = int(answer.headers["inference-header-content-length"])
    (output,) = json.loads(answer.body[:length])["outputs"]
    assert output["parameters"] == {"binary_data_size": 40}
    assert answer.body[length:] == expected.tobytes()


async def test_another_version_answers_if_it_is_asked_for(
    client: Client, expected: np.ndarray
) -> None:
    path = "/v2/models/net/versions/1"
    assert (await client.post(f"{path}/infer", {})).refused(503, "'net'", "not loaded")
    await client.repository.load("net", "1")
    answer = await client.post(f"{path}/infer", {"inputs": [fp32(PIXELS)]})
    assert answer.json["model_version"] == "1"
    assert answer.json["outputs"][0]["data"] != pytest.approx(expected.ravel().tolist())


async def test_nothing_but_bytes_are_answered_with_bytes(
    client: Client, expected: np.ndarray
) -> None:
    answer = await client.post(
        "/v2/models/net/infer", PIXELS.tobytes(), inference_header_content_length="0"
    )
    assert answer.body.endswith(expected.tobytes())


async def test_compressed_requests_are_inflated(client: Client) -> None:
    body = json.dumps({"inputs": [fp32(PIXELS)]}).encode()
    plain = await client.post("/v2/models/net/infer", body)
    packed = await client.post("/v2/models/net/infer", gzip.compress(body), content_encoding="gzip")
    assert packed.body == plain.body
    tiny = await client.post(
        "/v2/repository/index", gzip.compress(b'{"ready":true}'), content_encoding="gzip"
    )
    assert len(tiny.json) == 2


@pytest.mark.parametrize("shape", [(2,), (2, 1)])
async def test_pictures_are_decoded_and_prepared_as_the_sidecar_says(
    client: Client, shape: tuple[int, ...]
) -> None:
    pixels = np.random.default_rng(5).integers(0, 256, (2, 8, 8, 1), np.uint8)
    pngs = [bytes(cv2.imencode(".png", image)[1]) for image in pixels]
    tail = b"".join(len(png).to_bytes(4, "little") + png for png in pngs)
    entry = {"name": "image", "datatype": "BYTES", "shape": shape}
    entry["parameters"] = {"binary_data_size": len(tail)}
    header = json.dumps({"inputs": [entry]}).encode()
    length = {"inference_header_content_length": str(len(header))}
    net = await client.post("/v2/models/net/infer", header + tail, **length)
    prepared = (pixels.transpose(0, 3, 1, 2) / np.float32(255) - 0.3) / 0.4
    same = await client.infer(fp32(prepared.astype(np.float32)))
    data = net.json["outputs"][0]["data"]
    assert data == pytest.approx(same.json["outputs"][0]["data"], rel=1e-4, abs=1e-5)
    pair = await client.post("/v2/models/pair/infer", header + tail, **length)
    outputs = {output["name"]: output for output in pair.json["outputs"]}
    assert outputs["probabilities"]["shape"] == [2, 5]
    assert set(outputs["stage"]["data"]) <= {"a", "b"}
    assert outputs["memory_hit"]["data"] == [False, False]
    canonical = {"name": "image", "datatype": "UINT8", "shape": pixels.shape}
    canonical["data"] = pixels.tolist()
    direct = await client.infer(canonical, model="pair", outputs=[{"name": "confidence"}])
    (confidence,) = direct.json["outputs"]
    assert confidence["data"] == pytest.approx(outputs["confidence"]["data"])


async def test_the_highest_classes_bear_their_labels(client: Client, expected: np.ndarray) -> None:
    labels = ("cat", "dog", "ship", "shoe", "tree")
    asked = {"name": "logits", "parameters": {"classification": 1}}
    (output,) = (await client.infer(fp32(PIXELS), outputs=[asked])).json["outputs"]
    best = expected.argmax(axis=1)
    assert output["datatype"] == "BYTES"
    assert [text.split(":", 1)[1] for text in output["data"]] == [
        f"{index}:{labels[index]}" for index in best
    ]


# Refusals.


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (fp32(PIXELS) | {"name": "imgae"}, ("'net'", "'image'", "'imgae'")),
        (fp32(PIXELS) | {"shape": (2, 64)}, ("'image'", "[2, 64]", "FP32", "[-1, 1, 8, 8]")),
        (fp32(PIXELS) | {"datatype": "FP64"}, ("'image'", "FP64", "FP32")),
        (fp32(PIXELS[:0]), ("'net'", "0 rows")),
        (fp32(PIXELS) | {"shape": (2, 1, 8, 7)}, ("'image'", "128", "112")),
        (
            {"name": "image", "datatype": "BYTES", "shape": [1, 2], "data": ["a", "b"]},
            ("'image'", "BYTES", "[1, 2]", "[N]"),
        ),
        (
            {"name": "image", "datatype": "BYTES", "shape": [1], "data": ["no picture"]},
            ("'image'", "picture"),
        ),
    ],
)
async def test_a_tensor_that_does_not_fit_is_named_with_what_was_expected(
    client: Client, entry: dict[str, Any], words: tuple[str, ...]
) -> None:
    assert (await client.infer(entry)).refused(400, *words)


async def test_what_is_not_there_is_refused_with_what_is(client: Client) -> None:
    image = fp32(PIXELS)
    assert (await client.infer(image, model="nte")).refused(404, "'nte'", "net")
    assert (await client.get("/v2/models/../../etc/passwd")).refused(404, "GET /v2")
    assert (await client.get("/v2/models/%2e%2e")).refused(404, "net")
    assert (await client.get("/v2/models/net/versions/9")).refused(404, "'9'", "1, 2")
    assert (await client.get("/v2/models/nte/stats")).refused(404, "net")
    refused = await client.infer(image, outputs=[{"name": "probs"}])
    assert refused.refused(400, "'net'", "'probs'", "'logits'")
    assert (await client.get("/v2/nothing")).refused(404, "'GET /v2/nothing'", "GET /v2")
    assert (await client.get("/v2/repository/models/net/erase")).refused(404)


async def test_a_path_takes_its_own_method_only(client: Client) -> None:
    refused = await client.get("/v2/models/net/infer")
    assert refused.refused(405, "POST", "GET")
    assert refused.headers["allow"] == "POST"
    assert (await client.ask("DELETE", "/v2/models/net")).refused(405, "GET", "DELETE")
    assert (await client.ask("HEAD", "/v2/health/ready")).status == 200


@pytest.mark.parametrize(
    ("path", "extension"),
    [
        ("/v2/logging", "logging"),
        ("/v2/trace/setting", "trace"),
        ("/v2/models/net/trace/setting", "trace"),
        ("/v2/systemsharedmemory/status", "system_shared_memory"),
        ("/v2/cudasharedmemory/region/r/register", "cuda_shared_memory"),
    ],
)
async def test_extensions_that_are_not_offered_say_so(
    client: Client, path: str, extension: str
) -> None:
    for method in ("GET", "POST"):
        refused = await client.ask(method, path)
        assert refused.refused(501, extension, "binary_tensor_data")


async def test_a_configuration_in_a_load_request_is_not_offered(client: Client) -> None:
    parameters = {"parameters": {"config": "{}"}}
    refused = await client.post("/v2/repository/models/net/load", parameters)
    assert refused.refused(501, "config", "sidecar")


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"ready":1}'])
async def test_a_body_that_is_no_object_is_refused(client: Client, body: bytes) -> None:
    assert (await client.post("/v2/repository/index", body)).status == 400


@pytest.mark.parametrize("length", ["x", "-1", "1_0", "9" * 30, "\u00b2"])
async def test_a_header_length_that_is_no_number_is_refused(client: Client, length: str) -> None:
    refused = await client.post(
        "/v2/models/net/infer", b"{}", inference_header_content_length=length
    )
    assert refused.refused(400, "Inference-Header-Content-Length")


async def test_rights_are_asked_for_before_anything_else(client: Client, keys: Keys) -> None:
    assert (await client.get("/v2/health/ready", key="wrong")).status == 200
    assert (await client.get("/v2/models/net", key="wrong")).refused(403, "infer")
    unread = sending(then=_never)
    refused = await client.ask("POST", "/v2/models/net/infer", receive=unread, key="wrong")
    assert refused.refused(403, "infer")
    keys.asked.clear()
    for change in ("load", "unload"):
        path = f"/v2/repository/models/net/{change}"
        assert (await client.post(path, key="infer")).refused(403, "manage")
    assert keys.asked == ["manage", "manage"]
    assert (await client.get("/v2/models/net/ready")).status == 200


async def _never() -> None:
    raise AssertionError("the body must not be read")


# Bodies that are too large, too slow, or never end.


async def test_a_body_that_says_it_is_too_large_is_not_read(client: Client) -> None:
    refused = await client.ask(
        "POST",
        "/v2/models/net/infer",
        receive=sending(then=_never),
        content_length=str(BODY_LIMIT + 1),
    )
    assert refused.refused(413, "5,001 bytes", "5,000")


async def test_a_body_without_end_is_read_no_further_than_allowed(client: Client) -> None:
    read = 0

    async def endless() -> Message:
        nonlocal read
        read += 1000
        return {"type": "http.request", "body": bytes(1000), "more_body": True}

    refused = await client.ask("POST", "/v2/models/net/infer", receive=endless)
    assert refused.refused(413, "more bytes", "5,000")
    assert read == BODY_LIMIT + 1000


async def test_a_bomb_is_too_large(client: Client) -> None:
    bomb = gzip.compress(bytes(1 << 20))
    assert len(bomb) < BODY_LIMIT
    refused = await client.post("/v2/models/net/infer", bomb, content_encoding="gzip")
    assert refused.refused(413, "5,000")


async def test_an_unknown_encoding_is_refused_with_the_known_ones(client: Client) -> None:
    refused = await client.post("/v2/models/net/infer", b"x", content_encoding="br")
    assert refused.refused(415, "'br'", "gzip, deflate")


async def test_a_body_that_does_not_come_is_not_waited_for(client: Client) -> None:
    async def stuck() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    refused = await client.ask("POST", "/v2/models/net/infer", receive=stuck)
    assert refused.refused(408, "0 bytes", "0.05 s")
    assert refused.headers["connection"] == "close"


async def test_a_client_that_leaves_within_its_body_gets_no_answer(client: Client) -> None:
    async def gone() -> Message:
        return {"type": "http.disconnect"}

    assert await client.messages("POST", "/v2/models/net/infer", gone, {}) == []
    (totals,) = (await client.metrics.totals()).values()
    assert totals.requests == {outcome_of(None): 1}


# A model that takes its time.


class HeldModel:
    """Doubles numbers, but not before it is told to."""

    name, version, platform = "held", "1", "numpy"
    served_as = ModelVersion(name="held", version="1")
    labels: tuple[str, ...] = ()
    inputs = (V2Spec(name="x", datatype="FP32", shape=(-1,)),)
    outputs = (V2Spec(name="y", datatype="FP32", shape=(-1,)),)

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.go = asyncio.Event()
        self.cancelled = False
        self.contexts: list[RequestContext] = []

    @property
    def sidecar(self) -> Sidecar:
        raise NotImplementedError

    async def infer(
        self, inputs: Mapping[str, Tensor], *, context: RequestContext
    ) -> Mapping[str, Tensor]:
        self.contexts.append(context)
        self.begun.set()
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        return {"y": np.multiply(inputs["x"], 2)}

    def concurrency(self) -> ConcurrencyFigures:
        raise NotImplementedError

    def close(self) -> None:
        pass


class OneModel:
    """As much of a `ModelRepository` as inference needs."""

    def __init__(self, model: ServedModel) -> None:
        self._loaded = LoadedModels(lambda name, _: KeyError(name))
        self._loaded.put(LoadedModel(model, MemoryFigures(file_bytes=0, allocated_bytes=None)))

    def get(self, name: str, version: str | None) -> ServedModel:
        return self._loaded.get(name, version)

    def lease(self, name: str, version: str | None) -> Any:
        return self._loaded.lease(name, version)

    async def idle(self) -> bool:
        removed = self._loaded.remove("held", "1")
        assert removed is not None
        return await self._loaded.idle(removed, 10.0)


HELD_PATH = "/v2/models/held/infer"
HELD_REQUEST = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [2], "data": [1, 2]}]}


def held(keys: Keys) -> tuple[Client, HeldModel, OneModel]:
    model = HeldModel()
    repository = OneModel(model)
    client = client_of(repository, RequestLimits(timeout_s=20.0), Metrics(), keys)
    return client, model, repository


async def test_a_client_that_leaves_cancels_what_it_waits_for(keys: Keys) -> None:
    client, model, repository = held(keys)

    async def begun() -> None:
        await model.begun.wait()

    receive = sending(json.dumps(HELD_REQUEST).encode(), then=begun)
    assert await client.messages("POST", HELD_PATH, receive, {}) == []
    assert model.cancelled
    assert await repository.idle(), "nobody holds the model any more"
    (totals,) = (await client.metrics.totals()).values()
    assert totals.requests == {outcome_of(None): 1}


async def test_a_client_that_waits_is_answered_and_no_longer_watched(keys: Keys) -> None:
    client, model, _ = held(keys)
    before = asyncio.all_tasks()
    asking = asyncio.create_task(client.post(HELD_PATH, HELD_REQUEST))
    await model.begun.wait()
    model.go.set()
    assert (await asking).json["outputs"][0]["data"] == [2.0, 4.0]
    await asyncio.gather(*(asyncio.all_tasks() - before), return_exceptions=True)


async def test_a_request_that_the_server_cancels_is_not_taken_for_a_client_that_left(
    keys: Keys,
) -> None:
    client, model, _ = held(keys)
    asking = asyncio.create_task(client.post(HELD_PATH, HELD_REQUEST))
    await model.begun.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert model.cancelled


async def test_a_model_is_told_who_asks_how_long_there_is_and_what_not_to_keep(keys: Keys) -> None:
    client, model, _ = held(keys)
    model.go.set()
    begin_s = time.monotonic()
    await client.post(HELD_PATH, HELD_REQUEST)
    soon = HELD_REQUEST | {"parameters": {"timeout": 1_500_000}}
    await client.post(HELD_PATH, soon, key="infer", cache_control="max-age=0, No-Store")
    late = HELD_REQUEST | {"parameters": {"timeout": 10**12}}
    await client.post(HELD_PATH, late)
    end_s = time.monotonic()
    first, second, third = model.contexts
    assert (first.no_store, first.memory_namespace) == (False, "")
    assert (second.no_store, second.memory_namespace) == (True, "infer")
    for context, timeout_s in ((first, 20.0), (second, 1.5), (third, 20.0)):
        assert context.deadline_s is not None
        assert begin_s + timeout_s <= context.deadline_s <= end_s + timeout_s


async def test_a_model_that_fails_is_a_failure_of_the_server(
    keys: Keys, caplog: pytest.LogCaptureFixture
) -> None:
    client, model, _ = held(keys)
    model.go.set()
    wrong = {"inputs": [HELD_REQUEST["inputs"][0] | {"name": "z"}]}
    answer = await client.post(HELD_PATH, wrong)
    assert answer.refused(500, answer.headers["x-request-id"])
    assert "KeyError" in caplog.text
    assert ModelVersion(name="held", version="1") in await client.metrics.totals()
