"""What operators ask for beside the protocol: figures, workers, single versions of models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pydantic import BaseModel
from starlette.responses import Response

from server.http.endpoint import Described, Endpoint
from server.http.exchange import Request, json_answer
from server.http.open_inference import ModelControl
from server.metrics import EXPOSITION_TYPE, Metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class Workers:
    """The workers of a server.

    Attributes:
        why_not_ready: Says why the one that is asked should get no requests; None: it should.
        pids: Lists the processes that serve.
    """

    why_not_ready: Callable[[], str | None]
    pids: Callable[[], list[int]]


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


def describe_workers(workers: Workers) -> WorkersAnswer:
    """Tell how the workers are."""
    reason = workers.why_not_ready()
    return WorkersAnswer(
        ready=reason is None,
        reason=reason or "",
        workers=[WorkerAnswer(pid=pid) for pid in workers.pids()],
    )


def management_endpoints(
    models: ModelControl, workers: Workers, metrics: Metrics
) -> list[Endpoint]:
    """Return the endpoints.

    Args:
        models: Loads and unloads models.
        workers: The processes.
        metrics: What all of them did.
    """

    async def read_metrics(_: Request) -> Response:
        """Return the sums over all workers in Prometheus' text format."""
        return Response(await metrics.exposition(), media_type=EXPOSITION_TYPE)

    async def read_workers(_: Request) -> Response:
        """Return the processes that share the port."""
        return json_answer(describe_workers(workers))

    async def load(request: Request) -> Response:
        """Load one version of a model; the highest one that is loaded is served.

        The worker that answers has it; the others follow within the server's ``watch_s``.
        """
        await models.load(request.path["model"], request.path["version"])
        return Response(status_code=204)

    async def unload(request: Request) -> Response:
        """Unload one version of a model; requests that use it are finished.

        The worker that answers has done so; the others follow within the server's ``watch_s``.
        """
        await models.unload(request.path["model"], request.path["version"])
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
