"""How far off a navigation system's pose is, learned from the path that is seen.

The error of the pose drifts as a first-order Markov process. An extended Kalman filter follows it
(Brown and Hwang, Introduction to Random Signals and Applied Kalman Filtering, 2012, chapter 5): it
is what is left between the path on the map and the path that is seen. So where nothing sure is
seen, the map is as right as it was a moment ago, and forgets that within the correlation time.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bicameral.simulation import TICK_S

Vector = NDArray[np.float64]

#: Vision errs alike for about so many ticks, so that many looks count as one.
_ALIKE_TICKS: Final = 100.0

#: However sure the networks are, a path is not seen better than this.
_FINEST_M: Final = 0.1


class MapErrorFilter:
    """Mean and covariance of the error of a pose: x and y in metres, and yaw in radians.

    Attributes:
        mean: (3,) the error that is believed; subtract it from the pose.
    """

    def __init__(self, deviation: Vector, correlation_s: float) -> None:
        """Take what is known without looking.

        Args:
            deviation: (3,) standard deviations of the error.
            correlation_s: Time in which its correlation falls to 1/e.
        """
        self._prior = np.diag(deviation**2)
        self._kept = math.exp(-TICK_S / correlation_s)
        self._covariance = self._prior
        self.mean = np.zeros(3)

    def drift(self) -> None:
        """Forget as much as one tick makes untrue."""
        self.mean = self._kept * self.mean
        kept = self._kept**2
        self._covariance = kept * self._covariance + (1.0 - kept) * self._prior

    def std_m(self, slopes: Vector) -> Vector:
        """Return the standard deviations (D,) of a path's offsets.

        Args:
            slopes: (D, 3) how much each offset of the map's path grows with the error.
        """
        variances_m2: Vector = ((slopes @ self._covariance) * slopes).sum(axis=1)
        return np.sqrt(variances_m2)

    def learn(self, slopes: Vector, apart_m: Vector, variances_m2: Vector) -> None:
        """Correct the error by what is seen.

        Args:
            slopes: As of `std_m`.
            apart_m: (D,) how far right of the path that is seen the map has it.
            variances_m2: (D,) of the path that is seen.
        """
        noise = np.diag(_ALIKE_TICKS * (variances_m2 + _FINEST_M**2))
        shared = self._covariance @ slopes.T
        gain = np.linalg.solve(slopes @ shared + noise, shared.T).T
        self.mean = self.mean + gain @ apart_m
        left = np.eye(3) - gain @ slopes
        self._covariance = left @ self._covariance @ left.T + gain @ noise @ gain.T
