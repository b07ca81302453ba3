"""Which changes of an image a memory sees through: noise, light, compression, displacement."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from bicameral.types import Prediction
from edge.memory.local import LocalMemory
from edge.memory.settings import MemorySettings
from edge.memory.verification import DISPLACEMENTS, displaced
from models.cascade.false_hits import memory_title
from models.classifiers.dataset import LabelledImages

Images = NDArray[np.uint8]
#: Changes a batch of images; draws from the generator.
Change = Callable[[Images, np.random.Generator], Images]

_NAMESPACE = "robustness"


@dataclass(frozen=True, slots=True, kw_only=True)
class Perturbation:
    """A change of an image that should not change its answer.

    Attributes:
        name: How tables call it.
        change: What happens to the image that is looked up.
        on_stored: Whether it also happened, independently, to the image that was stored: so it is
            with the frames of a camera, of which none is the clean one.
    """

    name: str
    change: Change
    on_stored: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RobustnessRecord:
    """One memory under one perturbation.

    Attributes:
        key: The memory.
        perturbation: The perturbation.
        n: Images that were stored and then looked up perturbed.
        hits: How many of them the memory answered.
        wrong_label_hits: Hits with an answer of another true class.
    """

    key: str
    perturbation: str
    n: int
    hits: int
    wrong_label_hits: int


def _rounded(values: NDArray[np.floating]) -> Images:
    return np.asarray(np.clip(np.rint(values), 0, 255), np.uint8)


def _noise(sd_u8: float) -> Change:
    return lambda images, rng: _rounded(images + rng.normal(0.0, sd_u8, images.shape))


def _brightness(levels: float) -> Change:
    return lambda images, rng: _rounded(images + float(levels))


def _shift_one_pixel(images: Images, rng: np.random.Generator) -> Images:
    """Move each image by one pixel in one of the eight directions; the edge is repeated."""
    moved = np.empty_like(images)
    directions = rng.integers(len(DISPLACEMENTS), size=len(images))
    for number, displacement in enumerate(DISPLACEMENTS):
        moved[directions == number] = displaced(images[directions == number], displacement)
    return moved


def _jpeg(quality: int) -> Change:
    def change(images: Images, rng: np.random.Generator) -> Images:
        decoded = np.empty_like(images)
        for image, target in zip(images, decoded, strict=True):
            packed = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
            target[:] = np.asarray(cv2.imdecode(packed, cv2.IMREAD_UNCHANGED)).reshape(target.shape)
        return decoded

    return change


def _video_frame(images: Images, rng: np.random.Generator) -> Images:
    """Return another frame of each: a new brightness within +-3, and noise of sd 4."""
    brightness = rng.uniform(-3.0, 3.0, (len(images), 1, 1, 1))
    return _rounded(images + brightness + rng.normal(0.0, 4.0, images.shape))


#: What images go through, by the spec's names; noise and brightness in grey levels.
PERTURBATIONS: tuple[Perturbation, ...] = (
    Perturbation(name="none", change=lambda images, rng: images),
    *(Perturbation(name=f"noise sd {sd}", change=_noise(sd)) for sd in (1, 2, 4)),
    *(Perturbation(name=f"brightness {by:+}", change=_brightness(by)) for by in (3, -3, 10, -10)),
    Perturbation(name="contrast x1.05", change=lambda images, rng: _rounded(images * 1.05)),
    Perturbation(name="JPEG quality 95", change=_jpeg(95)),
    Perturbation(name="shift by 1 pixel", change=_shift_one_pixel),
    Perturbation(
        name="quarter turn",
        change=lambda images, rng: np.ascontiguousarray(np.rot90(images, axes=(1, 2))),
    ),
    Perturbation(name="mirrored", change=lambda images, rng: images[:, :, ::-1].copy()),
    Perturbation(name="two frames of a video", change=_video_frame, on_stored=True),
)


def measure_robustness(
    images: LabelledImages,
    memories: Sequence[MemorySettings],
    *,
    perturbations: Sequence[Perturbation] = PERTURBATIONS,
    seed: int = 0,
) -> tuple[RobustnessRecord, ...]:
    """Store images, look up perturbed ones, and count the hits.

    Args:
        images: Square images for the quarter turn; the memory holds as many.
        memories: Memories to measure.
        perturbations: Changes between storing and looking up.
        seed: Of noise, directions and brightness; the same for every memory.
    """
    answers = np.eye(int(images.labels.max()) + 1, dtype=np.float32)[images.labels]
    results = Prediction(probabilities=answers, confidence=np.ones(len(images), np.float32))
    records = []
    for perturbation in perturbations:
        rng = np.random.default_rng(seed)
        stored = perturbation.change(images.images, rng) if perturbation.on_stored else None
        asked = perturbation.change(images.images, rng)
        for settings in memories:
            memory = LocalMemory(replace(settings, max_entries=len(images)))
            memory.store(_NAMESPACE, images.images if stored is None else stored, results)
            found = memory.lookup(_NAMESPACE, asked)
            labels = [-1 if one is None else int(one.probabilities.argmax()) for one in found]
            hit = np.array(labels) >= 0
            records.append(
                RobustnessRecord(
                    key=memory_title(settings),
                    perturbation=perturbation.name,
                    n=len(images),
                    hits=int(hit.sum()),
                    wrong_label_hits=int((hit & (labels != images.labels)).sum()),
                )
            )
    return tuple(records)
