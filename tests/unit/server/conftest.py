"""What served models are built from, and a way to talk to the application of one worker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.types import Message

from server.app import create_app
from server.http.authorisation import Authorise
from server.limits import BatchLimits, RequestLimits, ServerSettings
from server.processes.run_folder import RunFolder
from server.processes.supervisor import AppFactory
from server.serving.computation import BatchRecord
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
    """Make `ServingParts`; keywords set fields of the limits, or of the settings themselves."""

    def make(
        *,
        requests: dict[str, Any] | None = None,
        batching: dict[str, Any] | None = None,
        **fields: Any,
    ) -> ServingParts:
        settings = ServerSettings(
            requests=RequestLimits(**(requests or {})),
            batching=BatchLimits(**(batching or {})),
            **fields,
        )
        return ServingParts(settings, lambda model, record: batches.append((model, record)))

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
def serving_folder(serving_app: Callable[..., Any]) -> Callable[..., Any]:
    """Serve a folder of models while a context is open; ``settings`` are of `ServerSettings`."""

    def serve(
        folder: Path,
        authorise: Authorise | None = None,
        tracing: Tracing | None = None,
        **settings: Any,
    ) -> Any:
        return serving_app(
            lambda run_folder: create_app(
                ServerSettings(**settings), [folder], run_folder, authorise, tracing
            )
        )

    return serve


@pytest.fixture
def serving_app(tmp_path: Path) -> Callable[..., Any]:
    """Run a worker's application, and talk to it, while a context is open."""

    @asynccontextmanager
    async def serve(make_app: AppFactory) -> AsyncIterator[httpx.AsyncClient]:
        run_folder = RunFolder(path=tmp_path / "run")
        run_folder.workers.mkdir(parents=True)
        app = make_app(run_folder)
        orders: asyncio.Queue[Message] = asyncio.Queue()
        reports: asyncio.Queue[Message] = asyncio.Queue()
        lifespan = asyncio.create_task(
            app({"type": "lifespan", "state": {}}, orders.get, reports.put)  # type: ignore[arg-type]
        )
        orders.put_nowait({"type": "lifespan.startup"})
        assert (await reports.get())["type"] == "lifespan.startup.complete"
        try:
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(
                transport=transport, base_url="http://localhost"
            ) as client:
                yield client
        finally:
            orders.put_nowait({"type": "lifespan.shutdown"})
            await lifespan

    return serve


@pytest.fixture
def serve_folder(serving_folder: Callable[..., Any]) -> Callable[..., Any]:
    """Serve a folder for one scenario, and return what it returns."""

    def serve(folder: Path, use: Use, *args: Any, **settings: Any) -> Any:
        async def run() -> Any:
            async with serving_folder(folder, *args, **settings) as client:
                return await use(client)

        return asyncio.run(run())

    return serve
