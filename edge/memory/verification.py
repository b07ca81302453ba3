"""Whether a stored image is near enough to the asked one to answer for it.

The whole canonical image is stored and compared, not a smaller thumbnail: averages of blocks hide
just those details by which a shirt differs from a pullover, and comparing them costs little.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.memory.keys import KeyScheme
from edge.memory.settings import MemorySettings


def choose(
    image: NDArray[np.uint8],
    stored: Sequence[NDArray[np.uint8] | None],
    scheme: KeyScheme,
    settings: MemorySettings,
) -> tuple[int | None, dict[str, int]]:
    """Return which of the images under an image's keys answers for it, and what is counted of that.

    Args:
        image: (H, W, C) uint8.
        stored: Images under its keys, at least one; None where keys are not verified.
        scheme: How images are filed.
        settings: How near they must be.
    """
    if not scheme.verified:
        return 0, {"hits": 1}
    chosen = nearest_within(image, stored, settings.tolerance_mae_u8)
    found = chosen is not None
    return chosen, {"hits": found, "verified": found, "rejected": len(stored) - found}


def nearest_within(
    image: NDArray[np.uint8],
    stored: Sequence[NDArray[np.uint8] | None],
    tolerance_mae_u8: float,
) -> int | None:
    """Return the index of the nearest stored image within the tolerance, or None.

    Args:
        image: (H, W, C) uint8.
        stored: Images; none, or one of another size, is never near.
        tolerance_mae_u8: Largest mean absolute difference of all values, grey levels, inclusive.
    """
    shape = image.shape
    fitting = [one for one in stored if one is not None and one.shape == shape]
    if not fitting:
        return None
    # One call for all: it is as fast for thirty candidates as a loop is for three.
    candidates = np.concatenate(fitting).reshape(len(fitting), -1)
    sums, nearest = cv2.batchDistance(
        image.reshape(1, -1), candidates, cv2.CV_32S, normType=cv2.NORM_L1, K=1
    )
    if sums[0, 0] > tolerance_mae_u8 * image.size:
        return None
    chosen = fitting[nearest[0, 0]]
    return next(index for index, one in enumerate(stored) if one is chosen)
