"""Load from a process of its own: connections that each send the next request after an answer.

Bytes are written and answers are cut out of the stream without an HTTP library, so that the load
takes less of the machine than what is measured.
"""

from __future__ import annotations

import asyncio
import itertools
import multiprocessing
import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import uvloop

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)

#: What a connection that ended without an answer counts as.
LOST = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedLoad:
    """So many clients, each of which waits for an answer before it asks again.

    Attributes:
        port: Of the server on this machine.
        requests: Whole requests; each connection sends them in turn, beginning at another one.
        connections: Number of clients.
        duration_s: No request is begun after this time.
    """

    port: int
    requests: Sequence[bytes]
    connections: int
    duration_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadResult:
    """What became of a load.

    Attributes:
        statuses: Answers by HTTP status; `LOST`: connections that ended too soon.
        latencies_s: From writing a request to having its whole answer, by status, ascending.
        duration_s: From the first request to the last answer.
    """

    statuses: Mapping[int, int]
    latencies_s: Mapping[int, Sequence[float]]
    duration_s: float

    @property
    def answered(self) -> int:
        """Answers with status 200."""
        return self.statuses.get(200, 0)

    @property
    def failed(self) -> int:
        """Everything else."""
        return sum(self.statuses.values()) - self.answered

    def latency_s(self, share: float, status: int = 200) -> float:
        """Return the latency below which this share of a status' answers lies; 0 without any."""
        latencies = self.latencies_s.get(status, ())
        if not latencies:
            return 0.0
        return latencies[min(len(latencies) - 1, int(share * len(latencies)))]


@contextmanager
def load_process() -> Iterator[ProcessPoolExecutor]:
    """Give one fresh process to make loads in; it is warm for the second one."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        pool.submit(int).result()
        yield pool


def drive_closed(load: ClosedLoad) -> LoadResult:
    """Make the load, from beginning to end."""
    return uvloop.run(_drive_closed(load))


async def _drive_closed(load: ClosedLoad) -> LoadResult:
    loop = asyncio.get_running_loop()
    record = Record()
    begin_s = time.perf_counter()
    until_s = begin_s + load.duration_s
    clients = []
    for number in range(load.connections):
        first = number * len(load.requests) // load.connections
        order = itertools.cycle([*load.requests[first:], *load.requests[:first]])
        _, client = await loop.create_connection(
            partial(_Client, order, until_s, record), "127.0.0.1", load.port
        )
        clients.append(client)
    await asyncio.gather(*(client.done for client in clients))
    return record.result(time.perf_counter() - begin_s)


class Record:
    """Collects what became of requests."""

    def __init__(self) -> None:
        self._latencies_s: dict[int, list[float]] = {}
        self._lost = 0

    def answered(self, status: int, latency_s: float) -> None:
        """Note an answer."""
        self._latencies_s.setdefault(status, []).append(latency_s)

    def lost(self) -> None:
        """Note a request without an answer."""
        self._lost += 1

    def result(self, duration_s: float) -> LoadResult:
        """Return everything."""
        statuses = Counter({status: len(found) for status, found in self._latencies_s.items()})
        if self._lost:
            statuses[LOST] = self._lost
        return LoadResult(
            statuses=dict(statuses),
            latencies_s={status: sorted(found) for status, found in self._latencies_s.items()},
            duration_s=duration_s,
        )


class AnswerReader:
    """Cuts answers out of the bytes of a connection."""

    def __init__(self) -> None:
        self._pending = b""

    def feed(self, data: bytes) -> tuple[int, bytes] | None:
        """Take further bytes; return status and body when an answer is whole, else None."""
        self._pending += data
        head_end = self._pending.find(b"\r\n\r\n")
        if head_end < 0:
            return None
        head = self._pending[: head_end + 2]
        length = _LENGTH.search(head)
        end = head_end + 4 + (0 if length is None else int(length[1]))
        if len(self._pending) < end:
            return None
        body, self._pending = self._pending[head_end + 4 : end], self._pending[end:]
        return int(head[9:12]), body


class _Client(asyncio.Protocol):
    """One connection that is kept for all its requests."""

    def __init__(self, requests: Iterator[bytes], until_s: float, record: Record) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._requests = requests
        self._until_s = until_s
        self._record = record
        self._answers = AnswerReader()
        self._sent_s: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]
        self._send()

    def data_received(self, data: bytes) -> None:
        answer = self._answers.feed(data)
        if answer is None or self._sent_s is None:
            return
        now_s = time.perf_counter()
        self._record.answered(answer[0], now_s - self._sent_s)
        self._sent_s = None
        if now_s < self._until_s:
            self._send()
        else:
            self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if self._sent_s is not None:
            self._record.lost()
        self.done.set_result(None)

    def _send(self) -> None:
        self._sent_s = time.perf_counter()
        self._transport.write(next(self._requests))
