"""Whether a stored image is near enough to the asked one to answer for it.

The whole canonical image is stored and compared, not a smaller thumbnail: averages of blocks hide
just those details by which a shirt differs from a pullover, and one comparison of 28 x 28 pixels
takes a microsecond.
"""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np
from numpy.typing import NDArray

#: (rows, columns) by which an aligning memory displaces the asked image, nearest first.
DISPLACEMENTS = ((0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1))

Displacement = tuple[int, int]


def mean_absolute_difference(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> float:
    """Return the mean over all pixel values of |first - second|, grey levels 0..255."""
    return float(cv2.norm(first, second, cv2.NORM_L1)) / first.size


def nearest_within(
    image: NDArray[np.uint8],
    stored: Iterable[NDArray[np.uint8] | None],
    tolerance_mae_u8: float,
    displacement: Displacement = (0, 0),
) -> int | None:
    """Return the index of the nearest stored image within the tolerance, or None.

    Args:
        image: (H, W, C) uint8.
        stored: Images; none, or one of another size, is never near.
        tolerance_mae_u8: Largest mean absolute difference, grey levels, inclusive.
        displacement: Rows and columns by which the stored images are moved against `image`; only
            what they share is compared.
    """
    nearest, nearest_distance = None, tolerance_mae_u8
    for index, candidate in enumerate(stored):
        if candidate is None or candidate.shape != image.shape:
            continue
        distance = mean_absolute_difference(*_shared(image, candidate, displacement))
        if distance < nearest_distance or (nearest is None and distance == tolerance_mae_u8):
            nearest, nearest_distance = index, distance
    return nearest


def displaced(images: NDArray[np.uint8], displacement: Displacement) -> NDArray[np.uint8]:
    """Move images (N, H, W, C) down and right by one pixel at most, repeating their edges."""
    down, right = displacement
    rows = np.clip(np.arange(images.shape[1]) - down, 0, images.shape[1] - 1)
    columns = np.clip(np.arange(images.shape[2]) - right, 0, images.shape[2] - 1)
    return np.ascontiguousarray(images[:, rows][:, :, columns])


def _shared(
    image: NDArray[np.uint8], stored: NDArray[np.uint8], displacement: Displacement
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Cut both to what they share when `stored[y + down, x + right]` shows `image[y, x]`."""
    if displacement == (0, 0):
        return image, stored
    down, right = displacement
    return (
        image[_source(down), _source(right)],
        stored[_source(-down), _source(-right)],
    )


def _source(offset: int) -> slice:
    """Leave out the side that has no counterpart after moving by `offset`."""
    return slice(max(-offset, 0), -offset if offset > 0 else None)
