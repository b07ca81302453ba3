"""Whether a stored image is near enough to the asked one to answer for it.

The whole canonical image is stored and compared, not a smaller thumbnail: averages of blocks hide
just those details by which a shirt differs from a pullover, and comparing them costs little.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

#: (rows, columns) by which an aligning memory displaces the asked image, nearest first.
DISPLACEMENTS = ((0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1))

Displacement = tuple[int, int]


def nearest_within(
    image: NDArray[np.uint8],
    stored: Sequence[NDArray[np.uint8] | None],
    tolerance_mae_u8: float,
    displacement: Displacement = (0, 0),
) -> int | None:
    """Return the index of the nearest stored image within the tolerance, or None.

    Args:
        image: (H, W, C) uint8.
        stored: Images; none, or one of another size, is never near.
        tolerance_mae_u8: Largest mean absolute difference of all values, grey levels, inclusive.
        displacement: Rows and columns by which the stored images are moved against `image`; only
            what they share is compared.
    """
    shape = image.shape
    fitting = [one for one in stored if one is not None and one.shape == shape]
    if not fitting:
        return None
    # One call for all: it is as fast for thirty candidates as a loop is for three.
    candidates = np.concatenate(fitting).reshape(len(fitting), *shape)
    asked = image[None]
    if displacement != (0, 0):
        down, right = displacement
        asked = asked[:, _remaining(down), _remaining(right)]
        candidates = candidates[:, _remaining(-down), _remaining(-right)]
    sums, nearest = cv2.batchDistance(
        asked.reshape(1, -1),
        candidates.reshape(len(fitting), -1),
        cv2.CV_32S,
        normType=cv2.NORM_L1,
        K=1,
    )
    if sums[0, 0] > tolerance_mae_u8 * asked.size:
        return None
    chosen = fitting[nearest[0, 0]]
    return next(index for index, one in enumerate(stored) if one is chosen)


def displaced(images: NDArray[np.uint8], displacement: Displacement) -> NDArray[np.uint8]:
    """Move images (N, H, W, C) down and right by one pixel at most, repeating their edges."""
    down, right = displacement
    rows = np.clip(np.arange(images.shape[1]) - down, 0, images.shape[1] - 1)
    columns = np.clip(np.arange(images.shape[2]) - right, 0, images.shape[2] - 1)
    return np.ascontiguousarray(images[:, rows][:, :, columns])


def _remaining(offset: int) -> slice:
    """Return which rows or columns stay in the frame when an image is moved by `offset`."""
    return slice(max(-offset, 0), -offset if offset > 0 else None)
