"""Compiled comparisons of two curves."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

_Curve = NDArray[np.float64]


@njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def discrete_frechet(a: _Curve, b: _Curve) -> float:
    """Return the discrete Fréchet distance of two polylines.

    The smallest possible longest leash when both are walked from end to end without stepping back
    (Eiter and Mannila, "Computing discrete Fréchet distance", 1994), by dynamic programming over
    one row at a time.

    Args:
        a: (N, 2) points, N >= 1.
        b: (M, 2) points, M >= 1.
    """
    row = np.empty(len(b))
    for i in range(len(a)):
        diagonal = 0.0
        for j in range(len(b)):
            distance = np.hypot(a[i, 0] - b[j, 0], a[i, 1] - b[j, 1])
            above = row[j]
            if i == 0 and j == 0:
                reach = distance
            elif i == 0:
                reach = row[j - 1]
            elif j == 0:
                reach = above
            else:
                reach = min(above, diagonal, row[j - 1])
            diagonal = above
            row[j] = max(reach, distance)
    return float(row[-1])


@njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def warp(a: _Curve, b: _Curve) -> tuple[float, int, NDArray[np.float64]]:
    """Align two polylines by dynamic time warping with Euclidean distance.

    Steps of (1, 1), (1, 0) and (0, 1), each of weight 1 (Sakoe and Chiba, 1978, without a window).
    Among equal costs the diagonal is preferred, then (1, 0).

    Args:
        a: (N, 2) points, N >= 1.
        b: (M, 2) points, M >= 1.

    Returns:
        The sum of distances along the alignment; the number of aligned pairs; and (M,) the mean
        distance from each point of `b` to its partners in `a`.
    """
    n, m = len(a), len(b)
    step = np.zeros((n, m), np.uint8)
    row = np.empty(m)
    for i in range(n):
        diagonal = 0.0
        for j in range(m):
            distance = np.hypot(a[i, 0] - b[j, 0], a[i, 1] - b[j, 1])
            above = row[j]
            if i == 0 and j == 0:
                before = 0.0
            elif i == 0:
                before = row[j - 1]
                step[i, j] = 2
            elif j == 0:
                before = above
                step[i, j] = 1
            else:
                before = diagonal
                if above < before:
                    before = above
                    step[i, j] = 1
                if row[j - 1] < before:
                    before = row[j - 1]
                    step[i, j] = 2
            diagonal = above
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
    return float(row[-1]), pairs, total / count
