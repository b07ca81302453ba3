"""What tests of result memories store and ask, and a clock for them."""

from __future__ import annotations

import cv2
import numpy as np

from bicameral.types import Prediction

MODEL = "fingerprint of a model"


class Clock:
    """Seconds that a test lets pass."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def blobs(count: int, channels: int = 1, seed: int = 0) -> np.ndarray:
    """Smooth blobs, which like photographs keep their hash under small changes."""
    coarse = np.random.default_rng(seed).integers(0, 256, (count, 5, 5, channels), dtype=np.uint8)
    return np.stack([cv2.resize(image, (28, 28)).reshape(28, 28, channels) for image in coarse])


def greys(*levels: int) -> np.ndarray:
    """Flat images: all of them have the same perceptual key."""
    return np.stack([np.full((12, 12, 1), level, np.uint8) for level in levels])


def answers(*labels: int, confidence: float = 1.0) -> Prediction:
    """Answers of these classes, of a hundred."""
    return Prediction(
        probabilities=np.eye(100, dtype=np.float32)[list(labels)],
        confidence=np.full(len(labels), confidence, np.float32),
    )


def labels_of(found: list[Prediction | None]) -> list[int | None]:
    """Classes of what was found; None where nothing was."""
    return [None if one is None else int(one.probabilities.argmax()) for one in found]
