"""Processor time of a request, over processor time of the same answer without a server.

All cells are measured one after the other, again in reverse, and again; before and after every cell
the reference is run in this process. So a busy moment of the machine hits both.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

from bicameral.errors import MachineError
from server.bench.load import ClosedLoad, drive_closed
from server.bench.reference import Reference
from server.bench.server_under_test import RunningServer

#: A cell begins with loads of this length that are not counted, until every request was answered.
_WARM_UP_S = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One thing to measure.

    Attributes:
        server: Name of the server.
        model: Name of the model, for tables.
        form: How its requests are written, for tables.
        connections: Number of clients.
        requests: Whole requests, sent in turn.
        reference: Name of the reference.
        duration_s: How long.
    """

    server: str
    model: str
    form: str
    connections: int
    requests: Sequence[bytes]
    reference: str
    duration_s: float

    @property
    def key(self) -> tuple[str, str, str, int]:
        """Identifies it."""
        return self.server, self.model, self.form, self.connections


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One measurement of a cell.

    Attributes:
        request_s: Processor time of all processes of the server, per request.
        reference_s: Processor time of a run of the reference: the smaller of before and after, so
            that a neighbour can only make the server look worse.
        requests_per_s: Throughput.
        median_s: Median latency.
        p99_s: 99th percentile of the latency.
        answered: Answers with status 200.
        failed: Other ones, and requests without an answer.
    """

    request_s: float
    reference_s: float
    requests_per_s: float
    median_s: float
    p99_s: float
    answered: int
    failed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a cell costs, over all passes.

    Attributes:
        server: As `Cell`.
        model: As `Cell`.
        form: As `Cell`.
        connections: As `Cell`.
        ratio: Median over the passes of request over reference.
        least_ratio: Smallest pass.
        most_ratio: Largest pass.
        request_s: Median processor time per request.
        reference_s: Median processor time of the reference.
        requests_per_s: Median throughput.
        median_s: Median over the passes of the median latency.
        p99_s: Median over the passes of the 99th percentile.
        answered: Requests of all passes with status 200.
        failed: Other ones.
        passes: Number of passes.
    """

    server: str
    model: str
    form: str
    connections: int
    ratio: float
    least_ratio: float
    most_ratio: float
    request_s: float
    reference_s: float
    requests_per_s: float
    median_s: float
    p99_s: float
    answered: int
    failed: int
    passes: int


Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What cells are measured with.

    Attributes:
        servers: Ready ones, by name.
        references: By name.
        loads: A process in which loads are made.
    """

    servers: Mapping[str, RunningServer]
    references: Mapping[str, Reference]
    loads: Executor


def measure_costs(
    bench: Bench, cells: Sequence[Cell], *, passes: int, progress: Progress
) -> list[Cost]:
    """Measure cells, interleaved.

    Args:
        bench: Servers, references and where loads are made.
        cells: What to measure.
        passes: How often; every second pass runs in reverse.
        progress: Told (done, total, what comes next).

    Returns:
        One cost per cell, in their order.
    """
    samples: dict[tuple[str, str, str, int], list[Sample]] = {cell.key: [] for cell in cells}
    done, total = 0, passes * len(cells)
    for number in range(passes):
        for cell in cells if number % 2 == 0 else cells[::-1]:
            progress(done, total, f"{cell.server}: {cell.model}, {cell.form}, {cell.connections}")
            sample = _measure(bench, cell)
            samples[cell.key].append(sample)
            done += 1
    progress(done, total, "")
    return [_cost(cell, samples[cell.key]) for cell in cells]


def _measure(bench: Bench, cell: Cell) -> Sample:
    server, reference = bench.servers[cell.server], bench.references[cell.reference]

    def load(duration_s: float) -> ClosedLoad:
        return ClosedLoad(
            port=server.port,
            requests=cell.requests,
            connections=cell.connections,
            duration_s=duration_s,
        )

    warm = 0
    while warm < len(cell.requests):
        result = bench.loads.submit(drive_closed, load(_WARM_UP_S)).result()
        if not result.answered:
            raise MachineError(
                f"{server.name} answers no request for {cell.model}, {cell.form}: statuses "
                f"{dict(result.statuses)}; see its log"
            )
        warm += result.answered
    before_s = reference.processor_s()
    begin_s = server.processor_s()
    result = bench.loads.submit(drive_closed, load(cell.duration_s)).result()
    spent_s = server.processor_s() - begin_s
    after_s = reference.processor_s()
    requests = result.answered + result.failed
    return Sample(
        request_s=spent_s / max(requests, 1),
        reference_s=min(before_s, after_s),
        requests_per_s=result.answered / result.duration_s,
        median_s=result.latency_s(0.5),
        p99_s=result.latency_s(0.99),
        answered=result.answered,
        failed=result.failed,
    )


def _cost(cell: Cell, samples: Sequence[Sample]) -> Cost:
    ratios = [sample.request_s / sample.reference_s for sample in samples]

    def median(of: Callable[[Sample], float]) -> float:
        return statistics.median(map(of, samples))

    return Cost(
        server=cell.server,
        model=cell.model,
        form=cell.form,
        connections=cell.connections,
        ratio=statistics.median(ratios),
        least_ratio=min(ratios),
        most_ratio=max(ratios),
        request_s=median(lambda sample: sample.request_s),
        reference_s=median(lambda sample: sample.reference_s),
        requests_per_s=median(lambda sample: sample.requests_per_s),
        median_s=median(lambda sample: sample.median_s),
        p99_s=median(lambda sample: sample.p99_s),
        answered=sum(sample.answered for sample in samples),
        failed=sum(sample.failed for sample in samples),
        passes=len(samples),
    )
