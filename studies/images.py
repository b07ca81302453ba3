"""The images that the studies of classifiers use, and what a classifier answers for them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bicameral.protocols import ClassifierSession
from models.data.dataset import ImageDataset, LabelledImages
from models.data.sources import load_dataset

_BATCH = 100

#: What `Study.needs` says of a study on these images.
NEEDS = "FashionMNIST (Debian's package dataset-fashion-mnist)"


def fashion_mnist(few: int | None = None) -> ImageDataset:
    """Load FashionMNIST, or the first `few` images of each of its parts."""
    dataset = load_dataset("fashion-mnist")
    if few is None:
        return dataset

    def part(images: LabelledImages) -> LabelledImages:
        return images.select(np.arange(few))

    return replace(
        dataset,
        train=part(dataset.train),
        validation=part(dataset.validation),
        test=part(dataset.test),
    )


def predict(classifier: ClassifierSession, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return calibrated probabilities (N, C) of canonical images (N, H, W, C) uint8."""
    return np.concatenate([classifier.predict(of).probabilities for of in in_batches(images)])


def in_batches(images: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    """Yield images (N, H, W, C), so many at a time that a processor's caches hold them."""
    for begin in range(0, len(images), _BATCH):
        yield images[begin : begin + _BATCH]
