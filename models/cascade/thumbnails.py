"""The images whose answer B turned right or wrong, small enough to look at many."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from bicameral.errors import DataError
from bicameral.page import Block, picture
from bicameral.tables import integer
from models.cascade.results import CascadeEvaluation, ChangedImage
from models.data.dataset import LabelledImages

#: Thumbnails per gallery; the others are counted.
MAX_THUMBNAILS = 24

#: Larger images are reduced to this, in pixels.
MAX_SIDE = 64


def check_images(evaluation: CascadeEvaluation, images: LabelledImages) -> None:
    """Refuse other images than those that a cascade was judged on.

    Raises:
        DataError: If their number or labels differ.
    """
    changes = evaluation.detail.changes
    changed = (*changes.rescued_images, *changes.broken_images)
    if len(images) != evaluation.n_test or any(
        images.labels[image.index] != image.label for image in changed
    ):
        raise DataError(
            f"the {len(images)} images for the report are not the {evaluation.n_test} test images "
            f"of {evaluation.dataset!r} that the cascade was judged on (their number or labels "
            f"differ); load the data set with sha256 {evaluation.dataset_sha256}"
        )


def gallery(
    title: str, changed: Sequence[ChangedImage], labels: Sequence[str], images: LabelledImages
) -> list[Block]:
    """Show images that B changed alike, with everybody's answer."""
    shown = list(changed)
    note = f"{integer(len(changed))} images"
    if len(changed) > MAX_THUMBNAILS:
        places = np.linspace(0, len(changed) - 1, MAX_THUMBNAILS).round().astype(int)
        shown = [changed[place] for place in places]
        note += f", of which {len(shown)}, evenly spread over the test images, are shown"
    thumbnails = [
        _thumbnail(image, labels, images.images[image.index])
        for image in sorted(shown, key=lambda image: -image.score_a)
    ]
    return [
        Markup("<h3>{}</h3>").format(title),
        f"{note}; those that A was surest of come first. Beside A's answer stands its score.",
        Markup('<div class="gallery">{}</div>').format(Markup("").join(thumbnails)),
    ]


def _thumbnail(image: ChangedImage, labels: Sequence[str], pixels: NDArray[np.uint8]) -> Markup:
    label, a, b = (labels[index] for index in (image.label, image.a, image.b))
    cascade = Markup("")
    if image.cascade != image.b:
        cascade = Markup("<span>cascade: {}</span>").format(labels[image.cascade])
    return Markup(
        '<div class="thumbnail">{}<b>{}</b><span>A: {} <small>{:.2f}</small></span>'
        "<span>B: {}</span>{}</div>"
    ).format(
        picture(_reduced(pixels), f"test image {image.index}, {label}"),
        label,
        a,
        image.score_a,
        b,
        cascade,
    )


def _reduced(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return an image (H, W, 1 or 3) of at most the largest side, grey ones without their axis."""
    scale = MAX_SIDE / max(image.shape[:2])
    if scale < 1.0:
        width, height = (max(1, round(scale * side)) for side in image.shape[1::-1])
        smaller = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        return np.asarray(smaller, np.uint8)
    return image[..., 0] if image.shape[2] == 1 else image
