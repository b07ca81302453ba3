"""What a model takes of the process's memory, and giving it back.

The growth of the resident set is no measure: pages come and go by themselves. The C library knows
what was allocated. Measured with the shipped agent (2.4 MB of file): 5.0 MB after loading, 6.2 MB
after a row, 23.4 MB after a batch of 32, three times the same to 0.01 MB, and nothing after it was
closed; the resident set grew by 9 to 23 MB. The first model of a process pays for buffers of the
libraries, too.
"""

from __future__ import annotations

import ctypes
import gc
import sys

from bicameral.allocation import c_function

#: More than Python's table of interned strings takes before it grows, after what is imported here.
_NAMES = 1 << 16


class _Mallinfo2(ctypes.Structure):
    """``struct mallinfo2`` of glibc 2.33 and later (mallinfo(3))."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            "arena",
            "ordblks",
            "smblks",
            "hblks",
            "hblkhd",
            "usmblks",
            "fsmblks",
            "uordblks",
            "fordblks",
            "keepcost",
        )
    ]


def allocated_bytes() -> int | None:
    """Return what all threads together have allocated and not freed; None if it is unknown."""
    mallinfo2 = c_function("mallinfo2")
    if mallinfo2 is None:
        return None
    mallinfo2.restype = _Mallinfo2
    info = mallinfo2()
    return int(info.uordblks + info.hblkhd)


def return_free_memory() -> None:
    """Give pages that hold nothing any more back to the system, where the C library can do that.

    Without it glibc keeps what a closed model has freed: 23 MB in the same measurement. It takes
    some 2 ms.
    """
    malloc_trim = c_function("malloc_trim")
    if malloc_trim is not None:
        malloc_trim(0)


def collect_often() -> None:
    """Let Python look for garbage among what comes from now on, not among what is there already.

    It makes a full collection only when a quarter as many objects have come as the last one left.
    After the imports these are some 70,000, so that cyclic garbage waited for an hour, and then
    requests for the collection.
    """
    gc.collect()
    gc.freeze()
    gc.collect()  # counts what is left: hardly anything


def let_names_come_and_go() -> None:
    """Let Python's table of interned strings grow now to the size that it keeps.

    Names that were forgotten hold their places in it until it is made anew. After tens of thousands
    of them, half an hour of requests, that is once with twice the size: 0.92 MiB more, which look
    like a leak. It takes 40 ms.
    """
    for number in range(_NAMES):
        sys.intern(f"name {number}")
