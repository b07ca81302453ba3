"""Properties of the queue for every mixture of requests, costs, limits, failures and departures."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.limits import BatchLimits
from server.serving.batching import MicroBatcher
from server.serving.computation import BatchRecord, Computation, RunCost, Stacking

pytestmark = pytest.mark.property


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request: when it comes (turns of the loop), for what, how large, and what goes wrong."""

    turn: int
    kind: int
    rows: int
    poisoned: bool
    leaves: bool


asked = st.builds(
    Asked,
    turn=st.integers(0, 6),
    kind=st.integers(0, 1),
    rows=st.integers(1, 5),
    poisoned=st.booleans(),
    leaves=st.booleans(),
)


class Network:
    """Answers a row with its number, shifted by the kind; a negative row spoils the run."""

    def __init__(self, kind: int, busy: threading.Lock) -> None:
        self.kind = kind
        self.runs: list[list[int]] = []
        self.busy = busy

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        assert self.busy.acquire(blocking=False), "a model makes one run at a time"
        try:
            self.runs.append(np.abs(rows).tolist())
            if (rows < 0).any():
                raise ValueError(f"poisoned {rows.min()}")
            return rows + 1000 * (self.kind + 1)
        finally:
            self.busy.release()


STACKING: Stacking[Any, Any] = Stacking(
    stack=np.concatenate, split=lambda answer, rows: np.split(answer, np.cumsum(rows)[:-1])
)


@settings(max_examples=150, deadline=None)
@given(
    requests=st.lists(asked, min_size=1, max_size=14),
    in_thread=st.booleans(),
    max_rows=st.integers(1, 8),
)
def test_every_request_gets_its_own_answer_and_no_run_is_too_large(
    requests: list[Asked], in_thread: bool, max_rows: int
) -> None:
    busy = threading.Lock()
    networks = [Network(0, busy), Network(1, busy)]
    cost = RunCost(first_row_s=1e-6, next_row_s=1e-7)
    computations = [
        Computation(name=str(one.kind), run=one, cost=cost, stacking=STACKING, blocking=in_thread)
        for one in networks
    ]
    starts = np.cumsum([1, *(one.rows for one in requests)])
    records: list[BatchRecord] = []

    async def client(batcher: MicroBatcher, index: int) -> Any:
        one = requests[index]
        for _ in range(one.turn):
            await asyncio.sleep(0)
        rows = np.arange(starts[index], starts[index + 1])
        payload = -rows if one.poisoned else rows
        return await batcher.submit(computations[one.kind], payload, one.rows)

    async def body() -> list[Any]:
        batcher = MicroBatcher("network", BatchLimits(max_rows=max_rows), records.append)
        tasks = [asyncio.ensure_future(client(batcher, index)) for index in range(len(requests))]
        for _ in range(4):
            await asyncio.sleep(0)
        for task, one in zip(tasks, requests, strict=True):
            if one.leaves:
                task.cancel()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert batcher.queued_requests == 0
        batcher.close()
        return answers

    answers = asyncio.run(body())
    for index, (one, answer) in enumerate(zip(requests, answers, strict=True)):
        if isinstance(answer, asyncio.CancelledError):
            assert one.leaves
        elif one.poisoned:
            assert isinstance(answer, ValueError)
            assert str(answer) == f"poisoned {1 - starts[index + 1]}"
        else:
            expected = np.arange(starts[index], starts[index + 1]) + 1000 * (one.kind + 1)
            assert answer.tolist() == expected.tolist()
    largest = max(one.rows for one in requests)
    assert all(record.rows <= max(max_rows, largest) for record in records)
    assert all(record.rows <= max_rows or len(record.waits_s) == 1 for record in records)


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(st.integers(1, 5), min_size=1, max_size=14), in_thread=st.booleans())
def test_requests_of_one_kind_run_in_the_order_in_which_they_came_each_once(
    rows: list[int], in_thread: bool
) -> None:
    network = Network(0, threading.Lock())
    computation = Computation(
        name="one",
        run=network,
        cost=RunCost(first_row_s=1e-6, next_row_s=1e-7),
        stacking=STACKING,
        blocking=in_thread,
    )
    starts = np.cumsum([1, *rows])

    async def body() -> None:
        batcher = MicroBatcher("network", BatchLimits(max_rows=4))
        await asyncio.gather(
            *(
                batcher.submit(computation, np.arange(start, start + count), count)
                for start, count in zip(starts, rows, strict=False)
            )
        )
        batcher.close()

    asyncio.run(body())
    ran = [row for run in network.runs for row in run]
    assert ran == list(range(1, sum(rows) + 1))
