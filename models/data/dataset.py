"""What a classifier is trained and judged on: three sets of labelled images kept apart."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bicameral.errors import DataError
from edge.sidecar import Aspect

Color = Literal["GRAY", "RGB"]

#: Colour channels of each colour.
CHANNELS: dict[Color, int] = {"GRAY": 1, "RGB": 3}


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledImages:
    """Images of one size, each with the index of its class.

    Attributes:
        images: (N, H, W, C) uint8, C-contiguous, canonical (what a network sees, unscaled).
        labels: (N,) int64.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def __post_init__(self) -> None:
        images, labels = self.images, self.labels
        if images.dtype != np.uint8 or images.ndim != 4 or not images.flags.c_contiguous:
            raise DataError(
                f"images have shape {images.shape} and dtype {images.dtype}, expected C-contiguous "
                "(N, height, width, channels) uint8"
            )
        if labels.dtype != np.int64 or labels.shape != images.shape[:1]:
            raise DataError(
                f"labels have shape {labels.shape} and dtype {labels.dtype}, expected "
                f"({images.shape[0]},) int64"
            )

    def __len__(self) -> int:
        return int(self.labels.size)

    def select(self, index: NDArray[np.integer] | NDArray[np.bool_]) -> LabelledImages:
        """Copy some of the images, by positions or by a mask (N,)."""
        return LabelledImages(
            images=np.ascontiguousarray(self.images[index]), labels=self.labels[index]
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceImages:
    """What a source holds, before anything is split off.

    Attributes:
        name: Name of the data set.
        labels: Class names; the index is the label.
        color: ``GRAY`` (one channel) or ``RGB``.
        mirror_allowed: Whether an image mirrored left to right keeps its label.
        aspect: How pictures of other proportions became images.
        train: Images to train on.
        validation: The source's own validation images, or None.
        test: The source's own test images, or None.
    """

    name: str
    labels: tuple[str, ...]
    color: Color
    mirror_allowed: bool
    aspect: Aspect = "stretch"
    train: LabelledImages
    validation: LabelledImages | None = None
    test: LabelledImages | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageDataset(SourceImages):
    """A labelled data set in three parts.

    Networks learn from `train`; selection, thresholds and calibration use `validation` only; `test`
    is for the figures that are reported.

    Attributes:
        train: Training images; every class is among them.
        validation: Validation images, at least one.
        test: Test images, at least one.
        fingerprint: SHA-256 over all pixels, labels, class names and the split.
    """

    validation: LabelledImages
    test: LabelledImages
    fingerprint: str = field(init=False)

    def __post_init__(self) -> None:
        parts = (self.train, self.validation, self.test)
        _check_parts(self.name, self.labels, self.color, parts)
        object.__setattr__(self, "fingerprint", _fingerprint(self.labels, parts))

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of one image."""
        _, height, width, channels = self.train.images.shape
        return height, width, channels


def _check_parts(
    name: str, labels: tuple[str, ...], color: Color, parts: Sequence[LabelledImages]
) -> None:
    """Refuse a data set on which nothing can be learned or judged."""
    if len(labels) < 2 or len(set(labels)) != len(labels):
        raise DataError(
            f"the data set {name!r} has the classes {list(labels)}; a classifier needs at least "
            "two, with different names"
        )
    for title, part in zip(("training", "validation", "test"), parts, strict=True):
        if len(part) == 0:
            raise DataError(f"the data set {name!r} has no {title} images")
        if part.images.shape[1:] != parts[0].images.shape[1:]:
            raise DataError(
                f"the {title} images of {name!r} have shape {part.images.shape[1:]}, the training "
                f"images {parts[0].images.shape[1:]}"
            )
        if part.labels.min() < 0 or part.labels.max() >= len(labels):
            raise DataError(
                f"the {title} labels of {name!r} lie in {part.labels.min()}..{part.labels.max()}, "
                f"expected 0..{len(labels) - 1}"
            )
    if parts[0].images.shape[-1] != CHANNELS[color]:
        raise DataError(
            f"the images of {name!r} have {parts[0].images.shape[-1]} channels, {color} has "
            f"{CHANNELS[color]}"
        )
    counts = np.bincount(parts[0].labels, minlength=len(labels))
    if absent := [label for label, count in zip(labels, counts, strict=True) if count == 0]:
        raise DataError(f"the data set {name!r} has no training image of {', '.join(absent)}")


def _fingerprint(labels: tuple[str, ...], parts: Sequence[LabelledImages]) -> str:
    digest = hashlib.sha256(repr(labels).encode())
    for part in parts:
        digest.update(repr(part.images.shape).encode())
        digest.update(part.images.data)
        digest.update(part.labels.astype("<i8").tobytes())
    return digest.hexdigest()
