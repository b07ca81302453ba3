"""What operators ask for beside the protocol: figures, workers, single versions of models."""

from __future__ import annotations

from typing import Protocol

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from server.endpoints.open_inference import Authorise, ModelControl
from server.metrics import EXPOSITION_TYPE, Metrics
from server.processes.worker_status import WorkerStatus


class Workers(ModelControl, Protocol):
    """All workers of a server."""

    def why_not_ready(self) -> str | None:
        """Return why the server should get no requests; None: it should."""

    def workers(self) -> dict[int, WorkerStatus]:
        """Return the status of every worker that lives."""


class WorkersAnswer(BaseModel):
    """The workers of a server.

    Attributes:
        ready: Whether all of them live and serve the same models.
        reason: Why not; empty if so.
        workers: Those that live.
    """

    ready: bool
    reason: str
    workers: list[WorkerStatus]


def management_router(workers: Workers, metrics: Metrics, authorise: Authorise) -> APIRouter:
    """Build the routes.

    Args:
        workers: Load and unload models, everywhere.
        metrics: What all of them did.
        authorise: Who may do what.
    """
    router = APIRouter(tags=["management"])

    @router.get("/metrics", response_class=Response)
    def read_metrics(request: Request) -> Response:
        """Return the sums over all workers in Prometheus' text format."""
        authorise(request.scope, "metrics")
        return Response(metrics.exposition(), media_type=EXPOSITION_TYPE)

    @router.get("/v1/workers")
    async def read_workers(request: Request) -> WorkersAnswer:
        """Return the processes that share the port, and what each of them has loaded so far."""
        authorise(request.scope, "manage")
        reason = workers.why_not_ready()
        return WorkersAnswer(
            ready=reason is None,
            reason=reason or "",
            workers=[status for _, status in sorted(workers.workers().items())],
        )

    @router.post("/v1/models/{model}/versions/{version}/load", status_code=204)
    async def load(request: Request, model: str, version: str) -> None:
        """Load one version of a model in all workers; the highest one that is loaded is served."""
        authorise(request.scope, "manage")
        await workers.load(model, version)

    @router.post("/v1/models/{model}/versions/{version}/unload", status_code=204)
    async def unload(request: Request, model: str, version: str) -> None:
        """Unload one version of a model in all workers; requests that use it are finished."""
        authorise(request.scope, "manage")
        await workers.unload(model, version)

    return router
