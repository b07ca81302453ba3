"""What the server did, counted by every worker and told for all of them together.

In a server of several workers every worker counts in files of the run folder (prometheus-client's
mode for several processes), and whichever worker is asked adds all files up. So a worker that is
killed loses no count.

Writing there is dear beside a tiny network, so what happens in one turn of the event loop is added
up and written at the next one: eight requests that are answered together cost as much as one.
"""

from __future__ import annotations

import asyncio
import os
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from itertools import repeat
from operator import sub
from typing import Final, Literal, Protocol
from weakref import WeakKeyDictionary

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Summary,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

from bicameral.types import MemoryCounters
from server.serving.cascade_model import CascadeModel
from server.serving.computation import BatchRecord, RequestTimes
from server.serving.footprint import allocated_bytes
from server.serving.served_model import ModelVersion, ServedModel

#: Media type of `Metrics.exposition`.
EXPOSITION_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

#: Names the folder of the counts of all workers. prometheus-client looks at it when it is imported.
COUNTS_FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"

#: What the memory's counters other than lookups and hits are called.
_MEMORY_EVENTS = (
    "verified", "rejected", "stored", "not_stored", "evicted", "expired", "skipped", "suspended",
)  # fmt: skip

#: Upper bounds in seconds, from a tiny network on an idle server to the longest wait allowed.
DURATION_BOUNDS_S: Final = (
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0,
)  # fmt: skip
_ROWS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 1024.0)
#: Larger runs, which only single requests make, are in the sums but not told by their rows.
_MOST_COUNTED_ROWS: Final = 64
_MODEL = ("model", "version")
_Live = Literal["livesum", "livemax"]

# Times at which counters began, which the mode for several processes lacks anyway.
disable_created_metrics()  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelTotals:
    """What all workers together did for one model since the server started.

    Attributes:
        requests: Answered requests by outcome, see `outcome_of`.
        seconds: Time from their heads to their answers, by outcome.
        batches: Runs by their rows, and their time, in order.
        durations: Requests in each bucket of `DURATION_BOUNDS_S`, then those above all bounds;
            empty if there were none.
        request_s: Time from a request's head to its answer, summed.
        computed: Successful requests for which something was computed.
        input_s: Time that it took to make tensors of their bodies, summed.
        output_s: Time that it took to make answers of what was computed for them, summed.
        queue_s: Time that requests waited for their run, summed.
        queued: Requests whose wait is in `queue_s`.
        rows: Rows that were computed.
        runs: Runs that computed them.
        compute_s: Time of the runs, summed.
        stages: Images by the stage that answered, for a cascade.
        memory: What the result memories did; None for a model without one.
        memory_shared: Whether all workers share one memory on a server.
        waiting: Requests that wait at this moment.
    """

    requests: Mapping[str, int] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    batches: Mapping[int, tuple[int, float]] = field(default_factory=dict)
    durations: tuple[int, ...] = ()
    request_s: float = 0.0
    computed: int = 0
    input_s: float = 0.0
    output_s: float = 0.0
    queue_s: float = 0.0
    queued: int = 0
    rows: int = 0
    runs: int = 0
    compute_s: float = 0.0
    stages: Mapping[str, int] = field(default_factory=dict)
    memory: MemoryCounters | None = None
    memory_shared: bool = False
    waiting: int = 0


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

    def __init__(self) -> None:
        """Begin to count, in the folder of `COUNTS_FOLDER` if there is one."""
        own = self._own = CollectorRegistry()
        self._all = own
        if COUNTS_FOLDER in os.environ:
            self._all = CollectorRegistry()
            MultiProcessCollector(self._all)  # type: ignore[no-untyped-call]

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, (*_MODEL, *labels), registry=own)

        def histogram(
            name: str, text: str, bounds: Sequence[float] = DURATION_BOUNDS_S
        ) -> _Histogram:
            return _Histogram(name, text, _MODEL, registry=own, buckets=bounds)

        def gauge(name: str, text: str, *labels: str, mode: _Live = "livesum") -> Gauge:
            return Gauge(name, text, (*_MODEL, *labels), registry=own, multiprocess_mode=mode)

        self._requests = counter("inference_requests_total", "Answered requests.", "outcome")
        text = "Time from requests' heads to their answers."
        self._request_seconds = counter("inference_request_seconds_total", text, "outcome")
        text = "Time from successful requests' bodies to their tensors."
        self._input_seconds = _Summary("inference_input_seconds", text, _MODEL, registry=own)
        text = "Time from computed tensors to the answers of successful requests."
        self._output_seconds = counter("inference_output_seconds_total", text)
        self._batches = counter("inference_batches_total", "Runs by their rows.", "rows")
        text = "Time of runs by their rows."
        self._batch_seconds = counter("inference_batch_seconds_total", text, "rows")
        text = "From a request's head to its answer."
        self._request_duration = histogram("inference_request_duration_seconds", text)
        text = "Time that requests waited for their run."
        self._queue_duration = histogram("inference_queue_duration_seconds", text)
        text = "Duration of runs."
        self._compute_duration = histogram("inference_compute_duration_seconds", text)
        self._batch_size = histogram("inference_batch_size", "Rows of a run.", _ROWS)
        self._queue_depth = gauge("inference_queue_depth", "Requests that wait for a run.")
        self._streams = gauge("drive_streams", "Episodes that are driven over WebSockets.")
        text = "Images by the stage that answered."
        self._stages = counter("cascade_stage_total", text, "stage")
        text = "1 while a stage sees another share of the images than on validation images."
        self._share_alarm = gauge("cascade_share_alarm", text, "stage", mode="livemax")
        text = "Images looked up in the result memory."
        self._lookups = counter("result_memory_lookups_total", text, "result")
        text = "What became of lookups and results."
        self._memory_events = counter("result_memory_events_total", text, "event")
        text = "Results in the memories of all processes."
        self._entries = gauge("result_memory_entries", text)
        text = "Results in the memory on a server, which is the same for all processes."
        self._shared_entries = gauge("result_memory_shared_entries", text, mode="livemax")
        self._allocated = Gauge(
            "worker_allocated_bytes",
            "What a worker has allocated and not freed; 0 where the C library cannot tell.",
            registry=own,
            multiprocess_mode="liveall",
        )
        self._models: dict[ModelVersion, _ModelMetrics] = {}
        #: What the present turn of the event loop adds.
        self._turn: defaultdict[_Sum, float] = defaultdict(float)
        self._counted: WeakKeyDictionary[object, dict[str, int]] = WeakKeyDictionary()

    def count_request(
        self, model: ModelVersion, status: int | None, duration_s: float, times: RequestTimes
    ) -> None:
        """Count an answered request; on the event loop.

        Args:
            model: Which model answered; it must be one that is served, for labels never go away.
            status: HTTP status; None: the client did not wait for it.
            duration_s: From the request's head to its answer.
            times: What it spent its time on, as far as something was computed.
        """
        known = self._models.get(model) or self._new(model)
        counters = known.requests.get(status)
        if counters is None:
            labels = model.name, model.version, outcome_of(status)
            counters = self._requests.labels(*labels), self._request_seconds.labels(*labels)
            known.requests[status] = counters
        observed = [(known.request_duration, duration_s)]
        counted = [(counters[0], 1.0), (counters[1], duration_s)]
        if times.computed_s and status is not None and status < 400:
            observed.append((known.input_seconds, times.submitted_s - times.read_s))
            counted.append((known.output_seconds, times.encoded_s - times.computed_s))
        self._add(observed, counted)

    def count_batch(self, model: ModelVersion, record: BatchRecord) -> None:
        """Count a run; a `server.serving.served_model.BatchObserver`."""
        known = self._models.get(model) or self._new(model)
        observed = [(known.batch_size, record.rows), (known.compute_duration, record.run_s)]
        observed += zip(repeat(known.queue_duration), record.waits_s, strict=False)
        counters = known.batches.get(record.rows)
        if counters is None and record.rows <= _MOST_COUNTED_ROWS:
            labels = model.name, model.version, str(record.rows)
            counters = self._batches.labels(*labels), self._batch_seconds.labels(*labels)
            known.batches[record.rows] = counters
        self._add(observed, zip(counters, (1.0, record.run_s), strict=True) if counters else ())

    def counted_stream(self, model: ModelVersion) -> AbstractContextManager[None]:
        """Count an episode as one that is driven over a WebSocket meanwhile."""
        return self._streams.labels(model.name, model.version).track_inprogress()

    async def sample(self, models: Iterable[ServedModel]) -> None:
        """Take over what models count themselves; to be called again and again.

        Args:
            models: All that are served now.
        """
        self._allocated.set(allocated_bytes() or 0)
        queued = dict.fromkeys(self._models, 0)
        for model in models:
            version = model.served_as
            queued[version] = model.concurrency().queued_requests
            if isinstance(model, CascadeModel):
                await self._sample_cascade(model)
        for version, waiting in queued.items():
            if version not in self._models:
                self._new(version)
            self._queue_depth.labels(version.name, version.version).set(waiting)

    async def exposition(self) -> bytes:
        """Return the sums over all workers in Prometheus' text format."""
        self._write()
        return await asyncio.to_thread(generate_latest, self._all)

    async def totals(self) -> dict[ModelVersion, ModelTotals]:
        """Return the sums over all workers, for every model that ever answered."""
        self._write()
        return await asyncio.to_thread(self._collected)

    def _collected(self) -> dict[ModelVersion, ModelTotals]:
        by_model: dict[ModelVersion, dict[tuple[str, str], float]] = {}
        for metric in self._all.collect():
            for sample in metric.samples:
                labels = dict(sample.labels)
                if "model" not in labels:
                    continue
                model = ModelVersion(name=labels.pop("model"), version=labels.pop("version"))
                key = (sample.name, "".join(labels.values()))
                by_model.setdefault(model, {})[key] = sample.value
        return {model: _totals(values) for model, values in by_model.items()}

    async def _sample_cascade(self, model: CascadeModel) -> None:
        labels = (model.name, model.version)
        for stage, count in self._news(model, model.stage_counts()).items():
            self._stages.labels(*labels, stage).inc(count)
        for stage, raised in model.share_alarms().items():
            self._share_alarm.labels(*labels, stage).set(raised)
        memory = model.memory
        if memory is None:
            return
        counters = asdict(await memory.counters())
        entries = self._shared_entries if memory.remote else self._entries
        entries.labels(*labels).set(counters.pop("entries"))
        news = self._news(memory, counters)
        self._lookups.labels(*labels, "hit").inc(news["hits"])
        self._lookups.labels(*labels, "miss").inc(news["lookups"] - news["hits"])
        for event in _MEMORY_EVENTS:
            self._memory_events.labels(*labels, event).inc(news[event])

    def _add(
        self, observed: Iterable[tuple[_Parts, float]], counted: Iterable[tuple[_Sum, float]]
    ) -> None:
        """Count in this turn of the event loop; it is written at the next one."""
        added = self._turn
        if not added:
            asyncio.get_running_loop().call_soon(self._write)
        for parts, value in observed:
            added[parts.total] += value
            added[parts.counts[bisect_left(parts.bounds, value)]] += 1.0
        for counter, amount in counted:
            added[counter] += amount

    def _write(self) -> None:
        added, self._turn = self._turn, defaultdict(float)
        for counter, amount in added.items():
            counter.inc(amount)

    def _news(self, source: object, counts: Mapping[str, int]) -> dict[str, int]:
        """Return how much a source has counted since it was asked last."""
        before = self._counted.get(source, {})
        self._counted[source] = dict(counts)
        return {name: count - before.get(name, 0) for name, count in counts.items()}

    def _new(self, model: ModelVersion) -> _ModelMetrics:
        labels = (model.name, model.version)
        self._models[model] = _ModelMetrics(
            request_duration=self._request_duration.labels(*labels).parts(),
            queue_duration=self._queue_duration.labels(*labels).parts(),
            compute_duration=self._compute_duration.labels(*labels).parts(),
            batch_size=self._batch_size.labels(*labels).parts(),
            input_seconds=self._input_seconds.labels(*labels).parts(),
            output_seconds=self._output_seconds.labels(*labels),
            requests={},
            batches={},
        )
        return self._models[model]


@dataclass(frozen=True, slots=True, kw_only=True)
class _ModelMetrics:
    """What every request for one model counts with, at hand: looking labels up takes longer."""

    request_duration: _Parts
    queue_duration: _Parts
    compute_duration: _Parts
    batch_size: _Parts
    input_seconds: _Parts
    output_seconds: Counter
    requests: dict[int | None, tuple[Counter, Counter]]
    batches: dict[int, tuple[Counter, Counter]]


class _Sum(Protocol):
    """Something that is counted."""

    def inc(self, amount: float) -> None:
        """Add so much."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    """What an observation adds to: a sum, and one of the counts, told by their upper bounds."""

    total: _Sum
    counts: Sequence[_Sum]
    bounds: Sequence[float] = ()


class _Histogram(Histogram):
    """A histogram, to which many observations can be added at a time."""

    def parts(self) -> _Parts:
        """Return what they add to."""
        return _Parts(total=self._sum, counts=self._buckets, bounds=self._upper_bounds)


class _Summary(Summary):
    """A summary of that kind."""

    def parts(self) -> _Parts:
        """Return what observations add to."""
        return _Parts(total=self._sum, counts=(self._count,))


def _totals(values: Mapping[tuple[str, str], float]) -> ModelTotals:
    """Make a model's totals of its samples by name and further label."""

    def by_label(name: str) -> dict[str, int]:
        return {key[1]: int(value) for key, value in values.items() if key[0] == name}

    def count_and_sum(name: str) -> tuple[int, float]:
        return int(values.get((f"{name}_count", ""), 0)), values.get((f"{name}_sum", ""), 0.0)

    duration = "inference_request_duration_seconds"
    cumulative = sorted(
        (float(bound), int(value))
        for (name, bound), value in values.items()
        if name == f"{duration}_bucket"
    )
    counts = [count for _, count in cumulative]
    queued, queue_s = count_and_sum("inference_queue_duration_seconds")
    computed, input_s = count_and_sum("inference_input_seconds")
    runs, rows = count_and_sum("inference_batch_size")
    lookups, memory = by_label("result_memory_lookups_total"), None
    shared = values.get(("result_memory_shared_entries", ""))
    if lookups:
        entries = values.get(("result_memory_entries", ""), 0.0) + (shared or 0.0)
        memory = MemoryCounters(
            lookups=sum(lookups.values()),
            hits=lookups["hit"],
            entries=int(entries),
            **by_label("result_memory_events_total"),
        )
    batches = by_label("inference_batches_total")
    return ModelTotals(
        requests=by_label("inference_requests_total"),
        seconds={
            outcome: value
            for (name, outcome), value in values.items()
            if name == "inference_request_seconds_total"
        },
        batches={
            int(rows): (batches[rows], values[("inference_batch_seconds_total", rows)])
            for rows in sorted(batches, key=int)
        },
        durations=tuple(map(sub, counts, [0, *counts])),
        request_s=count_and_sum(duration)[1],
        computed=computed,
        input_s=input_s,
        output_s=values.get(("inference_output_seconds_total", ""), 0.0),
        queue_s=queue_s,
        queued=queued,
        rows=int(rows),
        runs=runs,
        compute_s=count_and_sum("inference_compute_duration_seconds")[1],
        stages=by_label("cascade_stage_total"),
        memory=memory,
        memory_shared=shared is not None,
        waiting=int(values.get(("inference_queue_depth", ""), 0.0)),
    )
