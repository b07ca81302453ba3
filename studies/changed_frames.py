"""Frames that show what an earlier one showed, as a camera delivers them: noise, light, shifts."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from models.data.dataset import LabelledImages
from models.measurement.streams import Stream

Images = NDArray[np.uint8]
#: Changes a batch of images; draws from the generator.
Change = Callable[[Images, np.random.Generator], Images]

#: (rows, columns) by which a shifted image is displaced.
DISPLACEMENTS = ((0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1))


def _rounded(values: NDArray[np.floating]) -> Images:
    return np.asarray(np.clip(np.rint(values), 0, 255), np.uint8)


def _noise(sd_u8: float) -> Change:
    return lambda images, rng: _rounded(images + rng.normal(0.0, sd_u8, images.shape))


def _brightness(levels: float) -> Change:
    return lambda images, rng: _rounded(images + float(levels))


def _noise_and_brightness(images: Images, rng: np.random.Generator) -> Images:
    brightness = rng.uniform(-3.0, 3.0, (len(images), 1, 1, 1))
    return _rounded(images + brightness + rng.normal(0.0, 4.0, images.shape))


def _shift(images: Images, rng: np.random.Generator) -> Images:
    """Move each image by one pixel in one of the eight directions; the edge is repeated."""
    moved = np.empty_like(images)
    directions = rng.integers(len(DISPLACEMENTS), size=len(images))
    for number, displacement in enumerate(DISPLACEMENTS):
        moved[directions == number] = displaced(images[directions == number], displacement)
    return moved


def displaced(images: Images, displacement: tuple[int, int]) -> Images:
    """Move images (N, H, W, C) down and right by one pixel at most, repeating their edges."""
    down, right = displacement
    rows = np.clip(np.arange(images.shape[1]) - down, 0, images.shape[1] - 1)
    columns = np.clip(np.arange(images.shape[2]) - right, 0, images.shape[2] - 1)
    return np.ascontiguousarray(images[:, rows][:, :, columns])


def _jitter(images: Images, rng: np.random.Generator) -> Images:
    """Move each image by a fraction of a pixel, as a camera held still does, and add noise."""
    moved = np.empty_like(images)
    moves = rng.normal(0.0, 0.3, (len(images), 2))
    height, width = images.shape[1:3]
    for image, target, (x, y) in zip(images, moved, moves, strict=True):
        matrix = np.array([[1.0, 0.0, x], [0.0, 1.0, y]])
        warped = cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
        target[:] = np.asarray(warped, np.uint8).reshape(image.shape)
    return _noise(2)(moved, rng)


#: What a camera at rest does to the frames of one scene.
VIDEO_CHANGES: Mapping[str, Change] = {
    **{f"noise sd {sd}": _noise(sd) for sd in (1, 2, 4)},
    **{f"brightness {by:+}": _brightness(by) for by in (3, -3)},
    "noise sd 4, brightness within ±3": _noise_and_brightness,
}

#: What a camera held by a steady hand does, frame after frame.
JITTER_CHANGES: Mapping[str, Change] = {
    f"jitter 0.3 pixels, noise sd 2 ({number})": _jitter for number in range(1, 7)
}

#: What a camera that trembles does.
SHIFT_CHANGES: Mapping[str, Change] = {
    "shift by 1 pixel": _shift,
    "shift by 1 pixel, noise sd 2": lambda images, rng: _noise(2)(_shift(images, rng), rng),
}


def video_stream(
    name: str, images: LabelledImages, changes: Mapping[str, Change], seed: int
) -> Stream:
    """Let every original be followed by one frame of itself for each change, in their order.

    Args:
        name: Name of the stream.
        images: The originals.
        changes: What happens to the frames, by name.
        seed: Of everything random in them; no change depends on another's randomness.
    """
    variants = [images.images] + [
        change(images.images, np.random.default_rng([seed, index]))
        for index, change in enumerate(changes.values())
    ]
    frames = np.stack(variants, axis=1).reshape(-1, *images.images.shape[1:])
    return Stream(
        name=name,
        duplicates=float(len(changes)),
        frames=LabelledImages(images=frames, labels=np.repeat(images.labels, len(variants))),
        order=np.arange(len(frames)),
        variants=len(variants),
    )
