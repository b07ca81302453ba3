"""What a run costs by its number of rows, measured while a model warms up."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

#: Runs of each size that are timed: at most, and at least after so much time.
_MOST_RUNS = 20
_LEAST_RUNS = 3
_PATIENCE_S = 0.05
#: The second size; a batch of 8 shows what a further row costs (0.6 of a single one for a network
#: of 100,000 parameters, nearly as much for one of 1.6 million).
_BATCH_ROWS = 8


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
