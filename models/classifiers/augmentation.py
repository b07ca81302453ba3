"""Random shifts and mirroring of training images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """What is varied; the same for every network of a pool.

    Attributes:
        shift_px: Largest shift in rows and in columns; what comes in from outside is black.
        mirror: Whether every other image is mirrored left to right. Only for data in which a
            mirrored image keeps its label.
    """

    shift_px: int = 1
    mirror: bool = False


def augment_batch(
    images: NDArray[np.uint8], augmentation: Augmentation, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Shift and mirror each image by an amount of its own.

    Args:
        images: (N, H, W, C) uint8; not changed.
        augmentation: What to vary.
        rng: Draws the same numbers for every augmentation, so settings stay comparable.

    Returns:
        The new images, and (N,) which of `all_views` each of them is.
    """
    count, rows, columns, _ = images.shape
    span = 2 * augmentation.shift_px + 1
    offsets = rng.integers(0, span, (2, count))
    mirrored: NDArray[np.bool_] = np.logical_and(rng.random(count) < 0.5, augmentation.mirror)
    windows = np.lib.stride_tricks.sliding_window_view(
        _padded(images, augmentation), (rows, columns), axis=(1, 2)
    )
    # The window axes come last: (N, C, rows, columns) after picking one place per image.
    picked = windows[np.arange(count), offsets[0], offsets[1]]
    shifted = np.moveaxis(picked, 1, -1).copy()
    shifted[mirrored] = shifted[mirrored, :, ::-1]
    return shifted, (mirrored * span + offsets[0]) * span + offsets[1]


def all_views(images: NDArray[np.uint8], augmentation: Augmentation) -> Iterator[NDArray[np.uint8]]:
    """Yield images (N, H, W, C) as `augment_batch` may return them: by mirroring, row, column."""
    _, rows, columns, _ = images.shape
    padded = _padded(images, augmentation)
    for mirrored in range(1 + augmentation.mirror):
        for row in range(2 * augmentation.shift_px + 1):
            for column in range(2 * augmentation.shift_px + 1):
                view = padded[:, row : row + rows, column : column + columns]
                yield np.ascontiguousarray(view[:, :, ::-1] if mirrored else view)


def _padded(images: NDArray[np.uint8], augmentation: Augmentation) -> NDArray[np.uint8]:
    shift = augmentation.shift_px
    return np.pad(images, ((0, 0), (shift, shift), (shift, shift), (0, 0)))
