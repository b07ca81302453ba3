"""Flow through a medium of two materials: -div(a grad u) = 1 in the unit square, u = 0 around it.

The medium is where a smooth Gaussian field with covariance (9 - Laplacian)^-2 is positive, as in
the benchmark of Li et al. 2021 (arXiv 2010.08895); its random coefficients do not depend on the
grid, so the same seed gives the same medium on every grid. Cells have their centres inside;
neighbours exchange by the harmonic mean of their coefficients, half a cell lies before the border.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.fft import idctn
from scipy.sparse import csc_matrix, diags_array
from scipy.sparse.linalg import spsolve

_MODES = 16
#: Coefficient where the field is negative, and where it is positive.
_MATERIALS = (3.0, 12.0)

Field = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Flows:
    """Media and their flows on one grid, scaled for a network.

    Attributes:
        media: (N, 1, side, side) float32, -1 or 1.
        solutions: (N, 1, side, side) float32, divided by `scale`.
        scale: Standard deviation of the solutions.
    """

    media: NDArray[np.float32]
    solutions: NDArray[np.float32]
    scale: float


def draw_flows(count: int, side: int, seed: int, *, scale: float | None = None) -> Flows:
    """Draw media, and solve the equation in each.

    Args:
        count: How many.
        side: Cells along each side.
        seed: Of the media.
        scale: By which solutions are divided; None: their own standard deviation.
    """
    positive = draw_media(count, side, seed)
    solutions = np.stack([solve(coefficients(one)) for one in positive])
    scale = scale or float(solutions.std())
    return Flows(
        media=np.where(positive, 1.0, -1.0).astype(np.float32)[:, None],
        solutions=(solutions / scale).astype(np.float32)[:, None],
        scale=scale,
    )


def draw_media(count: int, side: int, seed: int) -> NDArray[np.bool_]:
    """Return where the field is positive, (count, side, side)."""
    waves = np.arange(_MODES)
    decay = (np.pi**2 * (waves[:, None] ** 2 + waves**2) + 9.0) ** -1.0
    amplitudes = np.random.default_rng(seed).standard_normal((count, _MODES, _MODES)) * decay
    spectrum = np.zeros((count, side, side))
    spectrum[:, :_MODES, :_MODES] = amplitudes
    positive: NDArray[np.bool_] = idctn(spectrum, axes=(1, 2), orthogonalize=False) > 0.0
    return positive


def coefficients(positive: NDArray[np.bool_]) -> Field:
    """Return the coefficient of each cell."""
    low, high = _MATERIALS
    return np.where(positive, high, low)


def solve(a: Field) -> Field:
    """Return u at the centres of the cells, (side, side), for their coefficients a."""
    side = len(a)
    across, down = (_between(a[:, :-1], a[:, 1:]), _between(a[:-1], a[1:]))
    beside = np.zeros_like(a)  # towards the cell that follows in memory; none at a row's end
    beside[:, :-1] = across
    right, below = beside.ravel()[:-1], down.ravel()
    own = np.zeros_like(a)
    own[:, :-1] += across
    own[:, 1:] += across
    own[:-1] += down
    own[1:] += down
    own[0] += 2.0 * a[0]
    own[-1] += 2.0 * a[-1]
    own[:, 0] += 2.0 * a[:, 0]
    own[:, -1] += 2.0 * a[:, -1]
    system = diags_array(
        (-below, -right, own.ravel(), -right, -below), offsets=(-side, -1, 0, 1, side)
    )
    flow: Field = spsolve(csc_matrix(system), np.full(side * side, side**-2.0))
    return flow.reshape(side, side)


def _between(one: Field, other: Field) -> Field:
    return 2.0 * one * other / (one + other)
