"""Training, validation and test images of a source, kept apart.

What is held out is decided by the picture's own content: the pictures of a class are sorted by a
hash of seed and pixels, and the first ones are held out. So a split needs no stored list, does not
depend on the order of the files or on a random generator's version, and copies of a picture always
stay together.
"""

from __future__ import annotations

import hashlib
import logging

import numpy as np
from numpy.typing import NDArray

from bicameral.errors import DataError
from models.data.dataset import ImageDataset, LabelledImages, SourceImages

_LOGGER = logging.getLogger(__name__)


def split_source(
    source: SourceImages, *, validation_share: float, test_share: float, seed: int
) -> ImageDataset:
    """Hold out what the source has not held out itself.

    Where the source's own parts share a picture, it stays in the test images, else in the
    validation images, and leaves the others.

    Args:
        source: All images.
        validation_share: Share of each class's training images (what is left after the test
            images) that validate, if the source has no validation images; 0..1, exclusive.
        test_share: Share of each class's images that test, if the source has no test images.
        seed: Chooses another split.

    Raises:
        DataError: If a class is too small to be split, or a part comes out empty.
    """
    train, validation, test = source.train, source.validation, source.test
    if test is None:
        train, test = _hold_out(source, train, test_share, seed)
    else:
        train = _without_copies(source.name, train, test, "training", "test")
    if validation is None:
        train, validation = _hold_out(source, train, validation_share, seed)
    else:
        validation = _without_copies(source.name, validation, test, "validation", "test")
        train = _without_copies(source.name, train, validation, "training", "validation")
    return ImageDataset(
        name=source.name,
        labels=source.labels,
        color=source.color,
        train=train,
        validation=validation,
        test=test,
        mirror_allowed=source.mirror_allowed,
        aspect=source.aspect,
    )


def content_keys(images: NDArray[np.uint8], seed: int = 0) -> NDArray[np.uint64]:
    """Return a hash of seed and pixels for each image: (N, H, W, C) -> (N,) uint64."""
    prefix = hashlib.sha256(f"{seed}\n".encode())
    keys = np.empty(len(images), np.uint64)
    for index, image in enumerate(images):
        digest = prefix.copy()
        digest.update(np.ascontiguousarray(image).data)
        keys[index] = int.from_bytes(digest.digest()[:8], "big")
    return keys


def _hold_out(
    source: SourceImages, part: LabelledImages, share: float, seed: int
) -> tuple[LabelledImages, LabelledImages]:
    """Split a share of each class off: (what stays, what is held out)."""
    if len(part) == 0:
        raise DataError(f"the data set {source.name!r} has no training images")
    held_out = _choose_by_content(source, part.labels, content_keys(part.images, seed), share)
    return part.select(~held_out), part.select(held_out)


def _choose_by_content(
    source: SourceImages, labels: NDArray[np.int64], keys: NDArray[np.uint64], share: float
) -> NDArray[np.bool_]:
    """Mark a share of each class, (N,) bool; images with equal keys are marked together.

    A picture that stands in several classes counts for the first of them. A class keeps at least
    one picture and gives at least one.
    """
    pictures, picture_of_image, copies = np.unique(keys, return_inverse=True, return_counts=True)
    label_of_picture = np.full(len(pictures), len(source.labels), np.int64)
    np.minimum.at(label_of_picture, picture_of_image, labels)
    chosen = np.zeros(len(pictures), np.bool_)
    by_class = [  # ascending keys
        np.flatnonzero(label_of_picture == label) for label in range(len(source.labels))
    ]
    small = [
        f"class {name!r} has {len(of_class)}"
        for name, of_class in zip(source.labels, by_class, strict=True)
        if len(of_class) < 2
    ]
    if small:
        raise DataError(
            f"too few different pictures are left to split in {source.name!r}: {', '.join(small)}; "
            "training, validation and test need at least one each: add pictures"
        )
    for of_class in by_class:
        images_until = np.cumsum(copies[of_class])
        wanted = round(share * int(images_until[-1]))
        count = int(np.searchsorted(images_until, wanted, side="right"))
        chosen[of_class[: min(max(count, 1), len(of_class) - 1)]] = True
    return np.asarray(chosen[picture_of_image])


def _without_copies(
    name: str, part: LabelledImages, other: LabelledImages, title: str, other_title: str
) -> LabelledImages:
    """Drop the images of `part` that stand in `other` too."""
    copied = np.isin(content_keys(part.images), content_keys(other.images))
    if not copied.any():
        return part
    _LOGGER.warning(
        "%s: %d %s images are also %s images; left out of the %s images",
        name,
        int(copied.sum()),
        title,
        other_title,
        title,
    )
    return part.select(~copied)
