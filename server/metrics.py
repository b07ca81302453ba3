"""What the server did, counted by every worker and told for all of them together.

The counters are prometheus-client's, in its mode for several processes: each worker counts in
files that it maps into memory, and whichever worker is asked adds all files up. So a worker that is
killed loses no count, and the one that replaces it goes on counting in the same files.

Counting in mapped files costs 0.8 us an increment and 1.5 us an observation, twice as much as in
ordinary objects (2 shared x86-64 cores, prometheus-client 0.26).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final
from weakref import WeakKeyDictionary

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, values
from prometheus_client.multiprocess import MultiProcessCollector

from bicameral.types import MemoryCounters
from server.serving.cascade_model import CascadeModel
from server.serving.computation import BatchRecord
from server.serving.served_model import ModelVersion, ServedModel

#: Media type of `Metrics.exposition`.
EXPOSITION_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

#: Upper bounds in seconds, from a tiny network on an idle server to the longest wait allowed.
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 1024)

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
        """
        self._folder = folder
        self._value_class = values.MultiProcessValue(lambda: slot)  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        MultiProcessCollector(self._registry, str(folder))  # type: ignore[no-untyped-call]
        self._families = _Families()
        self._models: dict[ModelVersion, _ModelMetrics] = {}
        self._counted: WeakKeyDictionary[object, dict[str, int]] = WeakKeyDictionary()

    def count_request(self, model: ModelVersion, status: int | None, duration_s: float) -> None:
        """Count an answered request.

        Args:
            model: Which model answered; it must be one that is served, for labels never go away.
            status: HTTP status; None: the client did not wait for it.
            duration_s: From the request's head to its answer.
        """
        metrics = self._of(model)
        metrics.request_duration.observe(duration_s)
        metrics.outcome(outcome_of(status)).inc()

    def count_batch(self, model: ModelVersion, record: BatchRecord) -> None:
        """Count a run; a `server.serving.parts.BatchObserver`."""
        metrics = self._of(model)
        metrics.batch_size.observe(record.rows)
        metrics.compute_duration.observe(record.run_s)
        for wait_s in record.waits_s:
            metrics.queue_duration.observe(wait_s)

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
            self._of(version).queue_depth.set(waiting)

    def exposition(self) -> bytes:
        """Return the sums over all workers in Prometheus' text format."""
        return generate_latest(self._registry)

    def totals(self) -> dict[ModelVersion, ModelTotals]:
        """Return the sums over all workers, for every model that ever answered."""
        samples: dict[ModelVersion, _Samples] = {}
        for family in self._registry.collect():
            for sample in family.samples:
                labels = dict(sample.labels)
                if "le" in labels:
                    continue
                model = ModelVersion(name=labels.pop("model"), version=labels.pop("version"))
                # What is left tells the samples of one model apart: outcome, stage, result, event.
                key = sample.name, *labels.values()
                samples.setdefault(model, {})[key] = sample.value
        return {model: _totals(of_model) for model, of_model in samples.items()}

    async def _sample_cascade(self, metrics: _ModelMetrics, model: CascadeModel) -> None:
        for stage, count in self._news(model, model.stage_counts()).items():
            metrics.stage(stage).inc(count)
        if model.memory is None:
            return
        counters = asdict(await model.memory.counters())
        metrics.set_memory_entries(counters.pop("entries"), shared=model.memory.remote)
        news = self._news(model.memory, counters)
        metrics.memory_lookups("hit").inc(news["hits"])
        metrics.memory_lookups("miss").inc(news["lookups"] - news["hits"])
        for event in _MEMORY_EVENTS:
            metrics.memory_events(event).inc(news[event])

    def _news(self, source: object, counts: Mapping[str, int]) -> dict[str, int]:
        """Return how much a source has counted since it was asked last."""
        before = self._counted.get(source, {})
        self._counted[source] = dict(counts)
        return {name: count - before.get(name, 0) for name, count in counts.items()}

    def _of(self, model: ModelVersion) -> _ModelMetrics:
        found = self._models.get(model)
        if found is None:
            found = self._models[model] = _ModelMetrics(self._families, model, self._opening)
        return found

    @contextmanager
    def _opening(self) -> Iterator[None]:
        """Let the counters that are made inside be this worker's.

        The library takes place and kind of new counters from the environment and from a variable of
        its own; both are put back, so that nothing else in the process is counted here.
        """
        name, kind = "PROMETHEUS_MULTIPROC_DIR", values.ValueClass
        before = os.environ.get(name)
        os.environ[name] = str(self._folder)
        values.ValueClass = self._value_class
        try:
            yield
        finally:
            values.ValueClass = kind
            if before is None:
                del os.environ[name]
            else:
                os.environ[name] = before


class _Families:
    """All metrics by name; the labels below them are made when a model first needs them."""

    def __init__(self) -> None:
        model = ("model", "version")
        self.requests = _counter("inference_requests_total", "Answered requests.", "outcome")
        self.request_duration = _histogram(
            "inference_request_duration_seconds", "From a request's head to its answer.", _SECONDS
        )
        self.queue_duration = _histogram(
            "inference_queue_duration_seconds", "Time that requests waited for their run.", _SECONDS
        )
        self.compute_duration = _histogram(
            "inference_compute_duration_seconds", "Duration of runs.", _SECONDS
        )
        self.batch_size = _histogram("inference_batch_size", "Rows of a run.", _ROWS)
        self.queue_depth = Gauge(
            "inference_queue_depth",
            "Requests that wait for a run.",
            model,
            registry=None,
            multiprocess_mode="livesum",
        )
        self.stages = _counter("cascade_stage_total", "Images by the stage that answered.", "stage")
        self.memory_lookups = _counter(
            "result_memory_lookups_total", "Images looked up in the result memory.", "result"
        )
        self.memory_events = _counter(
            "result_memory_events_total", "What became of lookups and results.", "event"
        )
        # A memory in the process is one of several, one on a server is the same for all workers.
        self.memory_entries = Gauge(
            "result_memory_entries",
            "Results in the memories of all processes.",
            model,
            registry=None,
            multiprocess_mode="livesum",
        )
        self.shared_memory_entries = Gauge(
            "result_memory_shared_entries",
            "Results in the memory on a server.",
            model,
            registry=None,
            multiprocess_mode="livemax",
        )


def _counter(name: str, help_text: str, label: str) -> Counter:
    return Counter(name, help_text, ("model", "version", label), registry=None)


def _histogram(name: str, help_text: str, buckets: Sequence[float]) -> Histogram:
    return Histogram(name, help_text, ("model", "version"), registry=None, buckets=buckets)


class _ModelMetrics:
    """The counters of one model; looked up once, since looking up costs as much as counting."""

    def __init__(
        self,
        families: _Families,
        model: ModelVersion,
        opening: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._families = families
        self._labels = (model.name, model.version)
        self._opening = opening
        self._counters: dict[tuple[Counter, str], Counter] = {}
        with opening():
            self.request_duration = families.request_duration.labels(*self._labels)
            self.queue_duration = families.queue_duration.labels(*self._labels)
            self.compute_duration = families.compute_duration.labels(*self._labels)
            self.batch_size = families.batch_size.labels(*self._labels)
            self.queue_depth = families.queue_depth.labels(*self._labels)

    def outcome(self, outcome: str) -> Counter:
        """Return the counter of requests with this outcome."""
        return self._counter(self._families.requests, outcome)

    def stage(self, stage: str) -> Counter:
        """Return the counter of images that this stage answered."""
        return self._counter(self._families.stages, stage)

    def memory_lookups(self, result: str) -> Counter:
        """Return the counter of lookups with this result."""
        return self._counter(self._families.memory_lookups, result)

    def memory_events(self, event: str) -> Counter:
        """Return the counter of one of `_MEMORY_EVENTS`."""
        return self._counter(self._families.memory_events, event)

    def set_memory_entries(self, entries: int, *, shared: bool) -> None:
        """Note how many results a memory holds."""
        families = self._families
        family = families.shared_memory_entries if shared else families.memory_entries
        with self._opening():
            family.labels(*self._labels).set(entries)

    def _counter(self, family: Counter, label: str) -> Counter:
        found = self._counters.get((family, label))
        if found is None:
            with self._opening():
                found = self._counters[family, label] = family.labels(*self._labels, label)
        return found


#: Values of one model's samples, by the sample's name and its third label, if it has one.
_Samples = dict[tuple[str, ...], float]


def _totals(samples: _Samples) -> ModelTotals:
    def value(*key: str) -> float:
        return samples.get(key, 0.0)

    def by_label(name: str) -> dict[str, int]:
        return {key[1]: int(count) for key, count in samples.items() if key[0] == name}

    lookups, events = (
        by_label("result_memory_lookups_total"),
        by_label("result_memory_events_total"),
    )
    memory = None
    if lookups:
        entries = value("result_memory_entries") + value("result_memory_shared_entries")
        memory = MemoryCounters(
            lookups=sum(lookups.values()), hits=lookups["hit"], entries=int(entries), **events
        )
    return ModelTotals(
        requests=by_label("inference_requests_total"),
        request_s=value("inference_request_duration_seconds_sum"),
        queue_s=value("inference_queue_duration_seconds_sum"),
        queued=int(value("inference_queue_duration_seconds_count")),
        rows=int(value("inference_batch_size_sum")),
        runs=int(value("inference_batch_size_count")),
        compute_s=value("inference_compute_duration_seconds_sum"),
        stages=by_label("cascade_stage_total"),
        memory=memory,
    )
