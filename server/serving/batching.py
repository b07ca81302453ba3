"""Requests for one model, put together into batches without making anybody wait for a batch.

A request that finds the model free runs at once, or, if its run is long or others came with the one
before it, at the end of this turn of the event loop, with those that come with it. What arrives
while a run is going on, or while the event loop is still handing out what came with it, waits in a
queue, and the next run takes as much of the queue as belongs together. So an idle server adds no
delay, and the busier it is, the larger its batches become.

Short runs are made on the event loop, since a hop to a thread would cost as much as they do; long
ones in one thread, so that a run never keeps the loop from reading and answering. Either way at
most one run of a model goes on at a time.
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from server.errors import RequestError
from server.limits import BatchLimits
from server.serving.computation import (
    BatchRecord,
    Computation,
    RequestRecord,
    current_record,
    current_times,
)

_log = logging.getLogger(__name__)

P = TypeVar("P")
A = TypeVar("A")

#: How fast the estimate of waiting times follows the speed of the last runs.
_FOLLOW = 0.1


@dataclass(slots=True, kw_only=True, eq=False)
class _Request:
    """A request in the queue."""

    computation: Computation[Any, Any]
    payload: Any
    rows: int
    cost_s: float
    arrived_s: float
    deadline_s: float | None
    record: RequestRecord | None
    future: asyncio.Future[Any]


@dataclass(slots=True, kw_only=True, eq=False)
class _Batch:
    """Requests that run together; without any, there is nothing to run."""

    requests: list[_Request] = field(default_factory=list)
    rows: int = 0
    cost_s: float = 0.0
    in_place: bool = False


#: What each request gets; an exception is raised where it waits.
_Answers = list[tuple[_Request, Any]]


class MicroBatcher:
    """The queue of one model. Belongs to one event loop; only its runs may be elsewhere.

    Attributes:
        running_rows: Rows of the run that goes on; 0 if none does.
    """

    def __init__(
        self,
        name: str,
        limits: BatchLimits,
        on_batch: Callable[[BatchRecord], None] | None = None,
    ) -> None:
        """Begin idle.

        Args:
            name: How messages call the model.
            limits: Sizes and times.
            on_batch: Told about every run, on the event loop.
        """
        self.running_rows = 0
        self._name = name
        self._limits = limits
        self._on_batch = on_batch
        self._queue: deque[_Request] = deque()
        #: Guards the queue and the two estimates; the thread takes batches, too.
        self._lock = threading.Lock()
        self._idle = True
        #: Whether more than one request came in the last turn of the event loop that had any.
        self._crowded = False
        self._closed = False
        self._queued_s = 0.0
        self._running_s = 0.0
        #: Time that runs take, relative to their cost.
        self._slowness = 1.0
        self._thread: ThreadPoolExecutor | None = None

    @property
    def queued_requests(self) -> int:
        """Requests that wait for a run."""
        return len(self._queue)

    async def submit(
        self,
        computation: Computation[P, A],
        payload: P,
        rows: int,
        *,
        deadline_s: float | None = None,
    ) -> A:
        """Compute, alone or together with others.

        A caller that is cancelled leaves the queue; if its run has begun, nobody hears its answer.

        Args:
            computation: What to compute.
            payload: Its input; checked by the caller, so that it fits those of other requests.
            rows: Rows of the payload, at least 1.
            deadline_s: Refuse if the run has not begun by then, on `time.monotonic`'s clock. It is
                looked at when a batch is put together, so the refusal can be late by one run.

        Raises:
            RequestError: 429 with ``Retry-After`` if the queue is full or the wait would be too
                long; 503 after the deadline, or if the model is being unloaded.
            Exception: What `computation.run` raises for this payload alone.
        """
        loop = asyncio.get_running_loop()
        now_s = time.monotonic()
        if self._closed:
            raise self._unloaded()
        if deadline_s is not None and deadline_s < now_s:
            raise self._too_late()
        times = current_times.get()
        if times is not None and not times.submitted_s:
            times.submitted_s = now_s
        cost_s = computation.cost.seconds(rows)
        in_place = self._idle and self._in_place(computation, cost_s)
        if in_place and not self._crowded:
            # Whatever else arrives in this turn of the loop is run together at the end of it.
            self._idle = False
            loop.call_soon(self._continue, 1)
            answer = self._run_at_once(computation, payload, rows)
            if times is not None:
                times.computed_s = time.monotonic()
            return answer
        self._require_room(deadline_s, now_s)
        request = _Request(
            computation=computation,
            payload=payload,
            rows=rows,
            cost_s=cost_s,
            arrived_s=now_s,
            deadline_s=deadline_s,
            record=current_record.get(),
            future=loop.create_future(),
        )
        with self._lock:
            self._queue.append(request)
            self._queued_s += cost_s
        if self._idle:
            self._idle = False
            loop.call_soon(self._continue)
        try:
            answer = await request.future
        except asyncio.CancelledError:
            self._withdraw(request)
            raise
        if times is not None:
            times.computed_s = time.monotonic()
        return answer

    def close(self) -> None:
        """Refuse what waits and whatever comes; a run that goes on is finished."""
        self._closed = True
        with self._lock:
            waiting, self._queued_s = list(self._queue), 0.0
            self._queue.clear()
        self._deliver([(request, self._unloaded()) for request in waiting])
        if self._thread is not None:
            self._thread.shutdown(wait=False)

    def _run_at_once(self, computation: Computation[P, A], payload: P, rows: int) -> A:
        """Run one request on the event loop; it never was in the queue."""
        request = current_record.get()
        if self._on_batch is None and request is None:
            return computation.run(payload)
        begin_s = time.perf_counter()
        answer = computation.run(payload)
        record = BatchRecord(
            computation=computation.name,
            rows=rows,
            waits_s=(0.0,),
            run_s=time.perf_counter() - begin_s,
            in_place=True,
        )
        if self._on_batch is not None:
            self._on_batch(record)
        if request is not None:
            request.note_run(record, 0.0)
        return answer

    def _continue(self, answered: int = 0) -> None:
        """Begin the next run, or become idle; on the event loop.

        Args:
            answered: Requests that were answered in this turn of the loop without the queue.
        """
        came = answered + len(self._queue)
        if came:
            self._crowded = came > 1
        if not self._queue:
            self._idle = True
            return
        batch, late = self._take(only_long=False)
        if late:
            self._deliver(late)
        if not batch.requests:
            self._idle = True
            return
        loop = batch.requests[0].future.get_loop()
        if batch.in_place:
            answers, record = self._run(batch)
            self._deliver(answers, record)
            loop.call_soon(self._continue)
            return
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"run-{self._name}")
        try:
            self._thread.submit(self._work, batch, loop)
        except RuntimeError:  # closed in the meantime
            self._deliver([(request, self._unloaded()) for request in batch.requests])

    def _work(self, batch: _Batch, loop: asyncio.AbstractEventLoop) -> None:
        """Run batches in the thread, as long as there are long ones; then go back to the loop."""
        while batch.requests:
            answers, record = self._run(batch)
            batch, late = self._take(only_long=True)
            after = self._deliver if batch.requests else self._deliver_last
            loop.call_soon_threadsafe(after, [*answers, *late], record)

    def _take(self, *, only_long: bool) -> tuple[_Batch, _Answers]:
        """Take the next batch from the queue: the first request, and those that can go with it.

        Args:
            only_long: Take nothing that should run on the event loop.

        Returns:
            The batch, and refusals of requests whose deadline has passed.
        """
        late: _Answers = []
        kept: list[_Request] = []
        batch, row_limit = _Batch(), -1
        with self._lock:
            now_s = time.monotonic()
            for request in self._queue:
                if request.deadline_s is not None and request.deadline_s < now_s:
                    late.append((request, self._too_late()))
                    continue
                if not batch.requests:
                    batch.requests.append(request)
                    batch.rows, batch.cost_s = request.rows, request.cost_s
                    continue
                first = batch.requests[0]
                if request.computation is not first.computation:
                    kept.append(request)
                    continue
                if row_limit < 0:
                    row_limit = self._row_limit(first)
                if batch.rows + request.rows <= row_limit:
                    batch.requests.append(request)
                    batch.rows += request.rows
                else:  # nobody overtakes one that must wait for its computation
                    row_limit = 0
                    kept.append(request)
            if batch.requests:
                computation = batch.requests[0].computation
                if len(batch.requests) > 1:
                    batch.cost_s = computation.cost.seconds(batch.rows)
                batch.in_place = self._in_place(computation, batch.cost_s)
                if batch.in_place and only_long:
                    kept, batch = self._in_order(batch.requests, kept), _Batch()
            self._queue.clear()
            # Summed anew, so that no rounding can pile up.
            self._queued_s = 0.0
            for request in kept:
                self._queue.append(request)
                self._queued_s += request.cost_s
            self._running_s, self.running_rows = batch.cost_s, batch.rows
        return batch, late

    def _in_order(self, taken: list[_Request], kept: list[_Request]) -> list[_Request]:
        """Return requests of the queue in its order."""
        present = {id(request) for request in (*taken, *kept)}
        return [request for request in self._queue if id(request) in present]

    def _row_limit(self, first: _Request) -> int:
        """Return how many rows the batch of this request may have."""
        computation, limits = first.computation, self._limits
        if computation.stacking is None:
            return 0
        # A batch of short requests stays short enough for the loop.
        longest_s = (
            limits.in_place_s if self._in_place(computation, first.cost_s) else limits.max_run_s
        )
        return min(limits.max_rows, computation.cost.rows_within(longest_s))

    def _in_place(self, computation: Computation[Any, Any], cost_s: float) -> bool:
        return cost_s <= self._limits.in_place_s and not computation.blocking

    def _run(self, batch: _Batch) -> tuple[_Answers, BatchRecord]:
        """Compute a batch; every request gets its answer or its own exception."""
        requests = batch.requests
        start_s = time.monotonic()
        begin_s = time.perf_counter()
        answers = _compute(requests)
        run_s = time.perf_counter() - begin_s
        with self._lock:
            self._slowness += _FOLLOW * (run_s / batch.cost_s - self._slowness)
        waits_s = [start_s - request.arrived_s for request in requests]
        record = BatchRecord(
            computation=requests[0].computation.name,
            rows=batch.rows,
            waits_s=tuple(waits_s),
            run_s=run_s,
            in_place=batch.in_place,
        )
        for request, wait_s in zip(requests, waits_s, strict=True):
            if request.record is not None:
                request.record.note_run(record, wait_s)
        return list(zip(requests, answers, strict=True)), record

    def _deliver(self, answers: _Answers, record: BatchRecord | None = None) -> None:
        """Hand answers to those who wait for them; on the event loop."""
        for request, answer in answers:
            if request.future.done():  # cancelled
                continue
            if isinstance(answer, Exception):
                request.future.set_exception(answer)
            else:
                request.future.set_result(answer)
        if record is not None and self._on_batch is not None:
            self._on_batch(record)

    def _deliver_last(self, answers: _Answers, record: BatchRecord) -> None:
        """Deliver what the thread did last; the queue is the loop's again."""
        self._deliver(answers, record)
        self._continue()

    def _withdraw(self, request: _Request) -> None:
        with self._lock:
            if request in self._queue:
                self._queue.remove(request)
                self._queued_s -= request.cost_s
        if request.future.done() and not request.future.cancelled():
            request.future.exception()  # or asyncio complains that nobody heard of it

    def _require_room(self, deadline_s: float | None, now_s: float) -> None:
        """Refuse a request that would wait in vain, before it costs anything."""
        wait_s = (self._queued_s + self._running_s) * self._slowness
        longest_s = self._limits.max_wait_s
        if deadline_s is not None:
            longest_s = min(longest_s, deadline_s - now_s)
        queued = len(self._queue)
        if queued < self._limits.max_queued_requests and wait_s <= longest_s:
            return
        raise RequestError(
            429,
            f"model {self._name!r} is overloaded: {queued} requests wait, about {wait_s:.3f} s of "
            f"work; allowed are {self._limits.max_queued_requests} requests and {longest_s:.3f} s",
            {"Retry-After": str(max(1, math.ceil(wait_s)))},
        )

    def _unloaded(self) -> RequestError:
        return RequestError(503, f"model {self._name!r} is being unloaded", {"Retry-After": "1"})

    def _too_late(self) -> RequestError:
        return RequestError(
            503,
            f"the request's time was over before model {self._name!r} could begin with it",
            {"Retry-After": "1"},
        )


def _compute(requests: list[_Request]) -> list[Any]:
    """Return an answer or an exception for each request."""
    computation = requests[0].computation
    if len(requests) > 1 and computation.stacking is not None:
        try:
            joint = computation.run(computation.stacking.stack([one.payload for one in requests]))
            return list(computation.stacking.split(joint, [one.rows for one in requests]))
        except Exception as error:  # one of them may be to blame
            _log.debug("%d requests failed together, so each runs alone: %s", len(requests), error)
    answers: list[Any] = []
    for request in requests:
        try:
            answers.append(computation.run(request.payload))
        except Exception as error:  # raised again where the request came from
            answers.append(error)
    return answers
