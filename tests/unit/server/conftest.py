"""What served models are built from, and a way to talk to the application of one worker."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.types import ASGIApp, Message

from server.app import create_app
from server.http.authorisation import Authorise
from server.limits import BatchLimits, RequestLimits, ServerSettings
from server.processes.run_folder import RunFolder
from server.processes.supervisor import AppFactory
from server.serving.computation import BatchRecord
from server.serving.picture_input import PictureDecoder
from server.serving.served_model import ModelVersion, ServingParts
from server.tracing import Tracing

PartsMaker = Callable[..., ServingParts]
Use = Callable[[httpx.AsyncClient], Awaitable[Any]]


@pytest.fixture
def batches() -> list[tuple[ModelVersion, BatchRecord]]:
    """The runs of all models of the test."""
    return []


@pytest.fixture
def make_parts(batches: list[tuple[ModelVersion, BatchRecord]]) -> PartsMaker:
    """Make `ServingParts`; keywords set fields of the limits, or of the parts themselves."""

    def make(
        *,
        requests: dict[str, Any] | None = None,
        batching: dict[str, Any] | None = None,
        **fields: Any,
    ) -> ServingParts:
        request_limits = RequestLimits(**(requests or {}))
        batch_limits = BatchLimits(**(batching or {}))
        return ServingParts(
            requests=request_limits,
            batching=batch_limits,
            decoder=PictureDecoder(request_limits, batch_limits),
            on_batch=lambda model, record: batches.append((model, record)),
            **fields,
        )

    return make


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """An empty folder of models."""
    folder = tmp_path / "models"
    folder.mkdir()
    return folder


@pytest.fixture
def write_pair(write_pair: Callable[..., Path]) -> Callable[..., Path]:
    """Write a pair, as everywhere, that remembers pictures unless told otherwise."""
    return lambda folder, **how: write_pair(folder, **({"memory": {}} | how))


@pytest.fixture
def serve_folder(serve_app: Callable[[AppFactory, Use], Any]) -> Callable[..., Any]:
    """Serve a folder of models; ``settings`` are fields of `ServerSettings`."""

    def serve(
        folder: Path,
        use: Use,
        authorise: Authorise | None = None,
        tracing: Tracing | None = None,
        **settings: Any,
    ) -> Any:
        return serve_app(
            lambda run_folder: create_app(
                ServerSettings(**settings), [folder], run_folder, authorise, tracing
            ),
            use,
        )

    return serve


@pytest.fixture
def serve_app(tmp_path: Path) -> Callable[[AppFactory, Use], Any]:
    """Run a worker's application from its start to its end; returns what its user returns."""

    def serve(make_app: AppFactory, use: Use) -> Any:
        folder = RunFolder(path=tmp_path / "run")
        folder.workers.mkdir(parents=True)
        app = make_app(folder)
        return asyncio.run(_use(app, use))

    return serve


async def _use(app: ASGIApp, use: Use) -> Any:
    orders: asyncio.Queue[Message] = asyncio.Queue()
    reports: asyncio.Queue[Message] = asyncio.Queue()
    lifespan = asyncio.create_task(
        app({"type": "lifespan", "state": {}}, orders.get, reports.put)  # type: ignore[arg-type]
    )
    orders.put_nowait({"type": "lifespan.startup"})
    assert (await reports.get())["type"] == "lifespan.startup.complete"
    try:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await use(client)
    finally:
        orders.put_nowait({"type": "lifespan.shutdown"})
        await lifespan
