"""How far an image may differ from a remembered one before another class comes within reach.

A memory that verifies answers for every image within its tolerance. The tolerance is therefore
chosen from the training images alone: below the distance at which two of them that belong to
different classes first come together.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from bicameral.errors import DataError
from models.data.dataset import LabelledImages

#: Images whose distances are computed at once.
_BLOCK = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class ToleranceSettings:
    """How to choose.

    Attributes:
        step_mae_u8: The tolerance is a multiple of this, grey levels.
        radius_mae_u8: Neighbours farther than this are not looked for.
        safety: The tolerance is at most this share of the smallest distance between images of
            different classes, because images that are not in the training set can be nearer.
    """

    step_mae_u8: float = 0.5
    radius_mae_u8: float = 8.0
    safety: float = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class ToleranceChoice:
    """What was chosen, and from what.

    Attributes:
        tolerance_mae_u8: Mean absolute difference in grey levels within which a memory may answer.
        nearest_mae_u8: Smallest distance between two images of different classes; None if there is
            none within the radius.
        n: Distinct images that were compared with each other.
        within: For each multiple of the step up to the radius: how many images have one of another
            class within it.
    """

    tolerance_mae_u8: float
    nearest_mae_u8: float | None
    n: int
    within: tuple[tuple[float, int], ...]


def choose_tolerance(
    training: LabelledImages, settings: ToleranceSettings = ToleranceSettings()
) -> ToleranceChoice:
    """Choose the tolerance of a verified memory.

    Images that are equal count once: a network gives them the same answer, whatever their labels.

    Args:
        training: Training images, never those on which the memory is judged.
        settings: How to choose.

    Raises:
        DataError: If there are fewer than two classes.
    """
    if len(np.unique(training.labels)) < 2:
        raise DataError(
            f"the {len(training)} training images have fewer than two classes, so no tolerance "
            "between classes can be measured"
        )
    distinct = _distinct(training)
    distances = nearest_of_another_class(distinct, settings.radius_mae_u8)
    nearest = float(distances.min())
    found = np.isfinite(nearest)
    limit = settings.safety * (nearest if found else settings.radius_mae_u8)
    steps = np.arange(1, int(settings.radius_mae_u8 / settings.step_mae_u8) + 1)
    return ToleranceChoice(
        tolerance_mae_u8=float(limit // settings.step_mae_u8 * settings.step_mae_u8),
        nearest_mae_u8=nearest if found else None,
        n=len(distinct),
        within=tuple(
            (float(step), int((distances <= step).sum())) for step in steps * settings.step_mae_u8
        ),
    )


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
