"""Whether a data set asks what a classifier answers, and how its pictures become that one's."""

from __future__ import annotations

from typing import Literal

from bicameral.errors import DataError
from bicameral.protocols import ClassifierSession
from edge.sidecar import ImageSpec
from models.data.dataset import ImageDataset
from models.data.sources import DatasetOptions


def dataset_options(classifier: ClassifierSession) -> DatasetOptions:
    """Return how an image folder becomes images of a classifier's size and colours.

    Raises:
        DataError: If no data set comes in its colours.
    """
    image = classifier.info.image
    if image.color not in ("GRAY", "RGB"):
        raise DataError(
            f"{classifier.info.name!r} takes {image.color} images, data sets are GRAY or RGB; "
            "measure a model that takes one of these"
        )
    color: Literal["GRAY", "RGB"] = "GRAY" if image.color == "GRAY" else "RGB"
    return DatasetOptions(
        image_size=(image.height, image.width),
        color=color,
        aspect=image.aspect if isinstance(image, ImageSpec) else "stretch",
    )


def require_same_task(classifier: ClassifierSession, dataset: ImageDataset) -> None:
    """Refuse a data set with other classes or images.

    Raises:
        DataError: If labels, size or colours differ.
    """
    image = classifier.info.image
    expected = (classifier.info.labels, (image.height, image.width, image.channels))
    if (dataset.labels, dataset.image_shape) != expected:
        raise DataError(
            f"the data set {dataset.name!r} has the classes {dataset.labels} and images of "
            f"{dataset.image_shape}, {classifier.info.name!r} expects {expected[0]} and "
            f"{expected[1]}"
        )
