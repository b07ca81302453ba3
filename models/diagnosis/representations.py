"""Are two networks the same inside? Convergent learning (1511.07543), and linear CKA (1905.00414).

Units are compared by what they say of the same pictures. Half of the pictures decides which unit
of B stands for which of A, one to one (Hungarian matching); the other half says how well, so that
the figure is none of luck. A network whose weights are shuffled shows what the pictures alone
make alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from bicameral.statistics import Estimate, mean

#: A matched unit that correlates more than this on other pictures has a partner.
PARTNER = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Matching:
    """One layer against another.

    Attributes:
        correlation: Mean over matched units, on pictures that did not decide the matching.
        partners: Share of the smaller layer's units with a correlation above `PARTNER`.
        pairs: (M, 2): units of A and of B that belong together.
    """

    correlation: Estimate
    partners: float
    pairs: NDArray[np.int64]


def match_units(a: NDArray[np.float64], b: NDArray[np.float64]) -> Matching:
    """Match the units of two layers (N, U) and (N, V), each to one other at most.

    Units that say the same of all pictures are left out.
    """
    a_index, b_index = (np.flatnonzero(one.std(axis=0) > 1e-9) for one in (a, b))
    rows, columns = linear_sum_assignment(-_correlations(a[::2, a_index], b[::2, b_index]))
    found = _correlations(a[1::2, a_index], b[1::2, b_index])[rows, columns]
    return Matching(
        correlation=mean(found),
        partners=float((found > PARTNER).mean()) if len(found) else 0.0,
        pairs=np.stack([a_index[rows], b_index[columns]], axis=1),
    )


def similarity(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Return linear CKA of two layers (N, U) and (N, V), 0..1.

    It is the same for every rotation and every common scale of the units: 1 says that the two know
    the same, not that their units are the same.
    """
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    shared = float(np.square(a.T @ b).sum())
    own = float(np.linalg.norm(a.T @ a) * np.linalg.norm(b.T @ b))
    return shared / own if own > 0.0 else 0.0


def _correlations(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    standard = []
    for one in (a, b):
        centred = one - one.mean(axis=0)
        standard.append(centred / np.maximum(np.linalg.norm(centred, axis=0), 1e-12))
    return np.asarray(standard[0].T @ standard[1])
