"""The images whose answer B turned right or wrong, small enough to look at many."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from bicameral.errors import DataError
from models.cascade.report.quantities import integer, seeds_text
from models.cascade.report.tables import Column, Table, row
from models.cascade.results import CascadeEvaluation, ChangedImage, Spread
from models.classifiers.dataset import LabelledImages

#: Thumbnails per gallery; the others are counted.
MAX_THUMBNAILS = 24

#: Larger images are reduced to this, in pixels.
MAX_SIDE = 64

_LISTED_CLASSES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Thumbnail:
    """An image as a data URL, its true class, and who answered what."""

    source: str
    index: int
    label: str
    a: str
    b: str
    cascade: str
    score_a: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Gallery:
    """Some of the images that B changed alike."""

    title: str
    note: str
    thumbnails: tuple[Thumbnail, ...]


def galleries(evaluation: CascadeEvaluation, images: LabelledImages) -> tuple[Gallery, Gallery]:
    """Show what B rescued and what it broke.

    Args:
        evaluation: The evaluation.
        images: The test images that it was made with.

    Raises:
        DataError: If they are other images.
    """
    changes = evaluation.detail.changes
    _check_images(evaluation, images)
    return (
        _gallery("Rescued by B", changes.rescued_images, evaluation.labels, images),
        _gallery("Broken by B", changes.broken_images, evaluation.labels, images),
    )


def changes_note(evaluation: CascadeEvaluation) -> str:
    """Say about how many images B was asked, and what came of it."""
    changes = evaluation.detail.changes
    return (
        f"Of {integer(evaluation.n_test)} test images B was asked about "
        f"{_counted(changes.asked)}; it rescued {_counted(changes.rescued)} and broke "
        f"{_counted(changes.broken)} ({seeds_text(len(changes.asked.seeds))}). The lists below "
        f"are of seed {evaluation.detail.shipped_seed}."
    )


def _counted(counts: Spread) -> str:
    if counts.std is None:
        return integer(counts.mean)
    return f"{counts.mean:,.1f} ± {counts.std:.1f}"


def change_table(evaluation: CascadeEvaluation) -> Table:
    """Count rescued and broken images by their true class, the most changed first."""
    changes = evaluation.detail.changes
    rescued, broken = (
        Counter(image.label for image in images)
        for images in (changes.rescued_images, changes.broken_images)
    )
    changed = (rescued + broken).most_common(_LISTED_CLASSES)
    return Table(
        title="By true class",
        columns=(
            Column(label="true class"),
            Column(label="rescued"),
            Column(label="broken"),
            Column(label="net"),
        ),
        rows=tuple(
            row(
                evaluation.labels[label],
                str(rescued[label]),
                str(broken[label]),
                f"{rescued[label] - broken[label]:+d}",
            )
            for label, _ in changed
        ),
    )


def _check_images(evaluation: CascadeEvaluation, images: LabelledImages) -> None:
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


def _gallery(
    title: str,
    changed: Sequence[ChangedImage],
    labels: Sequence[str],
    images: LabelledImages,
) -> Gallery:
    shown = _evenly(changed)
    note = f"{integer(len(changed))} images"
    if len(shown) < len(changed):
        note += f", of which {len(shown)}, evenly spread over the test images, are shown"
    return Gallery(
        title=title,
        note=f"{note}; those that A was surest of come first. Beside A's answer stands its score.",
        thumbnails=tuple(
            Thumbnail(
                source=data_url(images.images[image.index]),
                index=image.index,
                label=labels[image.label],
                a=labels[image.a],
                b=labels[image.b],
                cascade=labels[image.cascade],
                score_a=image.score_a,
            )
            for image in sorted(shown, key=lambda image: -image.score_a)
        ),
    )


def _evenly(changed: Sequence[ChangedImage]) -> list[ChangedImage]:
    """Return at most so many images as are shown, evenly spread."""
    if len(changed) <= MAX_THUMBNAILS:
        return list(changed)
    places = np.linspace(0, len(changed) - 1, MAX_THUMBNAILS).round().astype(int)
    return [changed[place] for place in places]


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
