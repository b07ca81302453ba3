"""The images that the studies of classifiers use."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from models.data.dataset import ImageDataset, LabelledImages
from models.data.sources import load_dataset

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
