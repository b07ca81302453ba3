"""How far an image may differ from a remembered one before another class comes within reach.

A memory that verifies answers for every image within its tolerance. The tolerance is therefore
chosen from the training images alone: below the distance at which two of them that belong to
different classes first come together.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from bicameral.errors import DataError
from models.data.dataset import LabelledImages

#: The tolerance is a multiple of this, grey levels.
_STEP_MAE_U8 = 0.5

#: Neighbours farther than this are not looked for, grey levels.
_RADIUS_MAE_U8 = 8.0

#: The tolerance is at most this share of the smallest distance between images of different classes,
#: because images that are not in the training set can be nearer.
_SAFETY = 0.8

#: Images whose distances are computed at once.
_BLOCK = 256


def choose_tolerance(training: LabelledImages) -> float:
    """Return the tolerance of a verified memory, a mean absolute difference in grey levels.

    Images that are equal count once: a network gives them the same answer, whatever their labels.

    Args:
        training: Training images, never those on which the memory is judged.

    Raises:
        DataError: If there are fewer than two classes.
    """
    if len(np.unique(training.labels)) < 2:
        raise DataError(
            f"the {len(training)} training images have fewer than two classes, so no tolerance "
            "between classes can be measured"
        )
    nearest = float(nearest_of_another_class(_distinct(training), _RADIUS_MAE_U8).min())
    return float(_SAFETY * min(nearest, _RADIUS_MAE_U8) // _STEP_MAE_U8 * _STEP_MAE_U8)


def nearest_of_another_class(images: LabelledImages, radius_mae_u8: float) -> NDArray[np.float64]:
    """Return each image's distance to the nearest one of another class.

    No two images can be nearer than their mean grey levels are, so only those in a window of the
    mean are compared: on FashionMNIST a tenth.

    Args:
        images: N images.
        radius_mae_u8: How far to look, mean absolute difference in grey levels.

    Returns:
        (N,) float64, infinite where there is none within the radius.
    """
    flat = images.images.reshape(len(images), -1)
    totals = flat.sum(axis=1, dtype=np.int64)
    order = np.argsort(totals, kind="stable")
    flat, totals, labels = np.ascontiguousarray(flat[order]), totals[order], images.labels[order]
    # A sum of bytes is whole; the small addend keeps a radius that is exactly one inclusive.
    reach = int(radius_mae_u8 * flat.shape[1] + 1e-6)
    nearest = np.full(len(flat), np.inf)
    for start in range(0, len(flat), _BLOCK):
        block = slice(start, min(start + _BLOCK, len(flat)))
        low = np.searchsorted(totals, totals[block.start] - reach)
        high = np.searchsorted(totals, totals[block.stop - 1] + reach, side="right")
        others = (labels[block, None] != labels[None, low:high]).astype(np.uint8)
        sums = cv2.batchDistance(
            flat[block], flat[low:high], cv2.CV_32S, normType=cv2.NORM_L1, K=1, mask=others
        )[0][:, 0]
        known = others.any(axis=1) & (sums <= reach)
        nearest[order[block][known]] = sums[known] / flat.shape[1]
    return nearest


def _distinct(images: LabelledImages) -> LabelledImages:
    """Keep the first of equal images."""
    flat = images.images.reshape(len(images), -1)
    rows = flat.view(np.dtype((np.void, flat.shape[1])))[:, 0]
    return images.select(np.sort(np.unique(rows, return_index=True)[1]))
