"""A real server that sends its traces over OTLP to a collector, which then stops answering."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("opentelemetry.sdk", reason="the extra 'tracing' is not installed")
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)

PATIENCE_S = 180.0
TRACE = "0af7651916cd43dd8448eb211c80319c"


class Collector(ThreadingHTTPServer):
    """Takes traces; once it is silent, it takes connections and answers nothing."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.silent = threading.Event()
        self.asked = threading.Event()
        self.received = threading.Event()
        self.end = threading.Event()
        self.exports: list[ExportTraceServiceRequest] = []


class _Handler(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.silent.is_set():
            self.server.asked.set()
            self.server.end.wait(PATIENCE_S)
            return
        assert self.path == "/v1/traces"
        self.server.exports.append(ExportTraceServiceRequest.FromString(body))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
        self.server.received.set()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.end.set()
        server.shutdown()
        thread.join()


def test_traces_reach_the_collector_and_a_silent_one_holds_nobody_up(
    tmp_path: Path,
    collector: Collector,
    write_classifier: Callable[..., Path],
    serving: Callable[..., Any],
) -> None:
    (tmp_path / "models").mkdir()
    write_classifier(tmp_path / "models", "net")
    environment = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.server_port}",
        "OTEL_BSP_SCHEDULE_DELAY": "50",
    }
    options = ("--workers=1", "--tracing", "--drain-s=1")
    log = tmp_path / "serve.log"
    with serving(tmp_path / "models", log, *options, environment=environment) as server:
        traceparent = f"00-{TRACE}-b7ad6b7169203331-01"
        assert server.status("/v2/models/net", traceparent=traceparent) == 200
        assert collector.received.wait(PATIENCE_S)
        (export,) = collector.exports
        resource = export.resource_spans[0]
        names = {one.key: one.value.string_value for one in resource.resource.attributes}
        assert names["service.name"] == "bicameral"
        (span,) = resource.scope_spans[0].spans
        assert (span.name, span.trace_id.hex()) == ("GET /v2/models/{model}", TRACE)

        collector.silent.set()
        assert server.status("/v2") == 200
        assert collector.asked.wait(PATIENCE_S)
        assert server.status("/v2") == 200
        assert server.end() == 0, log.read_text()
