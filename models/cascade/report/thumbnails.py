"""Images inside a report."""

from __future__ import annotations

import base64

import cv2
import numpy as np
from numpy.typing import NDArray

#: Larger images are reduced to this, in pixels.
MAX_SIDE = 64


def data_url(image: NDArray[np.uint8]) -> str:
    """Return a PNG of an image (H, W, 1 or 3: RGB) as a data URL."""
    scale = MAX_SIDE / max(image.shape[:2])
    ordered = image[..., ::-1]  # OpenCV's colours are BGR
    if scale < 1.0:
        width, height = (max(1, round(scale * side)) for side in image.shape[1::-1])
        reduced = cv2.resize(
            np.ascontiguousarray(ordered), (width, height), interpolation=cv2.INTER_AREA
        )
        ordered = np.asarray(reduced, np.uint8)
    _, data = cv2.imencode(".png", np.ascontiguousarray(ordered))
    return f"data:image/png;base64,{base64.b64encode(data.tobytes()).decode('ascii')}"
