"""The server's metrics by name: what each counts, and how the workers' numbers become one."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.utils import floatToGoString

from server.counter_file import Key

Kind = Literal["counter", "gauge", "histogram"]

#: Upper bounds in seconds, from a tiny network on an idle server to the longest wait allowed.
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0)
_ROWS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 1024.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A metric, by default with the labels ``model`` and ``version``.

    Attributes:
        name: Its name in Prometheus.
        text: What it counts.
        kind: A counter or a gauge is one number; a histogram is the number of values in each
            bucket, then of those above all bounds, then the sum of the values.
        label: A further label, or empty.
        of_model: Whether it is told for each model; otherwise it lacks the first two labels.
        bounds: Upper bounds of a histogram's buckets.
        joined: How the numbers of all workers become one.
    """

    name: str
    text: str
    kind: Kind = "counter"
    label: str = ""
    of_model: bool = True
    bounds: tuple[float, ...] = ()
    joined: Callable[[Sequence[float]], float] = sum

    @property
    def size(self) -> int:
        """How many numbers one of its rows has."""
        return len(self.bounds) + 2 if self.kind == "histogram" else 1

    def joined_rows(self, rows: Sequence[Sequence[float]]) -> list[float]:
        """Return the numbers of all workers together."""
        return [self.joined(column) for column in zip(*rows, strict=True)]

    def metric(self, rows: Mapping[Key, Sequence[float]]) -> Metric:
        """Return it for Prometheus' text.

        Args:
            rows: Its numbers by the values of their labels.
        """
        labels = ["model", "version"] if self.of_model else []
        labels += [self.label] if self.label else []
        if self.kind == "histogram":
            histogram = HistogramMetricFamily(self.name, self.text, labels=labels)
            names = [*map(floatToGoString, self.bounds), "+Inf"]
            for values, row in rows.items():
                buckets = list(zip(names, accumulate(row[:-1]), strict=True))
                histogram.add_metric(values, buckets, row[-1])
            return histogram
        family = CounterMetricFamily if self.kind == "counter" else GaugeMetricFamily
        single = family(self.name, self.text, labels=labels)
        for values, row in rows.items():
            single.add_metric(values, row[0])
        return single


REQUESTS = Family(name="inference_requests_total", text="Answered requests.", label="outcome")
REQUEST_DURATION = Family(
    name="inference_request_duration_seconds",
    text="From a request's head to its answer.",
    kind="histogram",
    bounds=_SECONDS,
)
QUEUE_DURATION = Family(
    name="inference_queue_duration_seconds",
    text="Time that requests waited for their run.",
    kind="histogram",
    bounds=_SECONDS,
)
QUEUE_DEPTH = Family(
    name="inference_queue_depth", text="Requests that wait for a run.", kind="gauge"
)
DRIVE_STREAMS = Family(
    name="drive_streams", text="Episodes that are driven over WebSockets.", kind="gauge"
)
COMPUTE_DURATION = Family(
    name="inference_compute_duration_seconds",
    text="Duration of runs.",
    kind="histogram",
    bounds=_SECONDS,
)
BATCH_SIZE = Family(
    name="inference_batch_size", text="Rows of a run.", kind="histogram", bounds=_ROWS
)
STAGES = Family(
    name="cascade_stage_total", text="Images by the stage that answered.", label="stage"
)
MEMORY_LOOKUPS = Family(
    name="result_memory_lookups_total",
    text="Images looked up in the result memory.",
    label="result",
)
MEMORY_EVENTS = Family(
    name="result_memory_events_total",
    text="What became of lookups and results.",
    label="event",
)
MEMORY_ENTRIES = Family(
    name="result_memory_entries", text="Results in the memories of all processes.", kind="gauge"
)
SHARED_MEMORY_ENTRIES = Family(
    name="result_memory_shared_entries",
    text="Results in the memory on a server, which is the same for all processes.",
    kind="gauge",
    joined=max,
)

ENERGY = Family(
    name="inference_energy_joules_total",
    text="Energy of the machine, as far as the meter covers it; not of the models alone.",
    label="meter",
    of_model=False,
)
UNTRUSTED_ENERGY = Family(
    name="inference_energy_untrusted_seconds_total",
    text="Time whose energy is not counted, because the readings could not be trusted.",
    label="meter",
    of_model=False,
)

FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        REQUESTS,
        REQUEST_DURATION,
        QUEUE_DURATION,
        QUEUE_DEPTH,
        DRIVE_STREAMS,
        COMPUTE_DURATION,
        BATCH_SIZE,
        STAGES,
        MEMORY_LOOKUPS,
        MEMORY_EVENTS,
        MEMORY_ENTRIES,
        SHARED_MEMORY_ENTRIES,
        ENERGY,
        UNTRUSTED_ENERGY,
    )
}


def observe(row: memoryview[float], family: Family, value: float) -> None:
    """Count a value in a row of a histogram."""
    row[bisect_left(family.bounds, value)] += 1.0
    row[-1] += value
