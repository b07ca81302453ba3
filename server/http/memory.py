"""The result memories of cascades: what they did, and how to make them forget."""

from __future__ import annotations

from pydantic import BaseModel
from starlette.responses import Response

from bicameral.types import MemoryCounters
from server.errors import RequestError
from server.http.endpoint import Endpoint
from server.http.exchange import Request, json_answer
from server.serving.cascade_model import CascadeModel
from server.serving.repository import ModelRepository


class MemoryAnswer(BaseModel):
    """The result memory of a cascade.

    Attributes:
        model: Its name.
        version: Its version.
        shared: Whether all workers share one memory on a server; otherwise each has its own.
        counters: What the worker that answers has counted.
    """

    model: str
    version: str
    shared: bool
    counters: MemoryCounters


def memory_endpoints(repository: ModelRepository) -> list[Endpoint]:
    """Return the endpoints.

    Args:
        repository: This worker's models.
    """

    async def read_memory(request: Request) -> Response:
        """Return what the memory of a model did, as counted by the worker that answers.

        Lookups by their result are summed over all workers in `/metrics`.
        """
        with repository.lease(request.path["model"]) as served:
            memory = served.memory if isinstance(served, CascadeModel) else None
            if memory is None:
                raise RequestError(400, f"model {served.name!r} has no result memory")
            answer = MemoryAnswer(
                model=served.name,
                version=served.version,
                shared=memory.remote,
                counters=await memory.counters(),
            )
        return json_answer(answer)

    async def clear_memory(request: Request) -> Response:
        """Forget everything that all versions of a model remember.

        The worker that answers has done so, and a memory on a server is empty; the memories of the
        other workers follow within the server's ``watch_s``.
        """
        await repository.clear_memory(request.path["model"])
        return Response(status_code=204)

    return [
        Endpoint(
            method=method,
            path="/v1/memory/{model}",
            handler=handler,
            right="manage",
            tag="memory",
            answer=answer,
            refusals=(400, 404, 503),
        )
        for method, handler, answer in (
            ("GET", read_memory, MemoryAnswer),
            ("DELETE", clear_memory, None),
        )
    ]
