"""Whether a process grows: its memory over time, and a straight line through it."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_MIB = 1 << 20
_HOUR_S = 3600.0

#: The first share of a process' samples is left out: caches fill, pools grow to what is needed.
_WARM_UP_SHARE = 1 / 3

#: Neighbouring samples of memory resemble each other, so they are averaged in so many groups, which
#: hardly do.
_GROUPS = 12

#: Two-sided 95 % quantile of Student's t for `_GROUPS` - 2 degrees of freedom.
_T95 = 2.228


@dataclass(frozen=True, slots=True, kw_only=True)
class MemorySlope:
    """How the memory of a process grew.

    Attributes:
        pid: Number of the process.
        mean_mib: Mean of its private memory.
        slope_mib_h: Growth, in mebibytes an hour.
        low_mib_h: Lower end of the slope's 95 % interval.
        high_mib_h: Upper end.
        watched_s: Time that the line is drawn through.
    """

    pid: int
    mean_mib: float
    slope_mib_h: float
    low_mib_h: float
    high_mib_h: float
    watched_s: float


def private_bytes(pid: int) -> int | None:
    """Return the memory that a process shares with nobody; None if it has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text("ascii").splitlines()
    except OSError:
        return None
    kilobytes = [
        int(line.split()[1])
        for line in lines
        if line.startswith(("Private_Clean:", "Private_Dirty:"))
    ]
    return sum(kilobytes) * 1024


def memory_slope(pid: int, samples: Sequence[tuple[float, int]]) -> MemorySlope | None:
    """Fit a line; None if there are too few samples.

    Args:
        pid: Number of the process.
        samples: Seconds and bytes, ascending.
    """
    kept = samples[int(_WARM_UP_SHARE * len(samples)) :]
    if len(kept) < 2 * _GROUPS:
        return None
    bounds = [round(group * len(kept) / _GROUPS) for group in range(_GROUPS + 1)]
    groups = [kept[begin:end] for begin, end in itertools.pairwise(bounds)]
    hours = [statistics.fmean(time_s for time_s, _ in group) / _HOUR_S for group in groups]
    sizes = [statistics.fmean(size for _, size in group) / _MIB for group in groups]
    slope, intercept = statistics.linear_regression(hours, sizes)
    squares = sum(
        (size - intercept - slope * hour) ** 2 for hour, size in zip(hours, sizes, strict=True)
    )
    middle = statistics.fmean(hours)
    spread = sum((hour - middle) ** 2 for hour in hours)
    margin = _T95 * math.sqrt(squares / (_GROUPS - 2) / spread)
    return MemorySlope(
        pid=pid,
        mean_mib=statistics.fmean(sizes),
        slope_mib_h=slope,
        low_mib_h=slope - margin,
        high_mib_h=slope + margin,
        watched_s=kept[-1][0] - kept[0][0],
    )
