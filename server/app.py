"""One worker's application: all endpoints, and what they stand on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from pathlib import Path

from starlette.routing import Router
from starlette.types import ASGIApp

from server.http.authorisation import Authorise
from server.http.canonical import canonical_endpoint
from server.http.classify import classify_endpoint
from server.http.complete import complete_endpoint
from server.http.drive import drive_endpoints
from server.http.drive_live import drive_live_endpoint
from server.http.drive_stream import StreamParts, drive_stream_endpoint
from server.http.endpoint import Endpoint
from server.http.learning import learning_endpoints
from server.http.live import live_endpoint
from server.http.management import management_endpoints
from server.http.memory import memory_endpoints
from server.http.model_cards import model_cards_endpoint
from server.http.open_inference import OpenInference
from server.http.openapi import document_endpoint
from server.http.origins import shared_with_origins
from server.http.page import page_endpoints
from server.http.stack import HttpStack, StackParts
from server.limits import ServerSettings
from server.live_board import LiveBoard
from server.metrics import Metrics
from server.processes.http_protocol import ENDING
from server.processes.run_folder import RunFolder
from server.serving.repository import ModelRepository
from server.serving.served_model import ServingParts
from server.tracing import Traced, Tracing

_log = logging.getLogger(__name__)

#: How old the counters that models keep themselves, and the depths of queues, may be.
_SAMPLE_EVERY_S = 1.0


def create_app(
    settings: ServerSettings,
    folders: Sequence[Path],
    run_folder: RunFolder,
    authorise: Authorise | None = None,
    tracing: Tracing | None = None,
) -> ASGIApp:
    """Build the application of one worker; nothing is loaded before its lifespan begins.

    Args:
        settings: Limits, and where results are remembered.
        folders: Folders of models, see `server.serving.model_folder`.
        run_folder: Where the workers of the server meet.
        authorise: Who may do what; None: everybody may do everything.
        tracing: Makes traces of requests; it is closed with the application. None: there are none.
    """
    app: ASGIApp
    metrics = Metrics()
    serving = ServingParts(settings, metrics.count_batch)
    repository = ModelRepository(folders, serving, notes=run_folder.notes)

    @asynccontextmanager
    async def lifespan(_: object) -> AsyncIterator[None]:
        await repository.start()
        tasks = [
            asyncio.create_task(_keep_sampling(metrics, repository)),
            asyncio.create_task(_keep_following(repository, settings)),
        ]
        try:
            async with _grpc_beside(app, settings):
                with run_folder.registered():
                    yield
        finally:
            for task in tasks:
                task.cancel()
            await repository.close()
            if tracing is not None:
                await asyncio.to_thread(tracing.close)

    board = LiveBoard(run_folder.live)
    stream = StreamParts(repository=repository, settings=settings, metrics=metrics, board=board)
    endpoints: list[Endpoint] = [
        classify_endpoint(repository, settings.requests),
        *OpenInference(repository=repository, totals=metrics.totals).endpoints(),
        *drive_endpoints(repository),
        drive_live_endpoint(repository, board, lambda: not ENDING.is_set()),
        canonical_endpoint(repository),
        complete_endpoint(repository),
        model_cards_endpoint(repository),
        *memory_endpoints(repository),
        *learning_endpoints(repository, settings),
        *management_endpoints(repository, run_folder, metrics),
        live_endpoint(repository, metrics, run_folder),
        *page_endpoints(),
    ]
    parts = StackParts(
        settings=settings,
        metrics=metrics,
        work=serving.decoder.work,
        lifespan=Router(lifespan=lifespan),
        authorise=authorise,
    )
    app = HttpStack(
        parts, [*endpoints, document_endpoint(endpoints)], [drive_stream_endpoint(stream)]
    )
    if tracing is not None:
        app = Traced(app, tracing)
    # Outermost, so that every answer, also of a failure, may be read by those who are allowed to.
    return shared_with_origins(app, settings.cors_origin)


def _grpc_beside(app: ASGIApp, settings: ServerSettings) -> AbstractAsyncContextManager[None]:
    """Answer gRPC meanwhile, if that is wanted."""
    if settings.grpc_port is None:
        return nullcontext()
    from server.grpc.listening import grpc_port  # it needs an extra

    return grpc_port(app, settings)


async def _keep_sampling(metrics: Metrics, repository: ModelRepository) -> None:
    while True:
        try:
            await metrics.sample(repository.models())
        except Exception:
            _log.exception("counters of models could not be read; they are read again")
        await asyncio.sleep(_SAMPLE_EVERY_S)


async def _keep_following(repository: ModelRepository, settings: ServerSettings) -> None:
    """Follow the folders of models, and what other workers were asked."""
    while True:
        await asyncio.sleep(settings.follow_s)
        try:
            await (repository.refresh() if settings.watch_s else repository.follow())
        except Exception:
            _log.exception("this worker cannot follow what has changed; it tries again")
