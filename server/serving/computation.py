"""What a model computes for a request, what that costs, and what happened to a request in it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Generic, TypeVar

P = TypeVar("P")
A = TypeVar("A")

#: Runs of each size that are timed: at most, and at least after so much time.
_MOST_RUNS = 20
_LEAST_RUNS = 3
_PATIENCE_S = 0.05
#: The second size; a batch of 8 shows what a further row costs (0.6 of a single one for a network
#: of 100,000 parameters, nearly as much for one of 1.6 million).
_BATCH_ROWS = 8


#: Rows of a run at most: the memory that it takes stays with its graph.
ROWS_OF_PIECE = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCost:
    """A straight line: seconds for one row, and for every further one."""

    first_row_s: float
    next_row_s: float

    def __add__(self, other: RunCost) -> RunCost:
        """Return the cost of doing both."""
        return RunCost(
            first_row_s=self.first_row_s + other.first_row_s,
            next_row_s=self.next_row_s + other.next_row_s,
        )

    def seconds(self, rows: int) -> float:
        """Return how long a run of so many rows should take."""
        return self.first_row_s + (rows - 1) * self.next_row_s

    def rows_within(self, seconds: float) -> int:
        """Return how many rows a run of this length can have; at least 1."""
        if self.next_row_s <= 0.0:
            return 1
        return 1 + max(0, int((seconds - self.first_row_s) / self.next_row_s))


@dataclass(frozen=True, slots=True, kw_only=True)
class Stacking(Generic[P, A]):
    """How several requests become one, and one answer several.

    Attributes:
        stack: Joins payloads along their rows, in order.
        split: Cuts an answer into parts of so many rows, in order.
    """

    stack: Callable[[Sequence[P]], P]
    split: Callable[[A, Sequence[int]], Sequence[A]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Computation(Generic[P, A]):
    """Something that a model computes. Only requests for the same object share a batch.

    Attributes:
        name: How records and messages call it.
        run: Computes; called by one thread at a time, on the event loop or another one.
        cost: How long it takes.
        stacking: How requests share a run; None: each runs alone.
        blocking: It never runs on the loop, for it waits for something else than the processor, or
            may take far longer than its cost.
    """

    name: str
    run: Callable[[P], A]
    cost: RunCost
    stacking: Stacking[P, A] | None = None
    blocking: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRecord:
    """What happened in one run.

    Attributes:
        computation: Name of the computation.
        rows: Rows of all its requests.
        waits_s: How long each request waited in the queue.
        run_s: How long the run took, on the wall clock.
        in_place: Whether it ran on the event loop.
    """

    computation: str
    rows: int
    waits_s: tuple[float, ...]
    run_s: float
    in_place: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedRun:
    """A run that a request took part in.

    Attributes:
        batch: The run.
        wait_s: How long the request waited for it.
        end_ns: When it ended, on `time.time_ns`'s clock.
    """

    batch: BatchRecord
    wait_s: float
    end_ns: int


@dataclass(slots=True, kw_only=True, eq=False)
class RequestRecord:
    """Filled while a request is answered.

    Attributes:
        runs: The runs that it took part in, in their order.
        stages: Its images by the stage of a cascade that answered: ``memory``, ``a``, ``b``.
    """

    runs: list[RecordedRun] = field(default_factory=list)
    stages: Counter[str] = field(default_factory=Counter)

    def note_run(self, batch: BatchRecord, wait_s: float) -> None:
        """Note a run that has just ended."""
        self.runs.append(RecordedRun(batch=batch, wait_s=wait_s, end_ns=time.time_ns()))


#: The record of the request that is being answered; None: nobody wants one.
current_record: ContextVar[RequestRecord | None] = ContextVar("current_record", default=None)


@dataclass(slots=True, eq=False)
class RequestTimes:
    """When a request went from one hand to the next, on `time.monotonic`'s clock; 0.0: not yet.

    Attributes:
        read_s: Its body was there.
        submitted_s: Its tensors, for the first time, went to a queue.
        computed_s: Their answer, for the last time, came back.
        encoded_s: Its answer was made.
    """

    read_s: float = 0.0
    submitted_s: float = 0.0
    computed_s: float = 0.0
    encoded_s: float = 0.0


#: The times of the request that is being answered; None: nobody counts them.
current_times: ContextVar[RequestTimes | None] = ContextVar("current_times", default=None)


def unless_many(run: Callable[[P], A], in_pieces: Callable[[P], A]) -> Callable[[P], A]:
    """Return a run of payloads that have a length, which is in pieces where they are long."""

    def run_either(payload: P) -> A:
        return run(payload) if len(payload) <= ROWS_OF_PIECE else in_pieces(payload)  # type: ignore[arg-type]

    return run_either


def measure_run_cost(run: Callable[[int], object]) -> RunCost:
    """Time a run of one row and one of eight.

    The shortest of a few runs counts, on the wall clock: what else the machine does can only make a
    run longer.

    Args:
        run: Makes a run of so many rows.
    """
    run(1)  # the first one prepares buffers
    first_s = _shortest_s(run, 1)
    if first_s > _PATIENCE_S:
        # A slow network gains little from a batch, and would be slow to measure.
        return RunCost(first_row_s=first_s, next_row_s=first_s)
    run(_BATCH_ROWS)
    further_s = (_shortest_s(run, _BATCH_ROWS) - first_s) / (_BATCH_ROWS - 1)
    # Never free: a clock that jumps, or a run that was disturbed, must not make a batch endless.
    return RunCost(first_row_s=first_s, next_row_s=max(further_s, first_s / 20))


def _shortest_s(run: Callable[[int], object], rows: int) -> float:
    began_s = time.perf_counter()
    shortest_s = float("inf")
    for count in range(1, _MOST_RUNS + 1):
        start_s = time.perf_counter()
        run(rows)
        end_s = time.perf_counter()
        shortest_s = min(shortest_s, end_s - start_s)
        if count >= _LEAST_RUNS and end_s - began_s > _PATIENCE_S:
            break
    return shortest_s
