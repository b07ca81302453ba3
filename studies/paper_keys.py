"""The difference hash of the paper (arXiv 2412.01039), which answers unseen whatever shares a key.

It is here to be compared with, not to be used.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from bicameral.errors import DataError, look_up
from edge.memory.keys import KEYS, KeyScheme, require_uint8
from edge.memory.local import LocalMemory
from edge.memory.settings import MemorySettings

#: Rows, and differences per row.
_SIZE = 8


def paper_dhash_keys(images: NDArray[np.uint8]) -> list[bytes]:
    """Return the paper's difference hash: bilinear resize, then right pixel > left pixel.

    Args:
        images: (N, H, W, C) uint8, C 1 or 3.

    Returns:
        Keys of 64 bits.
    """
    grey = grey_images(images)
    reduced = np.empty((len(grey), _SIZE, _SIZE + 1), np.uint8)
    for image, target in zip(grey, reduced, strict=True):
        cv2.resize(image, (_SIZE + 1, _SIZE), dst=target)
    bits = reduced[:, :, 1:] > reduced[:, :, :-1]
    return [row.tobytes() for row in np.packbits(bits.reshape(len(grey), _SIZE * _SIZE), axis=1)]


def grey_images(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return (N, H, W) grey images from (N, H, W, C) uint8, C 1 or 3 (as RGB, as the paper does).

    Raises:
        DataError: If there are other channels or another dtype.
    """
    require_uint8(images)
    count, height, width, channels = images.shape
    if channels == 1:
        return images[..., 0]
    if channels != 3:
        raise DataError(f"images of shape {images.shape} have {channels} channels, expected 1 or 3")
    if images.size == 0:
        return np.empty((count, height, width), np.uint8)
    rows = images.reshape(count * height, width, 3)
    grey = np.asarray(cv2.cvtColor(rows, cv2.COLOR_RGB2GRAY), np.uint8)
    return grey.reshape(count, height, width)


PAPER_KEY = KeyScheme(
    name="dhash_unverified",
    keys=paper_dhash_keys,
    probes=lambda images: [[key] for key in paper_dhash_keys(images)],
)


def any_scheme(name: str) -> KeyScheme:
    """Return the key of the paper, or one of the product, by name."""
    return PAPER_KEY if name == PAPER_KEY.name else look_up("memory key", name, KEYS)


def open_memory(settings: MemorySettings) -> LocalMemory:
    """Begin an empty memory, whose key may be the paper's."""
    return LocalMemory(settings, scheme=any_scheme(settings.key), always=True)
