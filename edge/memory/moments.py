"""The rotation-invariant key of the paper: a sum of moment invariants.

J. Flusser, "On the independence of rotation moment invariants", Pattern Recognition 33 (2000): with
the complex moments c_pq = sum of (x + iy)^p (x - iy)^q f(x, y) about the centroid, every
c_pq * c_12^(p - q) stays the same when the image is rotated. The paper (arXiv 2412.01039) takes the
orders 2 and 3, scales each moment by m00^((p + q) / 2 + 1), weighs it with
((p + q) / 2 + 1) * pi^((p + q) / 2), takes the signed root of each invariant's degree, and adds up
four of them. They are real parts, which mirroring leaves alone as well.

The paper rounds the moments to five decimals and then compares for equality. Here coordinates are
counted from the middle of the grid, so that a quarter turn or a mirroring only permutes and negates
the very same numbers, and the sum is rounded instead, which also absorbs what a displacement
changes in the last digits.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

#: Decimals of the sum that count; on FashionMNIST it lies between 0.004 and 0.12. With 11 decimals
#: three of 60,000 different images share a sum, with 12 none; at 16 a quarter turn shows.
_DECIMALS = 13


def invariant_sums(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the sum of the real invariants c11, c21 c12, c20 c12^2 and c30 c12^3.

    Args:
        images: (N, H, W) uint8.

    Returns:
        (N,) float64; 0 for a black image, which has no centroid.
    """
    moments = _central_moments(images)
    mass = moments[:, 0, 0]
    second = _weight(2) / np.maximum(mass, 1.0) ** 2
    third = _weight(3) / np.maximum(mass, 1.0) ** 2.5
    mu20, mu11, mu02 = moments[:, 2, 0], moments[:, 1, 1], moments[:, 0, 2]
    mu30, mu21, mu12, mu03 = (moments[:, 3 - order, order] for order in range(4))
    c11 = (mu20 + mu02) * second
    c20 = (mu20 - mu02 + 2j * mu11) * second
    c21 = (mu30 + mu12 + 1j * (mu21 + mu03)) * third
    c30 = (mu30 - 3 * mu12 + 1j * (3 * mu21 - mu03)) * third
    c12 = c21.conj()
    total = (
        c11
        + _signed_root((c21 * c12).real, 2)
        + _signed_root((c20 * c12**2).real, 3)
        + _signed_root((c30 * c12**3).real, 4)
    )
    return np.asarray(np.round(total, _DECIMALS) + 0.0)  # + 0.0 makes one zero of -0 and 0


def _weight(order: int) -> float:
    return float((order / 2 + 1) * math.pi ** (order / 2))


def _signed_root(values: NDArray[np.float64], degree: int) -> NDArray[np.float64]:
    return np.asarray(np.sign(values) * np.abs(values) ** (1.0 / degree))


def _central_moments(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return (N, 4, 4) moments about the centroid, [p, q] = sum of x^p y^q; p + q <= 3 is filled.

    The moments about the grid's middle are exact: products of half-integers and bytes.
    """
    _, height, width = images.shape
    raw = _powers(height).T @ (images.astype(np.float64) @ _powers(width))
    m = raw.transpose(0, 2, 1)
    mass = np.maximum(m[:, 0, 0], 1.0)
    x, y = m[:, 1, 0] / mass, m[:, 0, 1] / mass
    central = np.zeros_like(m)
    central[:, 0, 0] = m[:, 0, 0]
    central[:, 2, 0] = m[:, 2, 0] - x * m[:, 1, 0]
    central[:, 0, 2] = m[:, 0, 2] - y * m[:, 0, 1]
    central[:, 1, 1] = m[:, 1, 1] - x * m[:, 0, 1]
    central[:, 3, 0] = m[:, 3, 0] - 3 * x * m[:, 2, 0] + 2 * x * x * m[:, 1, 0]
    central[:, 0, 3] = m[:, 0, 3] - 3 * y * m[:, 0, 2] + 2 * y * y * m[:, 0, 1]
    central[:, 2, 1] = m[:, 2, 1] - 2 * x * m[:, 1, 1] - y * m[:, 2, 0] + 2 * x * x * m[:, 0, 1]
    central[:, 1, 2] = m[:, 1, 2] - 2 * y * m[:, 1, 1] - x * m[:, 0, 2] + 2 * y * y * m[:, 1, 0]
    return central


def _powers(size: int) -> NDArray[np.float64]:
    """Return (size, 4): the coordinates from the grid's middle to the powers 0..3."""
    return np.vander(np.arange(size) - (size - 1) / 2, 4, increasing=True).astype(np.float64)
