"""Traces of requests for OpenTelemetry: one span for each request, and one for each wait and run.

Nothing of this exists in a server that does not trace. What is exported, where to and how much of
it, is said by OpenTelemetry's own environment variables (``OTEL_*``).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from threading import Thread
from typing import TYPE_CHECKING, Any, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bicameral import __version__
from bicameral.errors import ConfigError, MissingExtraError
from server.logs import current_trace_id
from server.serving.computation import RecordedRun, RequestRecord, current_record

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor
    from opentelemetry.trace import Span

#: Probes ask again and again and tell nothing.
_NOT_TRACED: Final = ("/v2/health/", "/metrics")

#: How long the end of a worker waits for the last export; its requests are finished by then.
_CLOSE_S: Final = 2.0

_EXPORTERS: Final = ("otlp", "console")


class Tracing:
    """Makes spans and hands them to a processor."""

    def __init__(self, processor: SpanProcessor) -> None:
        """Start tracing.

        Args:
            processor: Takes what is sampled (``OTEL_TRACES_SAMPLER``, by default everything that
                the caller has not decided against).

        Raises:
            MissingExtraError: If OpenTelemetry is not installed.
        """
        try:
            from opentelemetry import propagate, trace
            from opentelemetry.sdk.resources import (
                SERVICE_NAME,
                SERVICE_VERSION,
                OTELResourceDetector,
                Resource,
            )
            from opentelemetry.sdk.trace import TracerProvider
        except ImportError as error:
            raise MissingExtraError("opentelemetry-sdk", "tracing") from error
        own = Resource({SERVICE_NAME: "bicameral", SERVICE_VERSION: __version__})
        # The environment goes before (OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES).
        named = own.merge(OTELResourceDetector().detect())
        self._provider = TracerProvider(
            resource=Resource.create(named.attributes), shutdown_on_exit=False
        )
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("bicameral.server", __version__)
        self._extract = propagate.extract
        self._trace = trace

    def begin(self, scope: Scope) -> Span:
        """Begin the span of a request, as part of the trace that its headers name."""
        headers = scope["headers"]
        carrier = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}
        return self._tracer.start_span(
            scope["method"],
            context=self._extract(carrier),
            kind=self._trace.SpanKind.SERVER,
            attributes={
                "http.request.method": scope["method"],
                "url.scheme": scope.get("scheme", "http"),
                "url.path": scope["path"],
            },
        )

    def end(self, span: Span, scope: Scope, status: int | None, record: RequestRecord) -> None:
        """End it, with what has become known about the request.

        Args:
            span: The request's.
            scope: The request.
            status: Of the answer; None: the client did not wait for it.
            record: What happened inside of the model.
        """
        if span.is_recording():
            route = _route(scope)
            span.update_name(f"{scope['method']} {route}")
            span.set_attributes(_attributes(scope, route, status, record))
            if status is None or status >= 500:
                span.set_status(self._trace.StatusCode.ERROR)
            inside = self._trace.set_span_in_context(span)
            for run in record.runs:
                self._add_run(run, inside)
        span.end()

    def close(self) -> None:
        """Export what is left, as far as whoever takes it is quick."""
        # A thread that the end of the process does not wait for.
        closing = Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        closing.join(_CLOSE_S)

    def _add_run(self, run: RecordedRun, inside: Any) -> None:
        batch = run.batch
        start_ns = run.end_ns - round(1e9 * batch.run_s)
        arrived_ns = start_ns - round(1e9 * run.wait_s)
        if run.wait_s > 0.0:
            waiting = self._tracer.start_span("queue", context=inside, start_time=arrived_ns)
            waiting.end(start_ns)
        running = self._tracer.start_span(
            batch.computation,
            context=inside,
            start_time=start_ns,
            attributes={"inference.batch_size": batch.rows, "inference.in_place": batch.in_place},
        )
        running.end(run.end_ns)


class Traced:
    """An application whose requests are traced; WebSockets and probes are not."""

    def __init__(self, app: ASGIApp, tracing: Tracing) -> None:
        """Wrap an application."""
        self._app = app
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http" or scope["path"].startswith(_NOT_TRACED):
            await self._app(scope, receive, send)
            return
        span = self._tracing.begin(scope)
        record = RequestRecord()
        outside = (
            current_trace_id.set(f"{span.get_span_context().trace_id:032x}"),
            current_record.set(record),
        )
        status: int | None = None

        async def send_noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_noting)
        finally:
            self._tracing.end(span, scope, status, record)
            current_trace_id.reset(outside[0])
            current_record.reset(outside[1])


def _attributes(
    scope: Scope, route: str, status: int | None, record: RequestRecord
) -> dict[str, str | int | float]:
    """Return what has become known about a request."""
    state = scope["state"]
    found: dict[str, str | int | float] = {"http.route": route, "request.id": state["request_id"]}
    if status is not None:
        found["http.response.status_code"] = status
    if "model" in state:
        found["inference.model.name"] = state["model"].name
        found["inference.model.version"] = state["model"].version
    if record.runs:
        found["inference.batch_size"] = max(run.batch.rows for run in record.runs)
        found["inference.queue_s"] = sum(run.wait_s for run in record.runs)
        found["inference.run_s"] = sum(run.batch.run_s for run in record.runs)
    if record.stages:
        found["result_memory.hits"] = record.stages["memory"]
        found |= {f"cascade.stage.{stage}": images for stage, images in record.stages.items()}
    return found


def _route(scope: Scope) -> str:
    """Return the path with placeholders for names, so that spans of one kind have one name."""
    # Anybody may ask for anything.
    return str(scope["route"].path).replace(":path}", "}") if "route" in scope else "unknown"


def start_tracing(environment: Mapping[str, str] = os.environ) -> Tracing:
    """Start tracing to where the environment says, by default OTLP over HTTP to localhost.

    Args:
        environment: ``OTEL_TRACES_EXPORTER`` is ``otlp`` or ``console``; the exporter itself reads
            ``OTEL_EXPORTER_OTLP_ENDPOINT`` and its other variables.

    Raises:
        ConfigError: If there is no such exporter.
        MissingExtraError: If OpenTelemetry is not installed.
    """
    name = environment.get("OTEL_TRACES_EXPORTER") or "otlp"
    if name not in _EXPORTERS:
        raise ConfigError(
            f"OTEL_TRACES_EXPORTER is {name!r}, expected {' or '.join(map(repr, _EXPORTERS))}"
        )
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter
    except ImportError as error:
        raise MissingExtraError("opentelemetry-exporter-otlp-proto-http", "tracing") from error
    exporter = OTLPSpanExporter() if name == "otlp" else ConsoleSpanExporter()
    return Tracing(BatchSpanProcessor(exporter))
