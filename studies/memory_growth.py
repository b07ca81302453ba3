"""Whether a process grows: its memory over time, and a straight line through it."""

from __future__ import annotations

import itertools
import os
import statistics
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from bicameral.statistics import Estimate, slope

_MIB = 1 << 20
_HOUR_S = 3600.0

#: Neighbouring samples of memory resemble each other, so they are averaged in so many groups, which
#: hardly do.
_GROUPS = 12


def resident_bytes(pid: int) -> int | None:
    """Return the memory of a process that is there; None if it has ended."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1])
    except OSError:
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


def growth_mib_h(
    samples: Sequence[tuple[float, int]],
    warm_up_s: float,
    of_group: Callable[[Sequence[int]], float] = statistics.fmean,
) -> Estimate | None:
    """Fit a line to what a process took; None if there are too few samples.

    Args:
        samples: Seconds and bytes, ascending.
        warm_up_s: What it took before is left out: caches fill, pools grow to what is needed.
        of_group: Makes one size of those of neighbouring samples. The least leaves out what comes
            and goes, and still rises with what never goes.

    Returns:
        Its slope in mebibytes an hour, with the 95 % interval.
    """
    kept = [one for one in samples if one[0] >= samples[0][0] + warm_up_s]
    if len(kept) < 2 * _GROUPS:
        return None
    bounds = [round(group * len(kept) / _GROUPS) for group in range(_GROUPS + 1)]
    groups = [kept[begin:end] for begin, end in itertools.pairwise(bounds)]
    hours = [statistics.fmean(time_s for time_s, _ in group) / _HOUR_S for group in groups]
    sizes = [of_group([size for _, size in group]) / _MIB for group in groups]
    return replace(slope(hours, sizes, "MiB/h"), n=len(kept))
