"""Whether a process grows: its memory over time, and a straight line through it."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bicameral.statistics import Estimate, slope

_MIB = 1 << 20
_HOUR_S = 3600.0

#: The first share of a process' samples is left out: caches fill, pools grow to what is needed.
_WARM_UP_SHARE = 1 / 3

#: Neighbouring samples of memory resemble each other, so they are averaged in so many groups, which
#: hardly do.
_GROUPS = 12


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


def growth_mib_h(samples: Sequence[tuple[float, int]]) -> Estimate | None:
    """Fit a line to what a process took; None if there are too few samples.

    Args:
        samples: Seconds and bytes, ascending.

    Returns:
        Its slope in mebibytes an hour, with the 95 % interval.
    """
    kept = samples[int(_WARM_UP_SHARE * len(samples)) :]
    if len(kept) < 2 * _GROUPS:
        return None
    bounds = [round(group * len(kept) / _GROUPS) for group in range(_GROUPS + 1)]
    groups = [kept[begin:end] for begin, end in itertools.pairwise(bounds)]
    hours = [statistics.fmean(time_s for time_s, _ in group) / _HOUR_S for group in groups]
    sizes = [statistics.fmean(size for _, size in group) / _MIB for group in groups]
    return replace(slope(hours, sizes, "MiB/h"), n=len(kept))
