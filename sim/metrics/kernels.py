"""Compiled comparisons of two curves."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

_Curve = NDArray[np.float64]


@njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def align(a: _Curve, b: _Curve) -> tuple[float, float, int, NDArray[np.float64]]:
    """Walk two polylines from end to end at once, without stepping back.

    By dynamic programming over one row at a time: the discrete Fréchet distance (Eiter and Mannila,
    "Computing discrete Fréchet distance", 1994), and dynamic time warping with Euclidean distance,
    in steps of (1, 1), (1, 0) and (0, 1), each of weight 1 (Sakoe and Chiba, 1978, without a
    window). Among equal costs the diagonal is preferred, then (1, 0).

    Args:
        a: (N, 2) points, N >= 1.
        b: (M, 2) points, M >= 1.

    Returns:
        The discrete Fréchet distance: the smallest possible longest leash; of the warping the sum
        of distances along the alignment, the number of aligned pairs, and (M,) the mean distance
        from each point of `b` to its partners in `a`.
    """
    n, m = len(a), len(b)
    step = np.zeros((n, m), np.uint8)
    leash, row = np.empty(m), np.empty(m)
    for i in range(n):
        diagonal_leash = diagonal = 0.0
        for j in range(m):
            distance = np.hypot(a[i, 0] - b[j, 0], a[i, 1] - b[j, 1])
            above_leash, above = leash[j], row[j]
            if i == 0 and j == 0:
                reach = before = 0.0
            elif i == 0:
                reach, before = leash[j - 1], row[j - 1]
                step[i, j] = 2
            elif j == 0:
                reach, before = above_leash, above
                step[i, j] = 1
            else:
                reach = min(above_leash, diagonal_leash, leash[j - 1])
                before = diagonal
                if above < before:
                    before = above
                    step[i, j] = 1
                if row[j - 1] < before:
                    before = row[j - 1]
                    step[i, j] = 2
            diagonal_leash, diagonal = above_leash, above
            leash[j] = max(reach, distance)
            row[j] = before + distance
    total = np.zeros(m)
    count = np.zeros(m)
    pairs = 0
    i, j = n - 1, m - 1
    while True:
        total[j] += np.hypot(a[i, 0] - b[j, 0], a[i, 1] - b[j, 1])
        count[j] += 1
        pairs += 1
        if i == 0 and j == 0:
            break
        taken = step[i, j]
        if taken != 2:
            i -= 1
        if taken != 1:
            j -= 1
    return float(leash[-1]), float(row[-1]), pairs, total / count
