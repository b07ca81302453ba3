"""What the page's live panel shows, in one answer: every model's figures, and the workers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Final

from pydantic import BaseModel
from starlette.responses import Response

from server.http.endpoint import Endpoint
from server.http.exchange import Request, json_answer
from server.http.management import WorkersAnswer, describe_workers
from server.metrics import DURATION_BOUNDS_S, Metrics, ModelTotals
from server.processes.run_folder import RunFolder
from server.serving.model_slot import IndexEntry, ModelState
from server.serving.repository import ModelRepository
from server.serving.served_model import ModelVersion

_GONE: Final = "its files are no longer there"


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveModel(ModelTotals):
    """One version of a model, and what all workers did with it.

    Attributes:
        name: Its name.
        version: Its version.
        state: Whether it answers.
        reason: Why it does not; empty if it does.
    """

    name: str
    version: str
    state: ModelState
    reason: str


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
    models = []
    for version, entry in entries.items():
        counted = totals.get(version, ModelTotals())
        did = {one.name: getattr(counted, one.name) for one in fields(counted)}
        models.append(LiveModel(**did, **asdict(entry)))
    return sorted(models, key=lambda model: model.name)
