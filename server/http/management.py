"""What operators ask for beside the protocol: figures, workers, single versions of models."""

from __future__ import annotations

from pydantic import BaseModel
from starlette.responses import Response

from server.http.endpoint import Endpoint
from server.http.exchange import Request, json_answer
from server.metrics import EXPOSITION_TYPE, Metrics
from server.processes.run_folder import RunFolder
from server.serving.repository import ModelRepository


class WorkerAnswer(BaseModel):
    """A process that shares the port.

    Attributes:
        pid: Its number.
    """

    pid: int


class WorkersAnswer(BaseModel):
    """The workers of a server.

    Attributes:
        ready: Whether the one that answers has models that answer.
        reason: Why not; empty if so.
        workers: All that serve.
    """

    ready: bool
    reason: str
    workers: list[WorkerAnswer]


def describe_workers(repository: ModelRepository, run_folder: RunFolder) -> WorkersAnswer:
    """Tell how the workers are."""
    reason = repository.why_not_ready()
    return WorkersAnswer(
        ready=reason is None,
        reason=reason or "",
        workers=[WorkerAnswer(pid=pid) for pid in run_folder.worker_pids()],
    )


def management_endpoints(
    repository: ModelRepository, run_folder: RunFolder, metrics: Metrics
) -> list[Endpoint]:
    """Return the endpoints.

    Args:
        repository: Loads and unloads models.
        run_folder: Where the processes meet.
        metrics: What all of them did.
    """

    async def read_metrics(_: Request) -> Response:
        """Return the sums over all workers in Prometheus' text format."""
        return Response(await metrics.exposition(), media_type=EXPOSITION_TYPE)

    async def read_workers(_: Request) -> Response:
        """Return the processes that share the port."""
        return json_answer(describe_workers(repository, run_folder))

    async def load(request: Request) -> Response:
        """Load one version of a model; the highest one that is loaded is served.

        The worker that answers has it; the others follow within the server's ``watch_s``.
        """
        await repository.load(request.path["model"], request.path["version"])
        return Response(status_code=204)

    async def unload(request: Request) -> Response:
        """Unload one version of a model; requests that use it are finished.

        The worker that answers has done so; the others follow within the server's ``watch_s``.
        """
        await repository.unload(request.path["model"], request.path["version"])
        return Response(status_code=204)

    change = "/v1/models/{model}/versions/{version}"
    return [
        Endpoint(
            method="GET",
            path="/metrics",
            handler=read_metrics,
            right="metrics",
            tag="management",
            answer={"text/plain": {}},
        ),
        Endpoint(
            method="GET",
            path="/v1/workers",
            handler=read_workers,
            right="manage",
            tag="management",
            answer=WorkersAnswer,
        ),
        *(
            Endpoint(
                method="POST",
                path=f"{change}/{handler.__name__}",
                handler=handler,
                right="manage",
                tag="management",
            )
            for handler in (load, unload)
        ),
    ]
