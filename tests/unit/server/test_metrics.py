"""Counters that outlive their process, and the sums over all workers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from bicameral.types import MemoryCounters
from server.metrics import COUNTS_FOLDER, Metrics, ModelTotals, outcome_of
from server.processes.run_folder import RunFolder
from server.serving.cascade_model import CascadeModel
from server.serving.computation import BatchRecord, RequestTimes
from server.serving.served_model import ModelVersion, RequestContext

NET = ModelVersion(name="net", version="1")

#: Dashboards and alerts know them.
NAMES = (
    "inference_requests_total",
    "inference_request_duration_seconds",
    "inference_queue_duration_seconds",
    "inference_queue_depth",
    "drive_streams",
    "inference_compute_duration_seconds",
    "inference_batch_size",
    "cascade_stage_total",
    "result_memory_lookups_total",
    "result_memory_events_total",
    "result_memory_entries",
    "result_memory_shared_entries",
    "worker_allocated_bytes",
)


def batch(rows: int, waits_s: tuple[float, ...] = (0.0,), run_s: float = 0.001) -> BatchRecord:
    return BatchRecord(computation="run", rows=rows, waits_s=waits_s, run_s=run_s, in_place=True)


async def samples(metrics: Metrics) -> dict[tuple[str, ...], float]:
    return parsed((await metrics.exposition()).decode())


def parsed(text: str) -> dict[tuple[str, ...], float]:
    """Return what Prometheus reads, by name and labels."""
    return {
        (
            sample.name,
            *(f"{key}={value}" for key, value in sorted(sample.labels.items())),
        ): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, "success"), (304, "success"), (400, "client_error"), (413, "client_error"),
        (429, "rejected"), (503, "rejected"), (500, "server_error"), (501, "server_error"),
        (None, "abandoned"),
    ],
)  # fmt: skip
def test_outcomes_follow_from_the_status(status, outcome):
    assert outcome_of(status) == outcome


#: Counts as a worker would, then tells the totals and waits to be killed.
WORKER = """
import asyncio
import sys
from server.metrics import Metrics
from server.serving.computation import BatchRecord, RequestTimes
from server.serving.served_model import ModelVersion

net = ModelVersion(name="net", version="1")
metrics = Metrics()

async def work():
    if sys.argv[1] == "count":
        times = RequestTimes(read_s=1.0, submitted_s=1.25, computed_s=2.0, encoded_s=2.5)
        metrics.count_request(net, 200, 0.25, times)
        metrics.count_request(net, 429, 0.5, times)
        metrics.count_batch(
            net,
            BatchRecord(computation="run", rows=4, waits_s=(0.0, 0.5), run_s=0.125, in_place=True),
        )
    print(await metrics.totals(), flush=True)
    print((await metrics.exposition()).decode().replace("\\n", "|"), flush=True)

with metrics.counted_stream(net):
    asyncio.run(work())
    sys.stdin.read()
"""


def test_whoever_is_asked_tells_the_sums_and_a_killed_worker_loses_no_count(tmp_path: Path):
    folder = RunFolder(path=tmp_path)
    folder.metrics.mkdir()
    environment = {**os.environ, COUNTS_FOLDER: str(folder.metrics)}

    def start(task: str) -> tuple[subprocess.Popen[str], str, dict[tuple[str, ...], float]]:
        process = subprocess.Popen(
            [sys.executable, "-c", WORKER, task],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        totals, text = (process.stdout.readline() for _ in range(2))
        return process, totals.strip(), parsed(text.replace("|", "\n"))

    def end(process: subprocess.Popen[str]) -> None:
        process.kill()
        process.communicate()
        folder.forget_worker(process.pid)

    streams = ("drive_streams", "model=net", "version=1")
    first, _, found = start("count")
    assert found[streams] == 1
    second, totals, found = start("count")
    assert found[streams] == 2
    expected = ModelTotals(
        requests={"success": 2, "rejected": 2},
        seconds={"success": 0.5, "rejected": 1.0},
        batches={4: (2, 0.25)},
        durations=(*[0] * 8, 2, 2, *[0] * 5),
        request_s=1.5,
        computed=2,
        input_s=0.5,
        output_s=1.0,
        queue_s=1.0,
        queued=4,
        rows=8,
        runs=2,
        compute_s=0.25,
    )
    assert totals == str({NET: expected})
    end(first)
    end(second)
    third, totals, found = start("ask")
    end(third)
    assert totals == str({NET: expected})
    assert found[streams] == 1, "what the dead ones had at the moment is gone"
    assert found["inference_requests_total", "model=net", "outcome=success", "version=1"] == 2


async def test_prometheus_reads_the_names_and_labels_of_the_conventions():
    metrics = Metrics()
    metrics.count_request(NET, 200, 0.0007, RequestTimes())
    metrics.count_batch(NET, batch(3, run_s=100.0))
    found = await samples(metrics)
    net = ("model=net", "version=1")
    assert found["inference_requests_total", "model=net", "outcome=success", "version=1"] == 1
    duration = "inference_request_duration_seconds"
    assert found[f"{duration}_count", *net] == 1
    assert found[f"{duration}_sum", *net] == 0.0007
    assert found[f"{duration}_bucket", "le=0.0005", *net] == 0
    assert found[f"{duration}_bucket", "le=0.001", *net] == 1
    assert found["inference_batch_size_bucket", "le=4.0", *net] == 1
    assert found["inference_batch_size_bucket", "le=2.0", *net] == 0
    compute = "inference_compute_duration_seconds_bucket"
    assert (found[compute, "le=30.0", *net], found[compute, "le=+Inf", *net]) == (0, 1)
    text = (await metrics.exposition()).decode()
    assert all(f"# TYPE {name} " in text for name in NAMES)


async def test_a_bound_belongs_to_its_bucket():
    metrics = Metrics()
    metrics.count_batch(NET, batch(8))
    found = await samples(metrics)
    assert found["inference_batch_size_bucket", "le=8.0", "model=net", "version=1"] == 1
    assert found["inference_batch_size_bucket", "le=4.0", "model=net", "version=1"] == 0


async def test_what_cascades_count_themselves_is_taken_over_once(
    tmp_path: Path, make_parts, write_pair, pictures: np.ndarray
):
    path = write_pair(tmp_path, threshold=0.9)
    pair = ModelVersion(name="pair", version="1")
    metrics = Metrics()
    for _ in range(2):  # a model that is loaded again begins to count anew
        model = CascadeModel.load(path, pair, make_parts())
        for images in (pictures[:10], pictures[:10], pictures[10:12]):
            await model.classify(images, context=RequestContext())
            for _ in range(2):
                await metrics.sample([model])
        model.close()
        await metrics.sample([])
    totals = (await metrics.totals())[pair]
    assert totals.memory == MemoryCounters(lookups=44, hits=20, stored=24, entries=12)
    assert totals.stages["memory"] == 20
    assert totals.stages["a"] + totals.stages["b"] == 24
    found = await samples(metrics)
    labels = ("model=pair", "result=hit", "version=1")
    assert found["result_memory_lookups_total", *labels] == 20
