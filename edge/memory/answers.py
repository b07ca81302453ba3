"""From a classifier's results to what a memory keeps of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bicameral.errors import DataError
from bicameral.types import Prediction
from edge.memory.keys import KeyScheme, content_digests
from edge.memory.settings import MemorySettings


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FiledAnswer:
    """An answer with what is needed to find it again.

    Attributes:
        key: The key under which it is filed.
        content: Digest of the image where several images may share a key; otherwise empty, so that
            the last answer of a key replaces the one before.
        image: (H, W, C) uint8, read-only, where a key must be verified; otherwise None: a memory
            keeps no picture that it does not need.
        answer: One row, read-only.
    """

    key: bytes
    content: bytes
    image: NDArray[np.uint8] | None
    answer: Prediction


def file_confident(
    scheme: KeyScheme, settings: MemorySettings, images: NDArray[np.uint8], results: Prediction
) -> list[FiledAnswer]:
    """Return the results that are confident enough, in order, ready to be filed.

    Raises:
        DataError: If images and results differ in number, or no key can be computed.
    """
    if not len(images) == len(results.probabilities) == len(results.confidence):
        raise DataError(
            f"{len(images)} images come with {len(results.probabilities)} rows of probabilities "
            f"and {len(results.confidence)} confidences; expected one of each for each image"
        )
    sure = np.flatnonzero(results.confidence >= settings.store_min_confidence)
    if not len(sure):
        return []
    if len(sure) == len(images):
        return _file(scheme, images, results)
    kept = Prediction(
        probabilities=results.probabilities[sure], confidence=results.confidence[sure]
    )
    return _file(scheme, images[sure], kept)


def _file(scheme: KeyScheme, images: NDArray[np.uint8], results: Prediction) -> list[FiledAnswer]:
    contents = content_digests(images) if scheme.verified else [b""] * len(images)
    return [
        FiledAnswer(
            key=key,
            content=content,
            image=_read_only(image) if scheme.verified else None,
            answer=_one_row(results, index),
        )
        for index, (key, content, image) in enumerate(
            zip(scheme.keys(images), contents, images, strict=True)
        )
    ]


def _one_row(results: Prediction, index: int) -> Prediction:
    """Copy one row, read-only, so that a hit can hand out the entry itself."""
    rows = slice(index, index + 1)
    probabilities = results.probabilities[rows].astype(np.float32)
    confidence = results.confidence[rows].astype(np.float32)
    probabilities.flags.writeable = confidence.flags.writeable = False
    return Prediction(probabilities=probabilities, confidence=confidence)


def _read_only(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    # A copy, because a view would keep the whole batch alive.
    own = image.copy()
    own.flags.writeable = False
    return own
