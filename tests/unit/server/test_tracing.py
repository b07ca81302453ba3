"""Traces of real requests, exported to memory: the whole application of one worker."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest

from bicameral.errors import ConfigError
from server.limits import BatchLimits, ServerSettings
from server.logs import JsonFormatter, current_trace_id
from server.tracing import Tracing, start_tracing

sdk = pytest.importorskip("opentelemetry.sdk.trace", reason="the extra 'tracing' is not installed")
from opentelemetry.sdk.trace.export import SimpleSpanProcessor  # noqa: E402
from opentelemetry.sdk.trace.export.in_memory_span_exporter import (  # noqa: E402
    InMemorySpanExporter,
)
from opentelemetry.trace import SpanKind, StatusCode  # noqa: E402

Writer = Callable[..., Path]
Use = Callable[[httpx.AsyncClient], Awaitable[Any]]

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def serve(
    models: Path,
    exporter: InMemorySpanExporter,
    write_pair: Writer,
    serve_folder: Callable[..., Any],
) -> Callable[..., list[Any]]:
    """Run a scenario against a traced application; returns the spans, in order of their ends."""
    write_pair(models, threshold=0.0)

    def run(use: Use, **settings: Any) -> list[Any]:
        tracing = Tracing(SimpleSpanProcessor(exporter))
        serve_folder(models, use, tracing=tracing, **settings)
        return list(exporter.get_finished_spans())

    return run


async def classify(client: httpx.AsyncClient, image: np.ndarray, **headers: str) -> httpx.Response:
    picture = cv2.imencode(".png", image)[1].tobytes()
    return await client.post("/v1/classify/pair", content=picture, headers=headers)


def test_a_request_is_a_span_that_tells_what_answered(
    serve: Callable[..., list[Any]], pictures: np.ndarray
) -> None:
    async def use(client: httpx.AsyncClient) -> None:
        for identity in ("first", "second"):
            await classify(client, pictures[0], **{"X-Request-Id": identity})

    run, first, second = serve(use)
    for span, identity in ((first, "first"), (second, "second")):
        assert (span.name, span.kind) == ("POST /v1/classify/{model}", SpanKind.SERVER)
        assert span.parent is None
        assert span.attributes is not None
        expected = {
            "http.request.method": "POST",
            "http.response.status_code": 200,
            "http.route": "/v1/classify/{model}",
            "url.path": "/v1/classify/pair",
            "request.id": identity,
            "inference.model.name": "pair",
            "inference.model.version": "1",
        }
        assert expected.items() <= span.attributes.items()
    assert first.attributes["cascade.stage.a"] == 1
    assert first.attributes["result_memory.hits"] == 0
    assert first.attributes["inference.batch_size"] == 1
    assert first.attributes["inference.queue_s"] == 0.0
    assert first.attributes["inference.run_s"] > 0.0
    assert second.attributes["cascade.stage.memory"] == 1
    assert second.attributes["result_memory.hits"] == 1
    assert "inference.run_s" not in second.attributes, "the memory answered"
    assert run.name == "classify"
    assert run.parent.span_id == first.context.span_id
    assert first.start_time <= run.start_time <= run.end_time <= first.end_time
    assert first.resource.attributes["service.name"] == "bicameral"


def test_requests_that_share_a_run_tell_its_size_and_their_wait(
    serve: Callable[..., list[Any]], pictures: np.ndarray
) -> None:
    async def use(client: httpx.AsyncClient) -> None:
        image = {"name": "image", "datatype": "UINT8", "shape": [1, *pictures.shape[1:]]}
        bodies = [{"inputs": [image | {"data": one.flatten().tolist()}]} for one in pictures[:4]]
        await asyncio.gather(*(client.post("/v2/models/pair/infer", json=body) for body in bodies))

    # Everything runs in the thread, and however slow this machine is, four rows fit into a run.
    limits = BatchLimits(in_place_s=0.0, max_run_s=60.0, max_wait_s=60.0)
    spans = serve(use, batching=limits, remember=False)
    requests = [span for span in spans if span.kind is SpanKind.SERVER]
    assert {span.name for span in requests} == {"POST /v2/models/{model}/infer"}
    sizes = sorted(span.attributes["inference.batch_size"] for span in requests)
    assert sizes == [4, 4, 4, 4]
    for span in requests:
        inside = [one for one in spans if one.parent and one.parent.span_id == span.context.span_id]
        assert [one.name for one in inside if one.name != "queue"] == ["classify"]
        queue, run = sorted(inside, key=lambda one: one.start_time)
        assert queue.name == "queue"
        assert queue.end_time == run.start_time
        assert run.attributes == {"inference.batch_size": 4, "inference.in_place": False}


def test_a_request_joins_the_trace_of_its_caller(
    serve: Callable[..., list[Any]], pictures: np.ndarray
) -> None:
    async def use(client: httpx.AsyncClient) -> None:
        await classify(client, pictures[0], traceparent=f"00-{TRACE}-{PARENT}-01")
        await classify(client, pictures[0], traceparent=f"00-{TRACE}-{PARENT}-00")
        await classify(client, pictures[0], traceparent="00-nonsense")

    _, joined, own = serve(use)
    assert f"{joined.context.trace_id:032x}" == TRACE
    assert f"{joined.parent.span_id:016x}" == PARENT
    assert own.parent is None, "the second one's caller traces nothing"
    assert f"{own.context.trace_id:032x}" != TRACE


def test_failures_are_marked_and_strangers_make_no_new_names(
    serve: Callable[..., list[Any]],
) -> None:
    async def use(client: httpx.AsyncClient) -> None:
        for path in ("/nothing/1", "/v2/nothing/2", "/v2/models/stranger", "/v1/memory/stranger"):
            await client.get(path)
        await client.get("/v2/models/pair/versions/1/stats")
        await client.get("/v2")
        await client.post("/v2/trace/setting")
        for probe in ("/v2/health/live", "/v2/health/ready", "/metrics"):
            await client.get(probe)

    spans = serve(use)
    assert [(span.name, span.status.status_code) for span in spans] == [
        *[("GET unknown", StatusCode.UNSET)] * 2,
        ("GET /v2/models/{model}", StatusCode.UNSET),
        ("GET /v1/memory/{model}", StatusCode.UNSET),
        ("GET /v2/models/{model}/versions/{version}/stats", StatusCode.UNSET),
        ("GET /v2", StatusCode.UNSET),
        ("POST /v2/trace/{rest}", StatusCode.ERROR),
    ]


def test_logs_name_the_trace_and_the_request(
    serve: Callable[..., list[Any]], caplog: pytest.LogCaptureFixture
) -> None:
    lines: list[dict[str, Any]] = []

    class Spy(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(json.loads(JsonFormatter("worker-0").format(record)))

    async def use(client: httpx.AsyncClient) -> None:
        headers = {"traceparent": f"00-{TRACE}-{PARENT}-01", "X-Request-Id": "id7"}
        await client.post("/v2/repository/models/a/unload", headers=headers)

    logger, spy = logging.getLogger("server.serving.model_loader"), Spy()
    logger.addHandler(spy)
    caplog.set_level(logging.INFO, logger="server")
    try:
        serve(use)
    finally:
        logger.removeHandler(spy)
    unloaded = next(line for line in lines if "unloaded a" in line["message"])
    assert (unloaded["trace_id"], unloaded["request_id"]) == (TRACE, "id7")
    loaded = next(line for line in lines if "loaded a" in line["message"])
    assert "trace_id" not in loaded, "that was no request's doing"
    assert current_trace_id.get() is None
    assert ServerSettings().log_format == "text"


def test_the_environment_names_the_service_and_decides_what_is_sampled(
    serve: Callable[..., list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def use(client: httpx.AsyncClient) -> None:
        await client.get("/v2")
        await client.get("/v2", headers={"traceparent": f"00-{TRACE}-{PARENT}-01"})

    monkeypatch.setenv("OTEL_SERVICE_NAME", "mine")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_always_off")
    (span,) = serve(use)
    assert f"{span.context.trace_id:032x}" == TRACE
    assert span.resource.attributes["service.name"] == "mine"


def test_an_exporter_that_nobody_knows_is_refused() -> None:
    with pytest.raises(ConfigError, match="'zipkin', expected 'otlp' or 'console'"):
        start_tracing({"OTEL_TRACES_EXPORTER": "zipkin"})


def test_a_server_that_does_not_trace_does_not_even_import_it() -> None:
    code = "import sys, server.app; print('opentelemetry.sdk' in sys.modules)"
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"
