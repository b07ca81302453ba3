"""Load from a process of its own, which takes less of the machine than what is measured.

Bytes are written and answers are cut out of the stream without an HTTP library.
"""

from __future__ import annotations

import asyncio
import itertools
import multiprocessing
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import uvloop

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)

#: What a connection that ended without an answer counts as.
LOST = 0

#: Requests at fixed times that are still unanswered so long after the last one are lost.
_PATIENCE_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Requests to a server on this machine.

    Attributes:
        port: Its port.
        requests: Whole requests, sent in turn.
        duration_s: No request is begun after this time.
        connections: Clients, each of which waits for an answer before it asks again.
        rate_per_s: So many a second, whatever becomes of those before, instead of clients that
            wait; latencies then count from the time at which a request was due.
    """

    port: int
    requests: Sequence[bytes]
    duration_s: float
    connections: int = 1
    rate_per_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadResult:
    """What became of a load.

    Attributes:
        latencies_s: From sending a request to having its whole answer, by status, ascending.
        lost: Requests whose connection ended without an answer.
        duration_s: From the first request to the last answer.
    """

    latencies_s: Mapping[int, Sequence[float]]
    lost: int
    duration_s: float

    @property
    def statuses(self) -> dict[int, int]:
        """Answers by HTTP status; `LOST`: none."""
        counts = Counter({status: len(found) for status, found in self.latencies_s.items()})
        return dict(counts + Counter({LOST: self.lost}))

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


def drive(load: Load) -> LoadResult:
    """Make the load, from beginning to end."""
    record = _Record()
    make = _drive_closed if load.rate_per_s is None else _drive_open
    begin_s = time.perf_counter()
    uvloop.run(make(load, record))
    return LoadResult(
        latencies_s={status: sorted(found) for status, found in record.latencies_s.items()},
        lost=record.lost,
        duration_s=time.perf_counter() - begin_s,
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


@dataclass(slots=True)
class _Record:
    """What became of requests so far."""

    latencies_s: dict[int, list[float]] = field(default_factory=dict)
    lost: int = 0


async def _drive_closed(load: Load, record: _Record) -> None:
    until_s = time.perf_counter() + load.duration_s
    clients = []
    for number in range(load.connections):
        first = number * len(load.requests) // load.connections
        order = itertools.cycle([*load.requests[first:], *load.requests[:first]])

        def go_on(client: _Client, order: Iterator[bytes] = order) -> None:
            now_s = time.perf_counter()
            if now_s < until_s:
                client.send(next(order), now_s)
            else:
                client.close()

        clients.append(await _connected(load.port, record, go_on))
        go_on(clients[-1])
    await asyncio.gather(*(client.closed for client in clients))


async def _drive_open(load: Load, record: _Record) -> None:
    idle: list[_Client] = []
    everybody: list[_Client] = []
    requests = itertools.cycle(load.requests)
    rate_per_s = load.rate_per_s or 1.0
    begin_s = time.perf_counter()
    for number in range(int(rate_per_s * load.duration_s)):
        due_s = begin_s + number / rate_per_s
        if (wait_s := due_s - time.perf_counter()) > 0:
            await asyncio.sleep(wait_s)
        if not idle:
            everybody.append(await _connected(load.port, record, idle.append))
        client = idle.pop() if idle else everybody[-1]
        client.send(next(requests), due_s)
    give_up_s = time.perf_counter() + _PATIENCE_S
    while time.perf_counter() < give_up_s and any(one.waits for one in everybody):
        await asyncio.sleep(0.01)
    for client in everybody:
        client.close()


async def _connected(port: int, record: _Record, when_idle: Callable[[_Client], None]) -> _Client:
    loop = asyncio.get_running_loop()
    _, client = await loop.create_connection(lambda: _Client(record, when_idle), "127.0.0.1", port)
    return client


class _Client(asyncio.Protocol):
    """One connection that is kept for all its requests."""

    def __init__(self, record: _Record, when_idle: Callable[[_Client], None]) -> None:
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._record = record
        self._when_idle = when_idle
        self._answers = AnswerReader()
        self._due_s: float | None = None

    @property
    def waits(self) -> bool:
        """Whether an answer is outstanding."""
        return self._due_s is not None

    def send(self, request: bytes, due_s: float) -> None:
        """Send a request that was due at a time of `time.perf_counter`."""
        self._due_s = due_s
        self._transport.write(request)

    def close(self) -> None:
        """End the connection; what is outstanding is lost."""
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        answer = self._answers.feed(data)
        if answer is None or self._due_s is None:
            return
        latency_s = time.perf_counter() - self._due_s
        self._record.latencies_s.setdefault(answer[0], []).append(latency_s)
        self._due_s = None
        self._when_idle(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._record.lost += self.waits
        self._due_s = None
        if not self.closed.done():
            self.closed.set_result(None)
