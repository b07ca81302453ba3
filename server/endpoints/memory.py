"""The result memories of cascades: what they did, and how to make them forget."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Protocol

from fastapi import APIRouter, Request
from pydantic import BaseModel

from server.endpoints.classify import ErrorAnswer
from server.endpoints.open_inference import Authorise
from server.errors import RequestError
from server.serving.cascade_model import CascadeModel
from server.serving.repository import ModelRepository


class MemoryControl(Protocol):
    """Makes memories forget, in all processes."""

    async def clear_memory(self, name: str, namespace: str | None = None) -> None:
        """Forget, as `ReplicatedRepository.clear_memory`."""


class CountersAnswer(BaseModel):
    """What a result memory did since it was made, see `bicameral.types.MemoryCounters`."""

    lookups: int
    hits: int
    verified: int
    rejected: int
    stored: int
    not_stored: int
    evicted: int
    expired: int
    skipped: int
    entries: int


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
    counters: CountersAnswer


def memory_router(
    repository: ModelRepository, control: MemoryControl, authorise: Authorise
) -> APIRouter:
    """Build the routes.

    Args:
        repository: This worker's models.
        control: Clears memories everywhere.
        authorise: Who may do what.
    """
    router = APIRouter(tags=["memory"])
    refusals: dict[int | str, dict[str, Any]] = {
        status: {"model": ErrorAnswer} for status in (400, 404, 503)
    }

    @router.get("/v1/memory/{model}", responses=refusals)
    async def read_memory(request: Request, model: str) -> MemoryAnswer:
        """Return what the memory of a model did, as counted by the worker that answers.

        Lookups by their result are summed over all workers in `/metrics`.
        """
        authorise(request.scope, "manage")
        with repository.lease(model) as served:
            memory = served.memory if isinstance(served, CascadeModel) else None
            if memory is None:
                raise RequestError(400, f"model {served.name!r} has no result memory")
            counters = await memory.counters()
            return MemoryAnswer(
                model=served.name,
                version=served.version,
                shared=memory.remote,
                counters=CountersAnswer(**asdict(counters)),
            )

    @router.delete("/v1/memory/{model}", status_code=204, responses=refusals)
    async def clear_memory(request: Request, model: str) -> None:
        """Forget everything that all versions of a model remember, in all workers."""
        authorise(request.scope, "manage")
        await control.clear_memory(model)

    return router
