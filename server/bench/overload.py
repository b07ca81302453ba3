"""What becomes of requests when there are ten times as many as a server can answer."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

from edge.session import OnnxSession
from server.bench.fixtures import SLOW, SMALL, make_pictures, network_inputs, write_network
from server.bench.load import LoadResult, load_process
from server.bench.open_load import OpenLoad, drive_open
from server.bench.requests import binary_infer_request
from server.bench.server_under_test import RunningServer, ServerCommand, running_server
from server.bench.verdicts import Verdict, at_most

_OVERLOAD = 10.0
#: A load without any queue, for comparison.
_LIGHT = 0.2
#: The server refuses what would wait longer than so many runs: for one that goes on, and a half
#: for what a run takes longer than usual.
_WAIT_RUNS = 1.5

_MOST_P99_RATIO = 3.0
_MOST_REFUSAL_S = 0.05

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class OverloadSettings:
    """What to do.

    Attributes:
        command: Words that start the server; a folder and flags follow.
        passes: Light load and overload in turn, so many times.
        light_s: Length of a light load.
        overload_s: Length of an overload.
    """

    command: Sequence[str]
    passes: int = 3
    light_s: float = 8.0
    overload_s: float = 6.0


@dataclass(frozen=True, slots=True, kw_only=True)
class OverloadPass:
    """One light load and one overload.

    Attributes:
        light_p99_s: Latency of the light load.
        accepted_p99_s: Latency of what was answered with 200 in the overload.
        refused_p99_s: Latency of what was answered with 429.
        refused_most_s: The slowest of those.
        accepted: Answers with 200.
        refused: Answers with 429.
        other: Anything else, in both loads.
        rate_per_s: Requests a second in the overload.
    """

    light_p99_s: float
    accepted_p99_s: float
    refused_p99_s: float
    refused_most_s: float
    accepted: int
    refused: int
    other: int
    rate_per_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class OverloadResult:
    """All passes, and what should hold.

    Attributes:
        run_s: Time of one run of the network in this process.
        max_wait_s: The server's limit on waiting.
        passes: What happened.
        verdicts: Medians over the passes, against their limits.
    """

    run_s: float
    max_wait_s: float
    passes: Sequence[OverloadPass]
    verdicts: Sequence[Verdict]


def run_overload(settings: OverloadSettings, folder: Path, progress: Progress) -> OverloadResult:
    """Serve a slow network and ask for too much of it.

    Args:
        settings: What to do.
        folder: For the model and the server's log; empty.
        progress: Told (done, total, what comes next).

    Raises:
        MachineError: If the server does not start.
    """
    models = folder / "models"
    graph = write_network(models, SLOW).with_name(f"{SLOW}.onnx")
    run_s = _run_s(graph)
    max_wait_s = _WAIT_RUNS * run_s
    words = [
        *settings.command, str(models), "--port={port}", "--workers=1",
        f"--batching.max-wait-s={max_wait_s:.6f}",
    ]  # fmt: skip
    passes = []
    with (
        load_process() as loads,
        running_server(ServerCommand(name="server", words=words), folder / "server.log") as server,
    ):
        for number in range(settings.passes):
            progress(number, settings.passes, f"one run takes {1e3 * run_s:.1f} ms")
            passes.append(_one_pass(settings, server, loads, 1 / run_s))
    progress(settings.passes, settings.passes, "")
    return OverloadResult(
        run_s=run_s, max_wait_s=max_wait_s, passes=passes, verdicts=_verdicts(passes)
    )


def _one_pass(
    settings: OverloadSettings, server: RunningServer, loads: Executor, capacity_per_s: float
) -> OverloadPass:
    requests = [
        binary_infer_request(SLOW, tensor[None]) for tensor in network_inputs(make_pictures(SMALL))
    ]

    def load(share: float, duration_s: float) -> LoadResult:
        open_load = OpenLoad(
            port=server.port,
            requests=requests,
            rate_per_s=share * capacity_per_s,
            duration_s=duration_s,
        )
        return loads.submit(drive_open, open_load).result()

    light = load(_LIGHT, settings.light_s)
    heavy = load(_OVERLOAD, settings.overload_s)
    accepted, refused = heavy.answered, heavy.statuses.get(429, 0)
    return OverloadPass(
        light_p99_s=light.latency_s(0.99),
        accepted_p99_s=heavy.latency_s(0.99),
        refused_p99_s=heavy.latency_s(0.99, 429),
        refused_most_s=heavy.latency_s(1.0, 429),
        accepted=accepted,
        refused=refused,
        other=light.failed - light.statuses.get(429, 0) + heavy.failed - refused,
        rate_per_s=_OVERLOAD * capacity_per_s,
    )


def _verdicts(passes: Sequence[OverloadPass]) -> list[Verdict]:
    def median(of: Callable[[OverloadPass], float]) -> float:
        return statistics.median(map(of, passes))

    return [
        at_most(
            "p99 of accepted requests / p99 without overload",
            median(lambda one: one.accepted_p99_s / one.light_p99_s),
            _MOST_P99_RATIO,
        ),
        at_most(
            "p99 of refusals, ms",
            1e3 * median(lambda one: one.refused_p99_s),
            1e3 * _MOST_REFUSAL_S,
        ),
        at_most("answers other than 200 and 429", float(sum(one.other for one in passes)), 0.0),
    ]


def _run_s(graph: Path) -> float:
    """Return the median time of a run, on the wall clock, which is what capacity depends on."""
    session = OnnxSession(graph.read_bytes(), name=SLOW)
    image = network_inputs(make_pictures(SMALL, 1))
    times_s = []
    for _ in range(30):
        begin_s = time.perf_counter()
        session.run({"image": image})
        times_s.append(time.perf_counter() - begin_s)
    return statistics.median(times_s)
