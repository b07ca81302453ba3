"""One worker's application: the protocol's endpoint, FastAPI for the rest, and their parts."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from bicameral import __version__
from edge.memory.redis_memory import RedisServer
from server.endpoints.authorisation import anybody
from server.endpoints.body_budget import BodyBudget
from server.endpoints.canonical import canonical_router
from server.endpoints.classify import ClassifyEndpoint, ErrorAnswer
from server.endpoints.drive import drive_router
from server.endpoints.drive_live import drive_live_router
from server.endpoints.drive_stream import StreamParts, drive_stream_router
from server.endpoints.failures import answer_failures
from server.endpoints.learning import learning_router
from server.endpoints.management import management_router
from server.endpoints.memory import memory_router
from server.endpoints.model_cards import model_cards_router
from server.endpoints.open_inference import (
    Authorise,
    OpenInferenceEndpoint,
    OpenInferenceParts,
)
from server.endpoints.origins import OriginGuard, shared_with_origins
from server.endpoints.page import page_router
from server.instrumentation import Instrumented
from server.limits import ServerSettings
from server.live_board import LiveBoard
from server.metrics import Metrics
from server.processes.assignment import Assignment
from server.processes.replication import ReplicatedRepository, ReplicationTimes
from server.serving.parts import ServingParts
from server.serving.picture_input import PictureDecoder
from server.serving.repository import ModelRepository
from server.tracing import Traced, Tracing

_log = logging.getLogger(__name__)

#: How old the counters that models keep themselves, and the depths of queues, may be.
_SAMPLE_EVERY_S = 1.0


def create_app(
    settings: ServerSettings,
    folders: Sequence[Path],
    assignment: Assignment,
    authorise: Authorise = anybody,
    tracing: Tracing | None = None,
) -> ASGIApp:
    """Build the application of one worker; nothing is loaded before its lifespan begins.

    Args:
        settings: Limits, and where results are remembered.
        folders: Folders of models, see `server.serving.model_folder`.
        assignment: Which worker this is.
        authorise: Who may do what.
        tracing: Makes traces of requests; it is closed with the application. None: there are none.
    """
    metrics = Metrics(assignment.folder.metrics, assignment.slot)
    repository = _repository(settings, folders, metrics)
    times = ReplicationTimes(folders_s=settings.watch_s or None)
    replicated = ReplicatedRepository(repository, assignment, times, settings.learning)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await replicated.start()
        sampling = asyncio.create_task(_keep_sampling(metrics, repository))
        try:
            yield
        finally:
            sampling.cancel()
            await replicated.close()
            if tracing is not None:
                await asyncio.to_thread(tracing.close)

    # The pages that FastAPI makes of the document fetch their scripts from elsewhere.
    rest = FastAPI(
        title="bicameral",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        # With a default, FastAPI does not describe the 422 that is never answered here.
        responses={status: {"model": ErrorAnswer} for status in (401, 403, "default")},
    )
    answer_failures(rest)
    rest.include_router(management_router(replicated, metrics, authorise))
    classify = ClassifyEndpoint(repository, settings.requests, authorise)
    rest.include_router(classify.router())
    rest.include_router(drive_router(repository, settings.requests, authorise))
    board = LiveBoard(assignment.folder.live, assignment.slot)
    # Its status goes first when a worker ends.
    is_serving = assignment.folder.status(assignment.slot).exists
    rest.include_router(drive_live_router(repository, board, authorise, is_serving))
    rest.include_router(
        drive_stream_router(
            StreamParts(
                repository=repository,
                requests=settings.requests,
                streams=settings.streams,
                metrics=metrics,
                board=board,
                authorise=authorise,
            )
        )
    )
    rest.include_router(memory_router(repository, replicated, authorise))
    limits = settings.requests, settings.learning
    rest.include_router(learning_router(repository, replicated, limits, authorise))
    rest.include_router(model_cards_router(repository, authorise))
    rest.include_router(canonical_router(repository, settings.requests, authorise))
    rest.include_router(page_router())
    open_inference = OpenInferenceEndpoint(
        OpenInferenceParts(
            repository=repository,
            control=replicated,
            limits=settings.requests,
            why_not_ready=replicated.why_not_ready,
            totals=metrics.totals,
            authorise=authorise,
        )
    )
    routed = _Routed(open_inference, classify, rest)
    bounded = BodyBudget(routed, settings.requests.max_held_bytes)
    guarded = OriginGuard(bounded, settings.cors_origin, local=settings.local)
    app: ASGIApp = Instrumented(guarded, metrics, log_requests=assignment.logs.requests)
    if tracing is not None:
        app = Traced(app, tracing)
    # Outermost, so that every answer, also of a failure, may be read by those who are allowed to.
    return shared_with_origins(app, settings.cors_origin)


@dataclass(frozen=True, slots=True)
class _Routed:
    """Sends what needs no framework past it, since its routing costs more than a tiny network."""

    open_inference: ASGIApp
    classify: ClassifyEndpoint
    rest: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self.rest
        if scope["type"] == "http":
            if f"{scope['path']}/".startswith("/v2/"):
                app = self.open_inference
            elif self.classify.takes(scope):
                app = self.classify
        await app(scope, receive, send)


def _repository(
    settings: ServerSettings, folders: Sequence[Path], metrics: Metrics
) -> ModelRepository:
    parts = ServingParts(
        requests=settings.requests,
        batching=settings.batching,
        decoder=PictureDecoder(settings.requests, settings.batching),
        on_batch=metrics.count_batch,
        remember=settings.remember,
        redis=None if settings.redis_url is None else RedisServer(url=settings.redis_url),
    )
    return ModelRepository(folders, parts, drain_s=settings.drain_s)


async def _keep_sampling(metrics: Metrics, repository: ModelRepository) -> None:
    while True:
        try:
            await metrics.sample(repository.models())
        except Exception:
            _log.exception("counters of models could not be read; they are read again")
        await asyncio.sleep(_SAMPLE_EVERY_S)
