"""Five ways in which a picture gets worse, at three strengths each, on canonical uint8 images.

After Hendrycks & Dietterich, *Benchmarking neural network robustness to common corruptions and
perturbations* (arXiv 1903.12261): the same kinds of corruption, with strengths for small pictures
of single objects. The weakest strength of each is what a good camera setup still does to a picture,
the middle one what a careless setup does, and the strongest one takes so much that people begin to
err. Networks are trained with shifts of one pixel and without any of the others.

The draws depend on seed, corruption, strength and the place of an image in its array only, so that
every classifier sees the same pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from bicameral.errors import ConfigError, look_up

Images = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class Corruption:
    """One way in which pictures get worse.

    Attributes:
        apply: Corrupts images (N, H, W, C) uint8 by a strength, with a generator for its draws.
        unit: What the strengths are.
        strengths: Weak, middle and strong.
        why: What it stands for, and why these strengths.
    """

    apply: Callable[[Images, float, np.random.Generator], Images]
    unit: str
    strengths: tuple[float, float, float]
    why: str


def corrupt(images: Images, name: str, level: int, seed: int = 0) -> Images:
    """Return corrupted copies of canonical images.

    Args:
        images: (N, H, W, C) uint8.
        name: Name in `CORRUPTIONS`.
        level: Index into its strengths, 0 (weak) to 2 (strong).
        seed: Seed of the draws.

    Returns:
        (N, H, W, C) uint8, the same for the same arguments.

    Raises:
        UserError: If there is no such corruption or level.
    """
    corruption = look_up("corruption", name, CORRUPTIONS)
    if not 0 <= level < len(corruption.strengths):
        raise ConfigError(f"the level of {name} is {level}, expected 0, 1 or 2")
    rng = np.random.default_rng([seed, level, *name.encode()])
    return corruption.apply(images, corruption.strengths[level], rng)


def mirrored(images: Images) -> Images:
    """Return images (N, H, W, C) mirrored left to right."""
    return np.ascontiguousarray(images[:, :, ::-1])


def conditions() -> tuple[tuple[str, int], ...]:
    """Return every corruption with each of its levels, in the order of the tables."""
    return tuple((name, level) for name in CORRUPTIONS for level in range(3))


def condition_name(name: str, level: int) -> str:
    """Write a corruption with its strength, such as ``noise 10``."""
    return f"{name} {CORRUPTIONS[name].strengths[level]:g}"


def _add_noise(images: Images, deviation: float, rng: np.random.Generator) -> Images:
    noise = rng.standard_normal(images.shape, np.float32)
    return _rounded(images + np.float32(deviation) * noise)


def _blur(images: Images, sigma_px: float, rng: np.random.Generator) -> Images:
    # A zero size lets OpenCV choose one that holds the whole bell.
    def blurred(image: Images, _: int) -> Images:
        return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma_px), np.uint8)

    return _each(images, blurred)


def _reduce_contrast(images: Images, factor: float, rng: np.random.Generator) -> Images:
    mean = images.mean(axis=(1, 2), keepdims=True, dtype=np.float64)
    return _rounded(mean + factor * (images - mean))


def _shift(images: Images, distance_px: float, rng: np.random.Generator) -> Images:
    """Move every image in one of eight directions; what comes in is black."""
    directions = np.array([(x, y) for x in (-1, 0, 1) for y in (-1, 0, 1) if x or y], np.float64)
    moves = distance_px * directions[rng.integers(len(directions), size=len(images))]

    def moved(image: Images, index: int) -> Images:
        x, y = moves[index]
        return _warp(image, np.array([[1.0, 0.0, x], [0.0, 1.0, y]]))

    return _each(images, moved)


def _rotate(images: Images, angle_deg: float, rng: np.random.Generator) -> Images:
    """Turn every image about its middle to the left or to the right; what comes in is black."""
    angles = angle_deg * rng.choice((-1.0, 1.0), size=len(images))
    height, width = images.shape[1:3]
    middle = ((width - 1) / 2.0, (height - 1) / 2.0)

    def turned(image: Images, index: int) -> Images:
        matrix = cv2.getRotationMatrix2D(middle, float(angles[index]), 1.0)
        return _warp(image, np.asarray(matrix, np.float64))

    return _each(images, turned)


def _warp(image: Images, matrix: NDArray[np.float64]) -> Images:
    height, width = image.shape[:2]
    return np.asarray(
        cv2.warpAffine(
            image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT
        ),
        np.uint8,
    )


def _each(images: Images, change: Callable[[Images, int], Images]) -> Images:
    """Change image by image; OpenCV drops the axis of a single channel."""
    result = np.empty_like(images)
    for index, image in enumerate(images):
        result[index] = np.asarray(change(image, index)).reshape(image.shape)
    return result


def _rounded(values: NDArray[np.floating]) -> Images:
    return np.asarray(np.clip(np.rint(values), 0, 255), np.uint8)


#: Corruptions by name, in the order of the tables.
CORRUPTIONS: dict[str, Corruption] = {
    "noise": Corruption(
        apply=_add_noise,
        unit="standard deviation, grey levels",
        strengths=(10.0, 25.0, 50.0),
        why="Gaussian noise of every pixel on its own: a sensor in good, dim and very little light",
    ),
    "blur": Corruption(
        apply=_blur,
        unit="sigma, pixels",
        strengths=(0.5, 1.0, 1.5),
        why="a Gaussian blur: a lens slightly and clearly out of focus, and at 1.5 pixels of 28 "
        "about what enlarging a picture of a third of the size gives",
    ),
    "contrast": Corruption(
        apply=_reduce_contrast,
        unit="factor about the image's mean",
        strengths=(0.9, 0.75, 0.6),
        why="haze or a dirty lens: black turns grey. At 0.6 a network of the pool still knew "
        "44 % of 1,500 validation images, at 0.5 only 32 %",
    ),
    "shift": Corruption(
        apply=_shift,
        unit="pixels",
        strengths=(1.0, 2.0, 4.0),
        why="in one of eight directions by lot: a loose crop; one pixel is what training had, four "
        "cut off a seventh of the picture",
    ),
    "rotation": Corruption(
        apply=_rotate,
        unit="degrees",
        strengths=(5.0, 15.0, 30.0),
        why="to the left or right by lot: a camera held by hand, a picture taken in passing, and "
        "an object that lies as it fell",
    ),
}
