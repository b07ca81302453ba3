"""Requests that share runs: who runs with whom, where, when, and what becomes of trouble."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest

from server.errors import RequestError
from server.limits import BatchLimits
from server.serving.batching import MicroBatcher
from server.serving.computation import BatchRecord, Computation, RunCost, Stacking, measure_run_cost

SHORT = RunCost(first_row_s=1e-6, next_row_s=1e-6)
LONG = RunCost(first_row_s=0.002, next_row_s=0.0001)


def _split(answer: np.ndarray, rows: list[int]) -> list[np.ndarray]:
    assert len(answer) == sum(rows)
    return np.split(answer, np.cumsum(rows)[:-1])


STACKING: Stacking[Any, Any] = Stacking(stack=np.concatenate, split=_split)


class Model:
    """Squares numbers, notes its runs, refuses 13, and waits at a gate if there is one."""

    def __init__(self) -> None:
        self.runs: list[list[int]] = []
        self.threads: set[int] = set()
        self.gate: threading.Event | None = None
        self.entered = threading.Event()

    def __call__(self, numbers: np.ndarray) -> np.ndarray:
        self.runs.append(numbers.tolist())
        self.threads.add(threading.get_ident())
        self.entered.set()
        if self.gate is not None:
            assert self.gate.wait(180)
        if 13 in numbers:
            raise ValueError("13 is unlucky")
        return numbers**2


def _computation(model: Model, cost: RunCost = LONG, **changes: Any) -> Computation[Any, Any]:
    return Computation(
        **{"name": "square", "run": model, "cost": cost, "stacking": STACKING, **changes}
    )


@asynccontextmanager
async def _batcher(**limits: Any) -> AsyncIterator[tuple[MicroBatcher, list[BatchRecord]]]:
    records: list[BatchRecord] = []
    batcher = MicroBatcher("squares", BatchLimits(**limits), records.append)
    try:
        async with asyncio.timeout(180):
            yield batcher, records
    finally:
        batcher.close()


async def _entered(model: Model) -> None:
    """Wait until a run has begun in the thread."""
    assert await asyncio.to_thread(model.entered.wait, 30)


async def _queued(batcher: MicroBatcher, *submits: Any) -> list[asyncio.Task[Any]]:
    """Let requests enter the queue behind a run that is held up."""
    before = batcher.queued_requests
    tasks = [asyncio.ensure_future(submit) for submit in submits]
    while batcher.queued_requests < before + len(tasks):
        await asyncio.sleep(0)
    return tasks


async def test_a_short_run_of_an_idle_model_is_made_at_once_on_the_loop() -> None:
    model = Model()
    async with _batcher() as (batcher, records):
        submit = batcher.submit(_computation(model, SHORT), np.array([3]), 1)
        with pytest.raises(StopIteration) as answered:
            submit.send(None)  # it does not even wait for a turn of the loop
        assert answered.value.value == [9]
        assert model.threads == {threading.get_ident()}
        assert [(one.rows, one.waits_s, one.in_place) for one in records] == [(1, (0.0,), True)]


async def test_what_arrives_in_the_same_turn_runs_together_after_the_first() -> None:
    model = Model()
    async with _batcher() as (batcher, records):
        squares = _computation(model, SHORT)
        submits = [batcher.submit(squares, np.array([n]), 1) for n in range(6)]
        assert await asyncio.gather(*submits) == [n**2 for n in range(6)]
        assert model.runs == [[0], [1, 2, 3, 4, 5]]
        assert [len(one.waits_s) for one in records] == [1, 5]
        assert all(one.in_place for one in records)


async def test_after_requests_that_came_together_the_next_ones_all_share_a_run() -> None:
    model = Model()
    async with _batcher() as (batcher, _):
        squares = _computation(model, SHORT)
        for numbers in ([0, 1, 2], [3, 4, 5], [6], [7]):
            submits = [batcher.submit(squares, np.array([n]), 1) for n in numbers]
            assert await asyncio.gather(*submits) == [n**2 for n in numbers]
        assert model.runs == [[0], [1, 2], [3, 4, 5], [6], [7]]
        with pytest.raises(StopIteration):  # the last ones were alone, so it runs at once again
            batcher.submit(squares, np.array([8]), 1).send(None)


async def test_a_long_run_begins_when_all_that_came_in_its_turn_is_there() -> None:
    model = Model()
    async with _batcher() as (batcher, _):
        squares = _computation(model, LONG)
        await asyncio.gather(*(batcher.submit(squares, np.array([n]), 1) for n in range(3)))
        assert model.runs == [[0, 1, 2]]


async def test_a_long_run_does_not_stop_the_loop_and_what_comes_meanwhile_runs_next() -> None:
    model = Model()
    model.gate = threading.Event()
    async with _batcher() as (batcher, records):
        squares = _computation(model)
        first = asyncio.ensure_future(batcher.submit(squares, np.array([1, 2]), 2))
        await _entered(model)
        assert batcher.running_rows == 2
        rest = await _queued(
            batcher, *(batcher.submit(squares, np.arange(n), n) for n in (3, 1, 2))
        )
        assert not first.done(), "the loop ran on while the model was busy"
        model.gate.set()
        answers = await asyncio.gather(first, *rest)
        assert [answer.tolist() for answer in answers] == [[1, 4], [0, 1, 4], [0], [0, 1]]
        assert model.runs == [[1, 2], [0, 1, 2, 0, 0, 1]]
        assert threading.get_ident() not in model.threads
        assert [(one.rows, one.in_place) for one in records] == [(2, False), (6, False)]
        assert all(wait_s > 0 for wait_s in records[1].waits_s)


@pytest.mark.parametrize(
    "limits",
    # 2 ms for the first row and 0.1 ms for every other one: 4 rows take 2.3 ms.
    [{"max_rows": 4}, {"max_run_s": 0.00235}],
)
async def test_batches_respect_the_limits_of_rows_and_time_but_no_request_is_cut(
    limits: dict[str, Any],
) -> None:
    model = Model()
    model.gate = threading.Event()
    async with _batcher(**limits) as (batcher, _records):
        squares = _computation(model)
        tasks = [asyncio.ensure_future(batcher.submit(squares, np.zeros(1), 1))]
        await _entered(model)
        tasks += await _queued(
            batcher, *(batcher.submit(squares, np.zeros(n), n) for n in (2, 2, 9, 1, 3))
        )
        model.gate.set()
        await asyncio.gather(*tasks)
        assert [len(run) for run in model.runs] == [1, 4, 9, 4]


async def test_short_requests_are_batched_only_as_far_as_the_loop_can_stand() -> None:
    model = Model()
    async with _batcher(in_place_s=0.0008) as (batcher, records):
        squares = _computation(model, RunCost(first_row_s=0.0004, next_row_s=0.0003))
        submits = [batcher.submit(squares, np.array([n]), 1) for n in range(6)]
        await asyncio.gather(*submits)
        assert [len(run) for run in model.runs] == [1, 2, 2, 1]
        assert all(one.in_place for one in records)


async def test_a_request_too_large_for_the_loop_goes_to_the_thread_and_short_ones_come_back() -> (
    None
):
    model = Model()
    async with _batcher() as (batcher, records):
        squares = _computation(model, RunCost(first_row_s=1e-5, next_row_s=1e-5))
        submits = [batcher.submit(squares, np.zeros(n), n) for n in (500, 1, 1)]
        await asyncio.gather(*submits)
        assert [(one.rows, one.in_place) for one in records] == [(500, False), (2, True)]


async def test_different_computations_never_share_a_run_and_the_longest_waiting_goes_first() -> (
    None
):
    model = Model()
    model.gate = threading.Event()
    async with _batcher() as (batcher, records):
        one, other = _computation(model, name="one"), _computation(model, name="other")
        tasks = [asyncio.ensure_future(batcher.submit(one, np.array([0]), 1))]
        await _entered(model)
        tasks += await _queued(
            batcher,
            *(
                batcher.submit(which, np.array([n]), 1)
                for n, which in enumerate((other, one, one, other), start=1)
            ),
        )
        model.gate.set()
        await asyncio.gather(*tasks)
        assert model.runs == [[0], [1, 4], [2, 3]]
        assert [record.computation for record in records] == ["one", "other", "one"]


async def test_without_stacking_every_request_runs_alone() -> None:
    model = Model()
    async with _batcher() as (batcher, _records):
        alone = _computation(model, SHORT, stacking=None)
        await asyncio.gather(*(batcher.submit(alone, np.array([n]), 1) for n in range(3)))
        assert model.runs == [[0], [1], [2]]


async def test_a_computation_that_waits_for_others_never_runs_on_the_loop() -> None:
    model = Model()
    async with _batcher() as (batcher, _records):
        remote = _computation(model, SHORT, blocking=True)
        await asyncio.gather(*(batcher.submit(remote, np.array([n]), 1) for n in range(3)))
        assert threading.get_ident() not in model.threads


@pytest.mark.parametrize("cost", [SHORT, LONG])
async def test_a_failure_reaches_the_request_that_caused_it_and_no_other(cost: RunCost) -> None:
    model = Model()
    async with _batcher() as (batcher, _records):
        squares = _computation(model, cost)
        submits = [batcher.submit(squares, np.array([n]), 1) for n in (5, 6, 13, 7)]
        answers = await asyncio.gather(*submits, return_exceptions=True)
        assert isinstance(answers[2], ValueError)
        assert [answers[index].tolist() for index in (0, 1, 3)] == [[25], [36], [49]]
        with pytest.raises(ValueError, match="unlucky"):
            await batcher.submit(squares, np.array([13]), 1)
        assert await batcher.submit(squares, np.array([2]), 1) == [4]


async def test_an_answer_that_cannot_be_cut_is_computed_one_by_one() -> None:
    sums: Computation[Any, Any] = Computation(
        name="sum", run=lambda numbers: numbers.sum(keepdims=True), cost=SHORT, stacking=STACKING
    )
    async with _batcher() as (batcher, _records):
        submits = [batcher.submit(sums, np.array([n, n]), 2) for n in range(4)]
        assert await asyncio.gather(*submits) == [0, 2, 4, 6]


async def test_a_cancelled_request_leaves_the_queue_and_never_runs() -> None:
    model = Model()
    model.gate = threading.Event()
    async with _batcher() as (batcher, _records):
        squares = _computation(model)
        tasks = [asyncio.ensure_future(batcher.submit(squares, np.array([0]), 1))]
        await _entered(model)
        tasks += await _queued(
            batcher, *(batcher.submit(squares, np.array([n]), 1) for n in (1, 2, 3))
        )
        tasks[0].cancel()
        tasks[2].cancel()
        with pytest.raises(asyncio.CancelledError):
            await tasks[2]
        assert batcher.queued_requests == 2, "its place is free at once"
        model.gate.set()
        assert await asyncio.gather(tasks[1], tasks[3]) == [1, 9]
        assert model.runs == [[0], [1, 3]]
        assert tasks[0].cancelled(), "its run had begun; only nobody heard the answer"


async def test_a_request_whose_time_is_over_is_refused_instead_of_run() -> None:
    model = Model()
    model.gate = threading.Event()
    async with _batcher() as (batcher, _records):
        squares = _computation(model)
        first = asyncio.ensure_future(batcher.submit(squares, np.array([0]), 1))
        await _entered(model)
        deadline_s = time.monotonic() + 0.05
        late, patient = await _queued(
            batcher,
            batcher.submit(squares, np.array([1]), 1, deadline_s=deadline_s),
            batcher.submit(squares, np.array([2]), 1, deadline_s=deadline_s + 60),
        )
        while time.monotonic() <= deadline_s:
            await asyncio.sleep(0)
        with pytest.raises(RequestError, match="time was over") as refused:
            await batcher.submit(squares, np.array([3]), 1, deadline_s=deadline_s)
        assert refused.value.status == 503
        model.gate.set()
        assert await asyncio.gather(first, patient) == [0, 4]
        with pytest.raises(RequestError, match="before model 'squares' could begin") as refused:
            await late
        assert refused.value.status == 503
        assert model.runs == [[0], [2]]


async def test_a_full_queue_refuses_at_once_and_says_when_to_come_back() -> None:
    model = Model()
    model.gate = threading.Event()
    async with _batcher(max_queued_requests=2) as (batcher, _records):
        squares = _computation(model)
        tasks = [asyncio.ensure_future(batcher.submit(squares, np.array([0]), 1))]
        await _entered(model)
        tasks += await _queued(
            batcher, *(batcher.submit(squares, np.array([n]), 1) for n in (1, 2))
        )
        with pytest.raises(RequestError, match="overloaded: 2 requests wait") as refused:
            await batcher.submit(squares, np.array([3]), 1)
        assert refused.value.status == 429
        assert refused.value.headers == {"Retry-After": "1"}
        model.gate.set()
        assert await asyncio.gather(*tasks) == [0, 1, 4]
        assert await batcher.submit(squares, np.array([3]), 1) == [9], "there is room again"


async def test_a_request_that_would_wait_too_long_is_refused_at_once() -> None:
    model = Model()
    model.gate = threading.Event()
    async with _batcher(max_wait_s=2.0) as (batcher, _records):
        slow = _computation(model, RunCost(first_row_s=1.6, next_row_s=1.6))
        tasks = [asyncio.ensure_future(batcher.submit(slow, np.array([0]), 1))]
        await _entered(model)
        tasks += await _queued(batcher, batcher.submit(slow, np.array([1]), 1))
        with pytest.raises(RequestError, match=r"about 3\.200 s of work") as refused:
            await batcher.submit(slow, np.array([2]), 1)
        assert refused.value.status == 429
        assert refused.value.headers == {"Retry-After": "4"}
        with pytest.raises(RequestError, match=r"allowed are .* requests and 0") as refused:
            # It cannot begin in time, so it need not wait to learn that.
            await batcher.submit(slow, np.array([2]), 1, deadline_s=time.monotonic() + 0.5)
        assert refused.value.status == 429
        model.gate.set()
        await asyncio.gather(*tasks)


async def test_closing_refuses_what_waits_and_finishes_what_runs() -> None:
    model = Model()
    model.gate = threading.Event()
    async with _batcher() as (batcher, _records):
        squares = _computation(model)
        running = asyncio.ensure_future(batcher.submit(squares, np.array([3]), 1))
        await _entered(model)
        (waiting,) = await _queued(batcher, batcher.submit(squares, np.array([4]), 1))
        batcher.close()
        for refused in (waiting, batcher.submit(squares, np.array([5]), 1)):
            with pytest.raises(RequestError, match="being unloaded") as error:
                await refused
            assert error.value.status == 503
            assert error.value.headers == {"Retry-After": "1"}
        model.gate.set()
        assert await running == [9]


async def test_without_an_observer_nothing_is_recorded() -> None:
    batcher = MicroBatcher("squares", BatchLimits())
    squares = _computation(Model(), SHORT)
    submits = [batcher.submit(squares, np.array([n]), 1) for n in range(3)]
    assert await asyncio.gather(*submits) == [0, 1, 4]


def test_a_cost_is_a_line_through_one_row_and_eight() -> None:
    cost = RunCost(first_row_s=0.010, next_row_s=0.002)
    assert cost.seconds(1) == pytest.approx(0.010)
    assert cost.seconds(6) == pytest.approx(0.020)
    assert [cost.rows_within(limit_s) for limit_s in (0.001, 0.010, 0.0141, 1.0)] == [1, 1, 3, 496]
    assert (cost + cost).seconds(6) == pytest.approx(0.040)

    rows: list[int] = []
    measured = measure_run_cost(rows.append)
    assert set(rows) == {1, 8}
    assert measured.first_row_s > 0
    assert measured.next_row_s > 0, "no batch is ever estimated to cost nothing"
