"""Bodies that take long to read: in a thread of their own, one at a time, with few enough values.

A few kilobytes can inflate to megabytes of JSON, and JSON becomes sixteen times its size when it is
read. One thread reads them one after the other, so that only one is in that state; and as Python
does nothing else meanwhile, what has more values than anybody could want is not read at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from server.errors import RequestError

T = TypeVar("T")

#: Smaller ones are read on the event loop, JSON of this size in 1 to 3 ms.
IN_PLACE_BYTES: Final = 128 << 10

#: Smaller ones are read without counting their values, in some 10 ms.
_UNCOUNTED_BYTES: Final = 1 << 20

_THREAD: Final = ThreadPoolExecutor(1, thread_name_prefix="bodies")


async def read_aside(work: Callable[[], T]) -> T:
    """Do what takes long for a body, when those before it are done."""
    return await asyncio.get_running_loop().run_in_executor(_THREAD, work)


def require_few_values(json: bytes | memoryview, most: int) -> None:
    """Refuse JSON of more values than can be meant, without reading it.

    Args:
        json: The JSON.
        most: How many values it may have; a text with commas counts as several.

    Raises:
        RequestError: 413.
    """
    if len(json) <= _UNCOUNTED_BYTES:
        return
    # In pieces, between which others get their turn.
    commas = sum(
        bytes(json[begin : begin + _UNCOUNTED_BYTES]).count(b",")
        for begin in range(0, len(json), _UNCOUNTED_BYTES)
    )
    if commas > most:
        raise RequestError(
            413,
            f"the JSON has {commas + 1:,} values, at most {most:,} are of use here; "
            "send large tensors as binary data",
        )
