"""CARLA's encodings of depth and semantics: B, G, R, A bytes, row-major from the top left."""

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
