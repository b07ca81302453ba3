"""Work on the rows of a picture, shared among threads."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

#: Bands a thread: those in the sky are done sooner, and who is done takes the next one.
_BANDS_PER_THREAD = 6


class RowBands:
    """Runs kernels on bands of rows; they must release the interpreter's lock.

    Args:
        threads: How many work at a time, with the one that calls.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._helpers = ThreadPoolExecutor(threads - 1, "camera") if threads > 1 else None

    def run(self, work: Callable[[int, int], None], height: int) -> None:
        """Call ``work(first_row, end_row)`` for bands that cover all rows; returns when done."""
        if self._helpers is None:
            work(0, height)
            return
        count = min(height, self._threads * _BANDS_PER_THREAD)
        edges = [height * number // count for number in range(count + 1)]
        # An iterator of a list hands every element to one thread only.
        bands = iter(list(itertools.pairwise(edges)))

        def take_bands() -> None:
            for first, end in bands:
                work(first, end)

        others = [self._helpers.submit(take_bands) for _ in range(self._threads - 1)]
        take_bands()
        for other in others:
            other.result()
