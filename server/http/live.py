"""What the page's live panel shows, in one answer: every model's figures, and the workers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Final

from prometheus_client.core import Metric
from prometheus_client.samples import Sample
from pydantic import BaseModel
from starlette.responses import Response

from server.errors import RequestError
from server.http.authorisation import Authorise
from server.http.endpoint import Described, Endpoint
from server.http.exchange import Request, json_answer
from server.http.management import Workers, WorkersAnswer, describe_workers
from server.serving.repository import ModelRepository
from server.serving.served_model import ModelVersion

_GONE: Final = "its files are no longer there"


class LiveMemory(BaseModel):
    """What the result memories of a cascade did, see `bicameral.types.MemoryCounters`.

    Attributes:
        shared: Whether all workers share one memory on a server; otherwise each has its own.
    """

    shared: bool = False
    entries: int = 0
    lookups: int = 0
    hits: int = 0
    verified: int = 0
    rejected: int = 0
    stored: int = 0
    not_stored: int = 0
    evicted: int = 0
    expired: int = 0
    skipped: int = 0


class LiveModel(BaseModel):
    """One version of a model, and what all workers did with it since the server started.

    Attributes:
        name: Its name.
        version: Its version.
        state: As the repository's index tells it: ``READY``, ``UNAVAILABLE``, ...
        reason: Why it does not answer; empty if it does.
        requests: Answered requests by outcome.
        durations: Requests in each bucket of `LiveAnswer.bounds_s`, then those above all bounds;
            empty if there were none.
        queued: Requests that wait.
        rows: Computed rows.
        runs: Runs that computed them.
        stages: Pictures by the stage that answered.
        memory: Of a cascade that remembers.
    """

    name: str
    version: str
    state: str
    reason: str
    requests: dict[str, int] = {}
    durations: list[int] = []
    queued: int = 0
    rows: int = 0
    runs: int = 0
    stages: dict[str, int] = {}
    memory: LiveMemory | None = None


class LiveAnswer(BaseModel):
    """The server at this moment.

    Attributes:
        bounds_s: Upper bounds of the buckets of durations.
        models: Every version of every model, sorted by name.
        workers: The processes; null for whom `manage` is not allowed.
    """

    bounds_s: list[float]
    models: list[LiveModel]
    workers: WorkersAnswer | None


def live_endpoint(
    repository: ModelRepository,
    families: Callable[[], Iterable[Metric]],
    workers: Workers,
    authorise: Authorise | None,
) -> Endpoint:
    """Return the endpoint.

    Args:
        repository: This worker's models.
        families: Returns Prometheus' metrics, summed over all workers.
        workers: All of them.
        authorise: Who may do what; None: everybody may do everything.
    """

    async def read_live(request: Request) -> Response:
        """Return the figures of `/metrics` by model, with the state of models and workers."""
        counted = await asyncio.to_thread(lambda: list(families()))
        models = {
            ModelVersion(name=entry.name, version=entry.version): LiveModel(**asdict(entry))
            for entry in repository.index()
        }
        answer = LiveAnswer(
            bounds_s=add_figures(counted, models),
            models=sorted(models.values(), key=lambda model: model.name),
            workers=describe_workers(workers) if may_manage(request) else None,
        )
        return json_answer(answer.model_dump(mode="json"))

    def may_manage(request: Request) -> bool:
        try:
            if authorise is not None:
                authorise(request.scope, "manage")
        except RequestError:
            return False
        return True

    return Endpoint(
        method="GET",
        path="/v1/live",
        handler=read_live,
        right="metrics",
        described=Described(tag="management", answer=LiveAnswer),
    )


def add_figures(families: Iterable[Metric], models: dict[ModelVersion, LiveModel]) -> list[float]:
    """Add the figures to their models, and return the bounds of the durations."""
    buckets: dict[ModelVersion, dict[float, int]] = {}
    for sample in (sample for family in families for sample in family.samples):
        if "model" not in sample.labels:
            continue
        name = ModelVersion(name=sample.labels["model"], version=sample.labels["version"])
        if name not in models:  # what it did stays counted
            models[name] = LiveModel(
                name=name.name, version=name.version, state="UNAVAILABLE", reason=_GONE
            )
        if sample.name == "inference_request_duration_seconds_bucket":
            buckets.setdefault(name, {})[float(sample.labels["le"])] = int(sample.value)
        else:
            _add(models[name], sample)
    for name, cumulative in buckets.items():
        counts = [count for _, count in sorted(cumulative.items())]
        models[name].durations = [
            count - below for count, below in zip(counts, [0, *counts], strict=False)
        ]
    return sorted(next(iter(buckets.values()), {}))[:-1]


def _add(model: LiveModel, sample: Sample) -> None:
    """Add one number to the figures of its model."""
    value = int(sample.value)
    match sample.name:
        case "inference_requests_total":
            model.requests[sample.labels["outcome"]] = value
        case "inference_queue_depth":
            model.queued = value
        case "inference_batch_size_sum":
            model.rows = value
        case "inference_batch_size_count":
            model.runs = value
        case "cascade_stage_total":
            model.stages[sample.labels["stage"]] = value
        case _ if sample.name.startswith("result_memory_"):
            model.memory = model.memory or LiveMemory()
            _remember(model.memory, sample)


def _remember(memory: LiveMemory, sample: Sample) -> None:
    """Add one number to the figures of a memory."""
    value = int(sample.value)
    match sample.name:
        case "result_memory_lookups_total":
            memory.lookups += value
            if sample.labels["result"] == "hit":
                memory.hits = value
        case "result_memory_events_total":
            setattr(memory, sample.labels["event"], value)
        case "result_memory_entries":
            memory.entries = value
        case "result_memory_shared_entries":
            memory.entries, memory.shared = value, True
