"""Textures as the kernels read them: all layers of all mip levels in one flat array."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bicameral.errors import DataError


class TexturePyramid(NamedTuple):
    """Mip-mapped textures.

    Attributes:
        texels: (M,) int64; red, green and blue in lanes of 16 bits, red lowest, so that one
            multiplication weighs all three. Level after level, layer after layer, row-major.
        coverage: (M,) uint8; alpha in the same order.
        starts: (levels,) int64; where each level begins.
        cut_out: (layers,) bool; whether a layer has holes.
        size: Texels along the side of level 0, a power of two.
    """

    texels: NDArray[np.int64]
    coverage: NDArray[np.uint8]
    starts: NDArray[np.int64]
    cut_out: NDArray[np.bool_]
    size: int


def texture_pyramid(textures: NDArray[np.uint8]) -> TexturePyramid:
    """Build the mip levels of (L, N, N, 4) uint8 RGBA textures by 2x2 averages.

    Colours are averaged by coverage, so that what hides in the holes of a cut-out texture does
    not bleed into it.
    """
    if textures.ndim != 4 or textures.shape[1] != textures.shape[2] or textures.shape[3] != 4:
        raise DataError(f"textures have the shape {textures.shape}; expected (layers, N, N, 4)")
    size = textures.shape[1]
    if size & (size - 1):
        raise DataError(f"textures are {size} texels wide; expected a power of two")
    alpha = textures[..., 3:].astype(np.float32)
    weighted = textures[..., :3].astype(np.float32) * alpha
    colour = textures[..., :3].astype(np.float32)
    texels, coverage, starts, total = [], [], [], 0
    while True:
        starts.append(total)
        lanes = np.clip(colour + 0.5, 0.0, 255.0).astype(np.int64)
        texels.append((lanes[..., 0] | lanes[..., 1] << 16 | lanes[..., 2] << 32).ravel())
        coverage.append(np.clip(alpha + 0.5, 0.0, 255.0).astype(np.uint8).ravel())
        total += texels[-1].size
        if alpha.shape[1] == 1:
            break
        alpha = _halve(alpha)
        weighted = _halve(weighted)
        colour = np.where(alpha > 0.0, weighted / np.maximum(alpha, 1e-6), _halve(colour))
    return TexturePyramid(
        texels=np.concatenate(texels),
        coverage=np.concatenate(coverage),
        starts=np.array(starts, np.int64),
        cut_out=np.ascontiguousarray((textures[..., 3] < 128).any(axis=(1, 2))),
        size=size,
    )


def _halve(image: NDArray[np.float32]) -> NDArray[np.float32]:
    layers, side, _, channels = image.shape
    blocks = image.reshape(layers, side // 2, 2, side // 2, 2, channels)
    halved: NDArray[np.float32] = blocks.mean(axis=(2, 4), dtype=np.float32)
    return halved
