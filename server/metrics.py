"""What the server did, counted by every worker and told for all of them together.

Every worker counts in files of its own, and whichever worker is asked adds all files up.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final
from weakref import WeakKeyDictionary

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from bicameral.types import MemoryCounters
from server import metric_families as families
from server.counter_file import (
    SUFFIX,
    CounterFile,
    Key,
    counters_path,
    gauges_path,
    read_counters,
)
from server.metric_families import FAMILIES, Family, observe
from server.serving.cascade_model import CascadeModel
from server.serving.computation import BatchRecord
from server.serving.served_model import ModelVersion, ServedModel

#: Media type of `Metrics.exposition`.
EXPOSITION_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

#: What the memory's counters other than lookups and hits are called.
_MEMORY_EVENTS = (
    "verified", "rejected", "stored", "not_stored", "evicted", "expired", "skipped",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelTotals:
    """What all workers together did for one model since the server started.

    Attributes:
        requests: Answered requests by outcome, see `outcome_of`.
        request_s: Time from a request's head to its answer, summed.
        queue_s: Time that requests waited for their run, summed.
        queued: Requests whose wait is in `queue_s`.
        rows: Rows that were computed.
        runs: Runs that computed them.
        compute_s: Time of the runs, summed.
        stages: Images by the stage that answered, for a cascade.
        memory: What the result memories did; None for a model without one.
    """

    requests: Mapping[str, int]
    request_s: float
    queue_s: float
    queued: int
    rows: int
    runs: int
    compute_s: float
    stages: Mapping[str, int]
    memory: MemoryCounters | None


def outcome_of(status: int | None) -> str:
    """Name the outcome of a request by its HTTP status; None: the client did not wait for it."""
    if status is None:
        return "abandoned"
    if status < 400:
        return "success"
    if status in (429, 503):
        return "rejected"
    return "client_error" if status < 500 else "server_error"


class Metrics:
    """The counters of one worker, and the sums over all of them."""

    def __init__(self, folder: Path, slot: int) -> None:
        """Open or continue the counters of a slot.

        Args:
            folder: Shared by all workers of a server, empty when it starts.
            slot: Which worker; no two processes may count for one at the same time.

        Raises:
            OSError: If the folder cannot be written.
        """
        self._folder = folder
        self._counters = CounterFile(counters_path(folder, slot))
        self._gauges = CounterFile(gauges_path(folder, slot))
        self._registry = CollectorRegistry()
        self._registry.register(_Sums(folder))
        self._models: dict[ModelVersion, _ModelRows] = {}
        self._counted: WeakKeyDictionary[object, dict[str, int]] = WeakKeyDictionary()

    def count_request(self, model: ModelVersion, status: int | None, duration_s: float) -> None:
        """Count an answered request.

        Args:
            model: Which model answered; it must be one that is served, for labels never go away.
            status: HTTP status; None: the client did not wait for it.
            duration_s: From the request's head to its answer.
        """
        rows = self._of(model)
        observe(rows.request_duration, families.REQUEST_DURATION, duration_s)
        rows.single(families.REQUESTS, outcome_of(status))[0] += 1.0

    def count_batch(self, model: ModelVersion, record: BatchRecord) -> None:
        """Count a run; a `server.serving.parts.BatchObserver`."""
        rows = self._of(model)
        observe(rows.batch_size, families.BATCH_SIZE, record.rows)
        observe(rows.compute_duration, families.COMPUTE_DURATION, record.run_s)
        for wait_s in record.waits_s:
            observe(rows.queue_duration, families.QUEUE_DURATION, wait_s)

    @contextmanager
    def counted_stream(self, model: ModelVersion) -> Iterator[None]:
        """Count an episode as one that is driven over a WebSocket meanwhile."""
        streams = self._of(model).single(families.DRIVE_STREAMS)
        streams[0] += 1.0
        try:
            yield
        finally:
            streams[0] -= 1.0

    async def sample(self, models: Iterable[ServedModel]) -> None:
        """Take over what models count themselves; to be called again and again.

        Args:
            models: All that are served now.
        """
        queued = dict.fromkeys(self._models, 0)
        for model in models:
            version = ModelVersion(name=model.name, version=model.version)
            queued[version] = model.concurrency().queued_requests
            if isinstance(model, CascadeModel):
                await self._sample_cascade(self._of(version), model)
        for version, waiting in queued.items():
            self._of(version).single(families.QUEUE_DEPTH)[0] = waiting

    def exposition(self) -> bytes:
        """Return the sums over all workers in Prometheus' text format."""
        return generate_latest(self._registry)

    def families(self) -> Iterable[Metric]:
        """Return the sums over all workers, metric by metric."""
        return self._registry.collect()

    def totals(self) -> dict[ModelVersion, ModelTotals]:
        """Return the sums over all workers, for every model that ever answered."""
        by_model: dict[ModelVersion, dict[Key, list[float]]] = {}
        for (family, *labels), row in _summed(self._folder).items():
            if FAMILIES[family].of_model:
                name, version, *label = labels
                model = ModelVersion(name=name, version=version)
                by_model.setdefault(model, {})[family, *label] = row
        return {model: _totals(rows) for model, rows in by_model.items()}

    async def _sample_cascade(self, rows: _ModelRows, model: CascadeModel) -> None:
        for stage, count in self._news(model, model.stage_counts()).items():
            rows.single(families.STAGES, stage)[0] += count
        memory = model.memory
        if memory is None:
            return
        counters = asdict(await memory.counters())
        entries = families.SHARED_MEMORY_ENTRIES if memory.remote else families.MEMORY_ENTRIES
        rows.single(entries)[0] = counters.pop("entries")
        news = self._news(memory, counters)
        rows.single(families.MEMORY_LOOKUPS, "hit")[0] += news["hits"]
        rows.single(families.MEMORY_LOOKUPS, "miss")[0] += news["lookups"] - news["hits"]
        for event in _MEMORY_EVENTS:
            rows.single(families.MEMORY_EVENTS, event)[0] += news[event]

    def _news(self, source: object, counts: Mapping[str, int]) -> dict[str, int]:
        """Return how much a source has counted since it was asked last."""
        before = self._counted.get(source, {})
        self._counted[source] = dict(counts)
        return {name: count - before.get(name, 0) for name, count in counts.items()}

    def _of(self, model: ModelVersion) -> _ModelRows:
        found = self._models.get(model)
        if found is None:
            found = self._models[model] = _ModelRows(model, self._counters, self._gauges)
        return found


class _ModelRows:
    """The numbers of one model; those that every request needs are at hand."""

    def __init__(self, model: ModelVersion, counters: CounterFile, gauges: CounterFile) -> None:
        self._model = model
        self._counters, self._gauges = counters, gauges
        self._singles: dict[tuple[str, str], memoryview[float]] = {}
        self.request_duration = self._row(families.REQUEST_DURATION)
        self.queue_duration = self._row(families.QUEUE_DURATION)
        self.compute_duration = self._row(families.COMPUTE_DURATION)
        self.batch_size = self._row(families.BATCH_SIZE)

    def single(self, family: Family, label: str = "") -> memoryview[float]:
        """Return the row of a counter or a gauge, which has one number."""
        found = self._singles.get((family.name, label))
        if found is None:
            found = self._singles[family.name, label] = self._row(family, label)
        return found

    def _row(self, family: Family, label: str = "") -> memoryview[float]:
        file = self._gauges if family.kind == "gauge" else self._counters
        key = (family.name, self._model.name, self._model.version)
        return file.row((*key, label) if family.label else key, family.size)


class _Sums(Collector):
    """The sums over all workers, for prometheus-client."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterator[Metric]:
        """Return every metric, with or without numbers."""
        rows = _summed(self._folder)
        for family in FAMILIES.values():
            yield family.metric(
                {key[1:]: row for key, row in rows.items() if key[0] == family.name}
            )


def _summed(folder: Path) -> dict[Key, list[float]]:
    """Return the numbers of all workers together, by family, model, version, and label."""
    of_workers: dict[Key, list[list[float]]] = {}
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        for key, row in read_counters(path).items():
            of_workers.setdefault(key, []).append(row)
    return {key: FAMILIES[key[0]].joined_rows(rows) for key, rows in of_workers.items()}


def _totals(rows: Mapping[Key, list[float]]) -> ModelTotals:
    """Make a model's totals of its numbers by family and label."""

    def by_label(family: Family) -> dict[str, int]:
        return {key[1]: int(row[0]) for key, row in rows.items() if key[0] == family.name}

    def count_and_sum(family: Family) -> tuple[int, float]:
        row = rows.get((family.name,), [0.0])
        return int(sum(row[:-1])), row[-1]

    queued, queue_s = count_and_sum(families.QUEUE_DURATION)
    runs, computed = count_and_sum(families.BATCH_SIZE)
    lookups, memory = by_label(families.MEMORY_LOOKUPS), None
    if lookups:
        entries = sum(
            rows.get((family.name,), [0.0])[0]
            for family in (families.MEMORY_ENTRIES, families.SHARED_MEMORY_ENTRIES)
        )
        memory = MemoryCounters(
            lookups=sum(lookups.values()),
            hits=lookups["hit"],
            entries=int(entries),
            **by_label(families.MEMORY_EVENTS),
        )
    return ModelTotals(
        requests=by_label(families.REQUESTS),
        request_s=count_and_sum(families.REQUEST_DURATION)[1],
        queue_s=queue_s,
        queued=queued,
        rows=int(computed),
        runs=runs,
        compute_s=count_and_sum(families.COMPUTE_DURATION)[1],
        stages=by_label(families.STAGES),
        memory=memory,
    )
