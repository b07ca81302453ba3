"""The memory keys of the paper (arXiv 2412.01039), which answer unseen whatever shares the key.

``dhash_unverified``, ``dhash16_unverified``
    Its difference hash of 8 x 8 and of 16 x 16 bits.
``invariants_unverified``
    Its sum of rotation invariants, which mirroring leaves alone as well. So it cannot tell a 6 from
    a 9, or left from right.

They are here to be compared with, not to be used. Of the invariants:

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
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from bicameral.errors import DataError
from edge.memory.keys import KeyScheme, key_scheme, require_uint8
from edge.memory.local import LocalMemory
from edge.memory.settings import MemorySettings

#: Decimals of the sum that count; on FashionMNIST it lies between 0.004 and 0.12. With 11 decimals
#: three of 60,000 different images share a sum, with 12 none; at 16 a quarter turn shows.
_DECIMALS = 13


def paper_dhash_keys(images: NDArray[np.uint8], size: int) -> list[bytes]:
    """Return the paper's difference hash: bilinear resize, then right pixel > left pixel.

    Args:
        images: (N, H, W, C) uint8, C 1 or 3.
        size: Rows, and differences per row: 8 or 16.

    Returns:
        Keys of `size * size` bits.
    """
    grey = grey_images(images)
    reduced = np.empty((len(grey), size, size + 1), np.uint8)
    for image, target in zip(grey, reduced, strict=True):
        cv2.resize(image, (size + 1, size), dst=target)
    bits = reduced[:, :, 1:] > reduced[:, :, :-1]
    return [row.tobytes() for row in np.packbits(bits.reshape(len(grey), size * size), axis=1)]


def invariant_keys(images: NDArray[np.uint8]) -> list[bytes]:
    """Return the paper's sum of rotation invariants as the 8 bytes of its float64."""
    grey = grey_images(images)
    if max(grey.shape[1:]) > 32:
        # The paper reduces larger pictures to 32 x 32 first.
        grey = np.stack([cv2.resize(image, (32, 32)) for image in grey]).astype(np.uint8)
    return [value.tobytes() for value in invariant_sums(grey)]


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


def _unverified(name: str, keys: Callable[[NDArray[np.uint8]], list[bytes]]) -> KeyScheme:
    return KeyScheme(name=name, keys=keys, probes=lambda images: [[key] for key in keys(images)])


#: The paper's keys by name.
PAPER_KEYS: dict[str, KeyScheme] = {
    scheme.name: scheme
    for scheme in (
        _unverified("dhash_unverified", lambda images: paper_dhash_keys(images, 8)),
        _unverified("dhash16_unverified", lambda images: paper_dhash_keys(images, 16)),
        _unverified("invariants_unverified", invariant_keys),
    )
}


def any_scheme(name: str) -> KeyScheme:
    """Return a key of the paper or of the product by name."""
    return PAPER_KEYS.get(name) or key_scheme(name)


def open_memory(settings: MemorySettings) -> LocalMemory:
    """Begin an empty memory, whose key may be one of the paper's."""
    return LocalMemory(settings, scheme=any_scheme(settings.key), always=True)
