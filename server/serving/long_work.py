"""Work of requests that would keep the event loop: in a thread, and what is large one at a time.

A few kilobytes can become a body, or a picture, of many megabytes. What may take that much waits
for its turn before it grows, and has it until nothing of it is held any more: so a worker has at
most one such thing at a time. Everything else has a thread of its own and waits for nobody's turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

from server.errors import RequestError
from server.limits import BatchLimits, RequestLimits

T = TypeVar("T")

_AGAIN: Final = {"Retry-After": "1"}


class LongWork:
    """What one worker does beside its event loop, except for its models' runs."""

    def __init__(self, requests: RequestLimits, batching: BatchLimits) -> None:
        """Begin without threads; the first work starts them.

        Args:
            requests: How long a request may wait for its turn.
            batching: How many may wait.
        """
        self._timeout_s = requests.timeout_s
        self._most_waiting = batching.max_queued_requests
        self._waiting = 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="aside")
        self._large_thread = ThreadPoolExecutor(1, thread_name_prefix="large")
        self._lock = asyncio.Lock()
        self._turn: asyncio.Task[Any] | None = None

    async def do(self, work: Callable[[], T]) -> T:
        """Do what takes some milliseconds and few megabytes, when those before it are done.

        Raises:
            RequestError: 429 if too many wait.
        """
        self._require_room()
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        finally:
            self._waiting -= 1

    async def do_alone(self, work: Callable[[], T]) -> T:
        """Do anything else, in the turn that this task has or in one of its own.

        Raises:
            RequestError: As `begin_turn`.
        """
        began = await self.begin_turn()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._large_thread, work)
        finally:
            if began:
                self.end_turn()

    async def begin_turn(self) -> bool:
        """Wait until no other task has a large body or picture.

        Returns:
            Whether the turn began; else this task has it already.

        Raises:
            RequestError: 429 if too many wait; 503 if it takes too long.
        """
        task = asyncio.current_task()
        if task is not None and self._turn is task:
            return False
        self._require_room()
        self._waiting += 1
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._lock.acquire()
        except TimeoutError:
            text = f"other requests of this size took more than {self._timeout_s:g} s; try again"
            raise RequestError(503, text, _AGAIN) from None
        finally:
            self._waiting -= 1
        self._turn = task
        return True

    def end_turn(self) -> None:
        """Let the next one begin; this one holds nothing large any more."""
        self._turn = None
        self._lock.release()

    def close(self) -> None:
        """Stop the threads when they have finished what they began."""
        for thread in (self._thread, self._large_thread):
            thread.shutdown(wait=False, cancel_futures=True)

    def _require_room(self) -> None:
        if self._waiting >= self._most_waiting:
            raise RequestError(
                429,
                f"{self._waiting} requests wait for their bodies or pictures to be read, allowed "
                f"are {self._most_waiting}",
                _AGAIN,
            )
