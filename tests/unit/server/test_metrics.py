"""Counters that outlive their process, and the sums over all workers."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
from pathlib import Path

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from bicameral.types import MemoryCounters
from edge.sidecar import read_sidecar
from server.counter_file import CounterFile, gauges_path, read_counters, remove_counters
from server.metric_families import FAMILIES
from server.metrics import Metrics, outcome_of
from server.serving.cascade_model import CascadeModel
from server.serving.computation import BatchRecord
from server.serving.graph_model import GraphModel
from server.serving.served_model import ModelVersion, RequestContext

NET, OTHER = ModelVersion(name="net", version="1"), ModelVersion(name="other", version="2")


def batch(rows: int, waits_s: tuple[float, ...] = (0.0,), run_s: float = 0.001) -> BatchRecord:
    return BatchRecord(computation="run", rows=rows, waits_s=waits_s, run_s=run_s, in_place=True)


def samples(metrics: Metrics) -> dict[tuple[str, ...], float]:
    """Return what Prometheus reads, by name and labels."""
    return {
        (
            sample.name,
            *(f"{key}={value}" for key, value in sorted(sample.labels.items())),
        ): sample.value
        for family in text_string_to_metric_families(metrics.exposition().decode())
        for sample in family.samples
    }


def test_numbers_are_read_by_others_while_they_are_counted(tmp_path: Path):
    file = CounterFile(tmp_path / "a.numbers")
    single, several = file.row(("single", "x"), 1), file.row(("several",), 3)
    single[0] += 2.5
    several[2] += 1.0
    assert read_counters(tmp_path / "a.numbers") == {
        ("single", "x"): [2.5],
        ("several",): [0.0, 0.0, 1.0],
    }
    assert file.row(("single", "x"), 1)[0] == 2.5


def test_a_successor_goes_on_counting(tmp_path: Path):
    for count in (1.0, 2.0, 3.0):
        row = CounterFile(tmp_path / "a.numbers").row(("single", "é\n"), 1)
        row[0] += 1.0
        assert row[0] == count


def count_and_die(path: Path) -> None:
    CounterFile(path).row(("single",), 1)[0] = 41.0
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_process_loses_no_count(tmp_path: Path):
    path = tmp_path / "a.numbers"
    # A fork, for the function must not be imported by name; this process has no threads to lose.
    process = multiprocessing.get_context("fork").Process(target=count_and_die, args=(path,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert read_counters(path) == {("single",): [41.0]}


def test_a_name_that_was_not_finished_is_no_name(tmp_path: Path):
    path = tmp_path / "a.numbers"
    CounterFile(path).row(("first",), 1)[0] = 1.0
    with path.with_suffix(".names").open("a") as names:
        names.write('[1, 2, "sec')
    assert read_counters(path) == {("first",): [1.0]}
    CounterFile(path).row(("second",), 1)[0] = 2.0
    assert read_counters(path) == {("first",): [1.0], ("second",): [2.0]}


def test_a_full_file_goes_on_without_counting(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    file = CounterFile(tmp_path / "a.numbers")
    size = (4 << 20) // 8
    file.row(("most",), size - 1)
    file.row(("too much",), 2)[1] += 1.0
    assert "is full: ('too much',) is not counted" in caplog.text
    file.row(("last",), 1)[0] = 7.0
    assert read_counters(tmp_path / "a.numbers").keys() == {("most",), ("last",)}


def test_removed_counters_are_gone(tmp_path: Path):
    CounterFile(tmp_path / "a.numbers").row(("first",), 1)
    remove_counters(tmp_path / "a.numbers")
    remove_counters(tmp_path / "a.numbers")
    assert read_counters(tmp_path / "a.numbers") == {}
    assert list(tmp_path.iterdir()) == []


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


def test_whoever_is_asked_tells_the_sums_over_all_workers(tmp_path: Path):
    workers = [Metrics(tmp_path, slot) for slot in range(3)]
    for worker in workers[:2]:
        worker.count_request(NET, 200, 0.25)
        worker.count_batch(NET, batch(4, (0.0, 0.5), run_s=0.125))
    workers[1].count_request(NET, 429, 0.5)
    workers[2].count_request(OTHER, None, 1.0)
    assert workers[0].totals() == workers[2].totals()
    totals = workers[2].totals()
    assert totals.keys() == {NET, OTHER}
    net = totals[NET]
    assert net.requests == {"success": 2, "rejected": 1}
    assert (net.request_s, net.queue_s, net.compute_s) == (1.0, 1.0, 0.25)
    assert (net.queued, net.rows, net.runs) == (4, 8, 2)
    assert (net.stages, net.memory) == ({}, None)


def test_prometheus_reads_the_names_and_labels_of_the_conventions(tmp_path: Path):
    metrics = Metrics(tmp_path, 0)
    metrics.count_request(NET, 200, 0.0007)
    metrics.count_batch(NET, batch(3, run_s=100.0))
    found = samples(metrics)
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
    text = metrics.exposition().decode()
    assert all(f"# TYPE {name} " in text for name in FAMILIES)


def test_a_bound_belongs_to_its_bucket(tmp_path: Path):
    metrics = Metrics(tmp_path, 0)
    metrics.count_batch(NET, batch(8))
    found = samples(metrics)
    assert found["inference_batch_size_bucket", "le=8.0", "model=net", "version=1"] == 1
    assert found["inference_batch_size_bucket", "le=4.0", "model=net", "version=1"] == 0


def test_what_a_dead_worker_had_at_the_moment_is_gone_and_what_it_counted_stays(
    tmp_path: Path, make_parts, write_classifier
):
    (tmp_path / "metrics").mkdir()
    model = GraphModel.load(write_classifier(tmp_path, "net"), NET, make_parts())
    workers = [Metrics(tmp_path / "metrics", slot) for slot in range(2)]
    for worker in workers:
        asyncio.run(worker.sample([model]))
        worker.count_request(NET, 200, 0.1)
    gauge = ("inference_queue_depth", "model=net", "version=1")
    assert samples(workers[0])[gauge] == 0
    for slot in range(2):
        remove_counters(gauges_path(tmp_path / "metrics", slot))
    assert gauge not in samples(workers[0])
    assert workers[0].totals()[NET].requests == {"success": 2}
    model.close()


def test_what_cascades_count_themselves_is_taken_over_once(
    tmp_path: Path, make_parts, write_classifier, write_cascade, pictures: np.ndarray
):
    members = [
        (name, read_sidecar(write_classifier(tmp_path, name, seed=seed)).files[0].sha256)
        for seed, name in enumerate(("a", "b"))
    ]
    memory = {"key": "exact", "tolerance_mae_u8": 0.0, "max_entries": 100, "max_age_s": None}
    memory["store_min_confidence"] = 0.0
    path = write_cascade(tmp_path, "pair", *members, cascade={"memory": memory, "threshold": 0.9})
    pair = ModelVersion(name="pair", version="1")
    (tmp_path / "metrics").mkdir()
    workers = [Metrics(tmp_path / "metrics", slot) for slot in range(2)]

    async def scenario() -> None:
        for _ in range(2):  # a model that is loaded again begins to count anew
            model = CascadeModel.load(path, pair, make_parts())
            for images in (pictures[:10], pictures[:10], pictures[10:12]):
                await model.classify(images, context=RequestContext())
                for _ in range(2):
                    await workers[0].sample([model])
            model.close()
            await workers[0].sample([])

    asyncio.run(scenario())
    totals = workers[1].totals()[pair]
    assert totals.memory == MemoryCounters(lookups=44, hits=20, stored=24, entries=12)
    assert totals.stages["memory"] == 20
    assert totals.stages["a"] + totals.stages["b"] == 24
    found = samples(workers[1])
    labels = ("model=pair", "result=hit", "version=1")
    assert found["result_memory_lookups_total", *labels] == 20
