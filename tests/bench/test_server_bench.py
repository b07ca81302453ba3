"""The server's benchmarks measure what they say; what they measure is printed, never asserted."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import numpy as np
import pytest

from bicameral.errors import MachineError
from server.bench.cost import Bench, Cell, measure_costs
from server.bench.fixtures import (
    LARGE,
    SMALL,
    TINY,
    make_pictures,
    network_inputs,
    write_network,
    write_pair,
)
from server.bench.load import load_process
from server.bench.memory_slope import memory_slope
from server.bench.open_load import OpenLoad, drive_open
from server.bench.peers import mlserver_commands
from server.bench.reference import CascadeReference, NetworkReference
from server.bench.requests import binary_infer_request
from server.bench.server_under_test import ServerCommand, process_tree, running_server
from server.bench.soak import SoakSettings, run_soak
from server.bench.verdicts import at_most

COMMAND = (sys.executable, "-c", "from bicameral.cli.app import main; main()", "serve")


def test_requests_to_a_real_server_are_measured_beside_the_network(tmp_path: Path) -> None:
    graph = write_network(tmp_path / "models", TINY).with_name(f"{TINY}.onnx")
    inputs = network_inputs(make_pictures(SMALL, 4))
    cell = Cell(
        server="ours",
        model=TINY,
        form="binary",
        connections=2,
        requests=[binary_infer_request(TINY, tensor[None]) for tensor in inputs],
        reference=TINY,
        duration_s=0.2,
    )
    words = [*COMMAND, str(tmp_path / "models"), "--port={port}", "--workers=1"]
    steps = []
    with (
        load_process() as loads,
        running_server(ServerCommand(name="ours", words=words), tmp_path / "log") as server,
    ):
        bench = Bench(
            servers={"ours": server},
            references={TINY: NetworkReference(graph, inputs)},
            loads=loads,
        )
        (cost,) = measure_costs(
            bench, [cell], passes=2, progress=lambda *step: steps.append(step[:2])
        )
        pids = process_tree(server.pid)
        open_load = OpenLoad(
            port=server.port, requests=cell.requests, rate_per_s=50.0, duration_s=0.4
        )
        opened = loads.submit(drive_open, open_load).result()
    assert steps == [(0, 2), (1, 2), (2, 2)]
    assert cost.failed == 0
    assert cost.answered > 0
    assert 1.0 < cost.least_ratio <= cost.ratio <= cost.most_ratio
    assert cost.request_s > cost.reference_s > 0.0
    assert 0.0 < cost.median_s <= cost.p99_s
    assert opened.statuses == {200: 20}
    assert len(pids) >= 2  # the supervisor and its worker
    assert process_tree(pids[0]) == []


def test_a_quarter_of_the_pictures_escalates_in_the_pair(tmp_path: Path) -> None:
    pictures = make_pictures(LARGE, 12)
    reference = CascadeReference(write_pair(tmp_path, pictures), pictures)
    assert reference.escalated_share == 0.25


def test_a_server_that_does_not_start_is_reported_with_its_last_words(tmp_path: Path) -> None:
    command = ServerCommand(name="broken", words=[sys.executable, "-c", "raise SystemExit('ow')"])
    with pytest.raises(MachineError, match=r"'broken' was not ready.*exit code 1.*ow"):
        with running_server(command, tmp_path / "log"):
            pass


def test_an_absent_peer_is_reported_with_what_installs_it(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="pip install mlserver"):
        mlserver_commands(tmp_path / "python", tmp_path, tmp_path / "graph.onnx")


def test_the_slope_of_memory_is_found_through_noise_and_warming_up() -> None:
    rng = np.random.default_rng(0)
    times_s = np.arange(0.0, 600.0, 2.0)
    for growth_mib_h in (0.0, 40.0):
        sizes = 100.0 + growth_mib_h * times_s / 3600.0 + rng.normal(0, 0.2, len(times_s))
        sizes[: len(sizes) // 4] -= 30.0
        slope = memory_slope(1, [(t, int(s * 2**20)) for t, s in zip(times_s, sizes, strict=True)])
        assert slope is not None
        assert slope.low_mib_h < growth_mib_h < slope.high_mib_h
        assert slope.high_mib_h - slope.low_mib_h < 10.0
        assert slope.mean_mib == pytest.approx(100.0 + growth_mib_h / 9, abs=1.0)
    assert memory_slope(1, list(itertools.repeat((0.0, 1), 10))) is None


def test_a_verdict_compares_with_its_limit() -> None:
    assert at_most("x", 1.0, 1.0).holds
    assert not at_most("x", 1.1, 1.0).holds


@pytest.mark.timeout(400)  # it starts three workers
def test_a_short_soak_finds_no_wrong_answer_and_survives_a_killed_worker(tmp_path: Path) -> None:
    settings = SoakSettings(command=COMMAND, duration_s=6.0, clients=3, leavers=1)
    result = run_soak(settings, tmp_path, lambda *_: None)
    assert result.wrong == []
    assert result.unexplained == []
    assert result.answered.total() > 10
    assert result.killed_pid > 0
    assert result.ready_again_s > 0.0
    assert result.left > 0
    assert result.exit_code == 0
