"""Memory that the C library keeps after it was freed. All functions do nothing without glibc."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any, Final

#: Of `mallopt` (mallopt(3)).
_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3


def keep_large_blocks_apart(block_bytes: int) -> None:
    """Let blocks of this size and more go back to the system when freed, for this process.

    glibc learns from the first large block that is freed to keep blocks of up to 32 MiB in its
    heaps, of which a thread may have several: after bodies of 28 MB a server kept 217 MiB.

    Args:
        block_bytes: Blocks from here on have pages of their own, which costs some 0.3 ms for 4 MiB.
    """
    mallopt = c_function("mallopt")
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, block_bytes)
        # Setting either makes the other small, and the heap's end would come and go all the time.
        mallopt(_TRIM_THRESHOLD, 4 * block_bytes)


@cache
def c_function(name: str) -> Any:
    """Return a function of the C library, or None; all that are asked for exist in glibc only."""
    try:
        return getattr(ctypes.CDLL(None), name)
    except (AttributeError, OSError, TypeError):
        return None
