"""What the page's live panel shows, in one answer: every model's figures, and the workers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Final

from pydantic import BaseModel
from starlette.responses import Response

from bicameral.types import MemoryCounters
from server.http.endpoint import Endpoint
from server.http.exchange import Request, json_answer
from server.http.management import WorkersAnswer, describe_workers
from server.metrics import DURATION_BOUNDS_S, Metrics, ModelTotals
from server.processes.run_folder import RunFolder
from server.serving.model_slot import IndexEntry, ModelState
from server.serving.repository import ModelRepository
from server.serving.served_model import ModelVersion

_GONE: Final = "its files are no longer there"


class LiveModel(BaseModel):
    """One version of a model, and what all workers did with it, see `server.metrics.ModelTotals`.

    Attributes:
        name: Its name.
        version: Its version.
        state: Whether it answers.
        reason: Why it does not; empty if it does.
        requests: Answered requests by outcome.
        durations: Requests in each bucket of `LiveAnswer.bounds_s`, then those above all bounds;
            empty if there were none.
        rows: Computed rows.
        runs: Runs that computed them.
        stages: Pictures by the stage that answered.
        memory: What the result memories did; null for a model without one.
        memory_shared: Whether all workers share one memory on a server.
        waiting: Requests that wait at this moment.
    """

    name: str
    version: str
    state: ModelState
    reason: str
    requests: Mapping[str, int]
    durations: tuple[int, ...]
    rows: int
    runs: int
    stages: Mapping[str, int]
    memory: MemoryCounters | None
    memory_shared: bool
    waiting: int


class LiveAnswer(BaseModel):
    """The server at this moment.

    Attributes:
        bounds_s: Upper bounds of the buckets of durations.
        models: Every version of every model, sorted by name.
        workers: The processes.
    """

    bounds_s: tuple[float, ...]
    models: list[LiveModel]
    workers: WorkersAnswer


def live_endpoint(repository: ModelRepository, metrics: Metrics, run_folder: RunFolder) -> Endpoint:
    """Return the endpoint.

    Args:
        repository: This worker's models.
        metrics: What all workers did.
        run_folder: Where the processes meet.
    """

    async def read_live(_: Request) -> Response:
        """Return the figures of `/metrics` by model, with the state of models and workers."""
        totals = await metrics.totals()
        answer = LiveAnswer(
            bounds_s=DURATION_BOUNDS_S,
            models=live_models(repository.index(), totals),
            workers=describe_workers(repository, run_folder),
        )
        return json_answer(answer)

    return Endpoint(
        method="GET",
        path="/v1/live",
        handler=read_live,
        right="metrics",
        tag="management",
        answer=LiveAnswer,
    )


def live_models(
    index: list[IndexEntry], totals: Mapping[ModelVersion, ModelTotals]
) -> list[LiveModel]:
    """Join what is known of models with what they did, which stays counted when they are gone."""
    entries = {ModelVersion(name=entry.name, version=entry.version): entry for entry in index}
    for version in [one for one in totals if one not in entries]:
        entries[version] = IndexEntry(
            name=version.name, version=version.version, state="UNAVAILABLE", reason=_GONE
        )
    models = [
        LiveModel.model_validate(asdict(totals.get(version, ModelTotals())) | asdict(entry))
        for version, entry in entries.items()
    ]
    return sorted(models, key=lambda model: model.name)
