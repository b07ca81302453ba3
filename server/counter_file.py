"""Numbers that a process counts with and others read, in memory that outlives it.

A process that is killed loses no count, and the one that takes its place goes on counting. The mode
of prometheus-client for several processes has the same properties, but takes 0.8 us to count and
1.5 us to observe, against 0.1 and 0.25 us here (2 shared x86-64 cores, Python 3.11,
prometheus-client 0.26). It would have cost a request 7 us, where a tiny network runs for 36 us.
"""

from __future__ import annotations

import json
import logging
import mmap
from array import array
from pathlib import Path

_log = logging.getLogger(__name__)

#: Names of rows: a family, and the values of its labels.
Key = tuple[str, ...]

#: Room for numbers; a page takes memory when something in it is counted for the first time. Enough
#: for the counters of a few thousand models.
_BYTES = 4 << 20
_NUMBER = 8

#: Of a file with numbers.
SUFFIX = ".numbers"


def counters_path(folder: Path, slot: int) -> Path:
    """Return the file of a worker's counters, which outlive it."""
    return folder / f"counters-{slot}{SUFFIX}"


def gauges_path(folder: Path, slot: int) -> Path:
    """Return the file of a worker's gauges, which are to be removed when it dies."""
    return folder / f"gauges-{slot}{SUFFIX}"


def energy_path(folder: Path) -> Path:
    """Return the file of what is counted once for all workers."""
    return folder / f"energy{SUFFIX}"


class CounterFile:
    """Rows of float64 under names. One process at a time writes, any number may read.

    Not for several threads, except that each row may have a thread of its own.
    """

    def __init__(self, path: Path) -> None:
        """Open or continue a file.

        Args:
            path: Holds the numbers; the names stand beside it.

        Raises:
            OSError: If it cannot be written.
        """
        self._path = path
        with path.open("ab") as file:
            file.truncate(_BYTES)
        with path.open("r+b") as file:
            self._numbers = memoryview(mmap.mmap(file.fileno(), _BYTES)).cast("d")
        self._rows: dict[Key, slice] = {}
        names = _names_path(path)
        if names.exists():
            whole, self._rows = _read_names(names)
            with names.open("r+b") as file:
                file.truncate(whole)  # a line that was not finished
        self._used = max((row.stop for row in self._rows.values()), default=0)

    def row(self, key: Key, size: int) -> memoryview[float]:
        """Return numbers to count with, zero at first.

        Args:
            key: Their name.
            size: How many; always the same for a name.
        """
        found = self._rows.get(key)
        if found is None:
            found = slice(self._used, self._used + size)
            if found.stop > len(self._numbers):
                _log.warning("%s is full: %s is not counted", self._path, key)
                return memoryview(bytearray(size * _NUMBER)).cast("d")
            line = json.dumps([found.start, found.stop, *key]) + "\n"
            with _names_path(self._path).open("a", encoding="utf-8") as file:
                file.write(line)
            self._rows[key] = found
            self._used = found.stop
        return self._numbers[found]


def read_counters(path: Path) -> dict[Key, list[float]]:
    """Return all rows of a file, which its process may be writing; an absent one has none."""
    try:
        # The names first: a name is only written when its numbers have a place.
        _, rows = _read_names(_names_path(path))
        used = max((row.stop for row in rows.values()), default=0)
        with path.open("rb") as file:
            numbers = array("d", file.read(used * _NUMBER))
    except FileNotFoundError:
        return {}
    return {key: numbers[row].tolist() for key, row in rows.items()}


def remove_counters(path: Path) -> None:
    """Remove a file, if it exists."""
    path.unlink(missing_ok=True)
    _names_path(path).unlink(missing_ok=True)


def _names_path(path: Path) -> Path:
    return path.with_suffix(".names")


def _read_names(path: Path) -> tuple[int, dict[Key, slice]]:
    """Return the length of the whole lines, and what they say."""
    whole, end, _ = path.read_bytes().rpartition(b"\n")
    rows: dict[Key, slice] = {}
    for line in whole.splitlines():
        start, stop, *key = json.loads(line)
        rows[tuple(key)] = slice(start, stop)
    return len(whole) + len(end), rows
