"""A data set that tiny networks learn in seconds."""

from __future__ import annotations

import numpy as np
import pytest

from models.data.dataset import ImageDataset, LabelledImages

CLASSES = ("bright left", "bright right", "bright top")


def synthetic_images(count: int, seed: int) -> LabelledImages:
    """Noise, and a bright part that tells the class."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, len(CLASSES), count)
    images = rng.integers(0, 120, (count, 16, 16, 1), np.uint8)
    for image, label in zip(images, labels, strict=True):
        part = (slice(None), slice(0, 8)) if label == 0 else (slice(None), slice(8, 16))
        image[part if label < 2 else part[::-1]] += 60
    return LabelledImages(images=images, labels=labels.astype(np.int64))


@pytest.fixture(scope="session")
def synthetic_dataset() -> ImageDataset:
    return ImageDataset(
        name="synthetic",
        labels=CLASSES,
        color="GRAY",
        train=synthetic_images(256, seed=1),
        validation=synthetic_images(96, seed=2),
        test=synthetic_images(96, seed=3),
        mirror_allowed=False,
    )
