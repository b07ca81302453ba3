"""The server's benchmark measures what it says; what it measures is printed, never asserted."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from bicameral.cli.bench_server import SERVE_COMMAND
from bicameral.errors import MachineError
from server.bench.cost import BINARY, SMALL, Cell, make_pictures, measure_costs
from server.bench.load import Load, drive, load_process
from server.bench.requests import picture_request
from server.bench.running import ServerCommand, process_tree, running_server
from studies.memory_growth import growth_mib_h
from studies.serve_cost import mlserver_commands


def test_requests_to_a_real_server_are_measured_beside_the_network(tmp_path: Path) -> None:
    cell = Cell(server="ours", model=SMALL, form=BINARY, connections=2)
    words = [*SERVE_COMMAND, "--port={port}", "--workers=1"]
    steps = []
    with (
        load_process() as loads,
        running_server(ServerCommand(name="ours", words=words), tmp_path / "log") as server,
    ):
        costs = measure_costs(
            {"ours": server}, loads, [cell], (2, 0.2), lambda *step: steps.append(step[:2])
        )
        pids = process_tree(server.pid)
        nothing = picture_request(SMALL, b"no picture")
        opened = Load(port=server.port, requests=[nothing], rate_per_s=50.0, duration_s=0.4)
        refused = loads.submit(drive, opened).result()
    assert steps == [(0, 2), (1, 2), (2, 2)]
    for cost in costs[cell]:
        assert cost.failed == 0
        assert cost.answered > 0
        assert cost.request_s > cost.reference_s > 0.0
        assert 0.0 < cost.median_s <= cost.p99_s
    assert refused.statuses == {415: 20}
    assert (refused.answered, refused.failed) == (0, 20)
    assert len(pids) >= 2  # the supervisor and its worker
    assert process_tree(pids[0]) == []


def test_no_two_pictures_are_alike() -> None:
    assert len(np.unique(make_pictures(64).reshape(64, -1), axis=0)) == 64


def test_a_server_that_does_not_start_is_reported_with_its_last_words(tmp_path: Path) -> None:
    command = ServerCommand(name="broken", words=[sys.executable, "-c", "raise SystemExit('ow')"])
    with pytest.raises(MachineError, match=r"'broken' was not ready.*exit code 1.*ow"):
        with running_server(command, tmp_path / "log"):
            pass


def test_an_absent_peer_is_reported_with_what_installs_it(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="pip install mlserver"):
        mlserver_commands(tmp_path / "python", tmp_path)


def test_the_growth_of_memory_is_found_through_noise_and_warming_up() -> None:
    rng = np.random.default_rng(0)
    times_s = np.arange(0.0, 600.0, 2.0)
    for growth in (0.0, 40.0):
        sizes = 100.0 + growth * times_s / 3600.0 + rng.normal(0, 0.2, len(times_s))
        sizes[: len(sizes) // 4] -= 30.0
        samples = [(t, int(s * 2**20)) for t, s in zip(times_s, sizes, strict=True)]
        found = growth_mib_h(samples, 200.0)
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        assert found.low < growth < found.high
        assert found.high - found.low < 10.0
    assert growth_mib_h([(0.0, 1)] * 10, 0.0) is None
