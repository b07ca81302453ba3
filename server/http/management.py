"""What operators ask for beside the protocol: figures, workers, single versions of models."""

from __future__ import annotations

import asyncio
from typing import Protocol

from pydantic import BaseModel
from starlette.responses import Response

from server.http.endpoint import Described, Endpoint
from server.http.exchange import Request, json_answer
from server.http.open_inference import ModelControl
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


def describe_workers(workers: Workers) -> WorkersAnswer:
    """Tell how all workers are."""
    reason = workers.why_not_ready()
    return WorkersAnswer(
        ready=reason is None,
        reason=reason or "",
        workers=[status for _, status in sorted(workers.workers().items())],
    )


def management_endpoints(workers: Workers, metrics: Metrics) -> list[Endpoint]:
    """Return the endpoints.

    Args:
        workers: Load and unload models, everywhere.
        metrics: What all of them did.
    """

    async def read_metrics(_: Request) -> Response:
        """Return the sums over all workers in Prometheus' text format."""
        text = await asyncio.to_thread(metrics.exposition)
        return Response(text, media_type=EXPOSITION_TYPE)

    async def read_workers(_: Request) -> Response:
        """Return the processes that share the port, and what each of them has loaded so far."""
        return json_answer(describe_workers(workers).model_dump(mode="json"))

    async def load(request: Request) -> Response:
        """Load one version of a model in all workers; the highest one that is loaded is served."""
        await workers.load(request.path["model"], request.path["version"])
        return Response(status_code=204)

    async def unload(request: Request) -> Response:
        """Unload one version of a model in all workers; requests that use it are finished."""
        await workers.unload(request.path["model"], request.path["version"])
        return Response(status_code=204)

    change = "/v1/models/{model}/versions/{version}"
    return [
        Endpoint(
            method="GET",
            path="/metrics",
            handler=read_metrics,
            right="metrics",
            described=Described(tag="management", answer={"text/plain": {}}),
        ),
        Endpoint(
            method="GET",
            path="/v1/workers",
            handler=read_workers,
            right="manage",
            described=Described(tag="management", answer=WorkersAnswer),
        ),
        *(
            Endpoint(
                method="POST",
                path=f"{change}/{handler.__name__}",
                handler=handler,
                right="manage",
                described=Described(tag="management"),
            )
            for handler in (load, unload)
        ),
    ]
