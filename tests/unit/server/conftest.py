"""What served models are built from, and a way to talk to the application of one worker."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.types import ASGIApp, Message

from server.limits import BatchLimits, RequestLimits
from server.processes.run_folder import RunFolder
from server.processes.supervisor import AppFactory
from server.serving.computation import BatchRecord
from server.serving.picture_input import PictureDecoder
from server.serving.served_model import ModelVersion, ServingParts

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
        async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
            return await use(client)
    finally:
        orders.put_nowait({"type": "lifespan.shutdown"})
        await lifespan
