"""Load that does not wait: requests at fixed times, whatever becomes of those before."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass

import uvloop

from server.bench.load import AnswerReader, LoadResult, Record

#: Requests that are still unanswered so long after the last one was sent are lost.
_PATIENCE_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenLoad:
    """Requests at equal distances.

    Attributes:
        port: Of the server on this machine.
        requests: Whole requests, sent in turn.
        rate_per_s: How many a second.
        duration_s: How long they are sent.
    """

    port: int
    requests: Sequence[bytes]
    rate_per_s: float
    duration_s: float


def drive_open(load: OpenLoad) -> LoadResult:
    """Make the load; latencies count from the time at which a request was due."""
    return uvloop.run(_drive_open(load))


async def _drive_open(load: OpenLoad) -> LoadResult:
    loop = asyncio.get_running_loop()
    record = Record()
    idle: list[_Connection] = []
    everybody: list[_Connection] = []
    requests = itertools.cycle(load.requests)
    begin_s = time.perf_counter()
    for number in range(int(load.rate_per_s * load.duration_s)):
        due_s = begin_s + number / load.rate_per_s
        wait_s = due_s - time.perf_counter()
        if wait_s > 0:
            await asyncio.sleep(wait_s)
        if not idle:
            _, connection = await loop.create_connection(
                lambda: _Connection(idle, record), "127.0.0.1", load.port
            )
            everybody.append(connection)
        else:
            connection = idle.pop()
        connection.send(next(requests), due_s)
    give_up_s = time.perf_counter() + _PATIENCE_S
    while time.perf_counter() < give_up_s and any(one.waits for one in everybody):
        await asyncio.sleep(0.01)
    for connection in everybody:
        connection.close()
    return record.result(time.perf_counter() - begin_s)


class _Connection(asyncio.Protocol):
    """A connection that goes back to the idle ones after every answer."""

    def __init__(self, idle: list[_Connection], record: Record) -> None:
        self._idle = idle
        self._record = record
        self._answers = AnswerReader()
        self._due_s: float | None = None

    @property
    def waits(self) -> bool:
        """Whether an answer is outstanding."""
        return self._due_s is not None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]

    def send(self, request: bytes, due_s: float) -> None:
        """Send a request that was due at a time of `time.perf_counter`."""
        self._due_s = due_s
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        answer = self._answers.feed(data)
        if answer is None or self._due_s is None:
            return
        self._record.answered(answer[0], time.perf_counter() - self._due_s)
        self._due_s = None
        self._idle.append(self)

    def connection_lost(self, error: Exception | None) -> None:
        if self in self._idle:
            self._idle.remove(self)
        self._lose()

    def close(self) -> None:
        """Give up on what is outstanding."""
        self._lose()
        self._transport.close()

    def _lose(self) -> None:
        if self._due_s is not None:
            self._record.lost()
            self._due_s = None
