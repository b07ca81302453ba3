"""CARLA's encodings of what is no colour: B, G, R, A bytes, row-major from the top left."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Range of CARLA's depth camera in metres; `(R + 256 G + 65536 B) / (2^24 - 1)` scales to it.
DEPTH_RANGE_M = 1000.0
_DEPTH_STEPS = 2**24 - 1
_OPAQUE = np.uint32(0xFF000000)


def depth_bgra(depth_m: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Encode (H, W) metres as (H, W, 4) uint8: red is the low byte, blue the high one."""
    steps = depth_m.astype(np.float64)
    np.clip(steps, 0.0, DEPTH_RANGE_M, out=steps)
    steps *= _DEPTH_STEPS / DEPTH_RANGE_M
    steps += 0.5
    code = steps.astype(np.uint32)
    packed = _OPAQUE | (code & 0xFF) << 16 | (code & 0xFF00) | code >> 16
    return packed.astype("<u4", copy=False).view(np.uint8).reshape(*depth_m.shape, 4)


def semantic_bgra(semantic: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Encode (H, W) tags as (H, W, 4) uint8 with the tag in the red channel."""
    packed = _OPAQUE | semantic.astype(np.uint32) << 16
    return packed.astype("<u4", copy=False).view(np.uint8).reshape(*semantic.shape, 4)


def instance_bgra(semantic: NDArray[np.uint8], actor_ids: NDArray[np.uint32]) -> NDArray[np.uint8]:
    """Encode (H, W) tags and ids as (H, W, 4) uint8.

    Red is the tag, green the low byte of the id and blue the one above it.
    """
    ids = actor_ids.astype(np.uint32)
    packed = _OPAQUE | semantic.astype(np.uint32) << 16 | (ids & 0xFF) << 8 | ids >> 8 & 0xFF
    return packed.astype("<u4", copy=False).view(np.uint8).reshape(*semantic.shape, 4)


def normals_bgra(normals: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Encode (H, W, 3) unit vectors as (H, W, 4) uint8: x, y, z from -1..1 to red, green, blue."""
    encoded = np.full((*normals.shape[:2], 4), 255, np.uint8)
    encoded[..., 2::-1] = np.rint((normals + 1.0) * 127.5)
    return encoded
