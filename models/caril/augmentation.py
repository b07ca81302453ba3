"""Changes of light, weather, focus and mounting, drawn anew for every picture of every batch.

There is no horizontal flip, and there must be none. A mirrored street is left-hand traffic: at a
junction, with no markings in view, the network could no longer tell on which side it drives, and
would average a tight and a wide turn. In a measured pair of trainings, equal but for the flip, the
flipped one finished 3 of 12 junction routes and the other 12, while their offline errors were
alike.

Only `rough` moves pictures, as a camera that is mounted askew would see them. The label of a path
network is the road in the car's frame, and that is where it was, however the camera looks at it:
the moved picture with the same label is a frame as a car with such a camera would have recorded it.
The steering variants do not move pictures. Their label is what the expert would do, a choice made
for the state that a picture of a straight camera shows, and a network that sees a camera turned by
3 degrees as a car turned by 3 degrees is meant to steer back.

For the path, too, a camera turned sideways looks like a car turned the other way: nothing of the
car is in view. So a network that saw each picture askew would believe its own drift no more than
half. `askew_share` leaves the others straight, and what cannot be told apart shows as a larger
scale of the error.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from bicameral.types import AGENT_CAMERA
from edge.preprocessing import affine_from_spec
from edge.sidecar import ImageSpec
from models.caril.askew_camera import Askew, homographies

AugmentationName = Literal["none", "daylight", "all_weather", "rough", "shifted"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AugmentationSettings:
    """Ranges and shares of the changes.

    Attributes:
        exposure: Gain is drawn log-uniformly from [1 / exposure, exposure].
        gamma: Likewise for the exponent.
        contrast: Contrast about mid-grey is multiplied by 1 +- contrast.
        tint: Each colour channel is multiplied by 1 +- tint.
        blur_share: Share of pictures that are slightly out of focus.
        dark_share: Share of pictures in low light.
        darkest: Lowest gain in low light, drawn log-uniformly up to 1.
        noise_u8: Largest standard deviation of the sensor noise in low light.
        fog_share: Share of pictures in fog.
        fog_strongest: Largest opacity of the fog at the top of the picture, where the road is far.
        askew_share: Share of pictures of a camera that is mounted askew.
        camera_turn_deg: Its largest pitch and yaw, either way.
        camera_roll_deg: Its largest roll.
        camera_shift_m: How far it is moved sideways and up at most.
        patch_share: Share of pictures in which one or two rectangles are covered.
        shift_px: Pictures are moved by up to this much, either way: a camera that is turned a
            little, whose labels, of what is seen, stay right.
    """

    exposure: float = 1.0
    gamma: float = 1.0
    contrast: float = 0.0
    tint: float = 0.0
    blur_share: float = 0.0
    dark_share: float = 0.0
    darkest: float = 1.0
    noise_u8: float = 0.0
    fog_share: float = 0.0
    fog_strongest: float = 0.0
    askew_share: float = 0.0
    camera_turn_deg: float = 0.0
    camera_roll_deg: float = 0.0
    camera_shift_m: float = 0.0
    patch_share: float = 0.0
    shift_px: int = 0


_ALL_WEATHER = AugmentationSettings(
    exposure=1.35,
    gamma=1.5,
    contrast=0.25,
    tint=0.1,
    blur_share=0.15,
    dark_share=0.4,
    darkest=0.15,
    noise_u8=8.0,
    fog_share=0.25,
    fog_strongest=0.9,
)

#: Least and largest height and width of the covered rectangles, pixels of the network's picture.
_PATCH_ROWS = (8, 30)
_PATCH_COLUMNS = (16, 60)

#: `daylight` keeps a network that never saw darkness; `all_weather` is for the second network and
#: for the control that it must beat; `rough` is for path networks, `shifted` for pace networks,
#: which need the colours of lights.
AUGMENTATIONS: dict[AugmentationName, AugmentationSettings] = {
    "none": AugmentationSettings(),
    "daylight": AugmentationSettings(
        exposure=1.35, gamma=1.25, contrast=0.2, tint=0.06, blur_share=0.1
    ),
    "all_weather": _ALL_WEATHER,
    "shifted": AugmentationSettings(
        exposure=1.35, gamma=1.25, contrast=0.2, tint=0.06, blur_share=0.05, shift_px=8
    ),
    "rough": replace(
        _ALL_WEATHER,
        askew_share=0.5,
        camera_turn_deg=3.0,
        camera_roll_deg=1.0,
        camera_shift_m=0.2,
        patch_share=0.3,
    ),
}


def augment_batch(
    images: NDArray[np.uint8],
    settings: AugmentationSettings,
    spec: ImageSpec,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """Change a batch and scale it for the network.

    Args:
        images: (N, H, W, 3) uint8, canonical pictures of `AGENT_CAMERA`; not modified. Or (N, H, W,
            6), where an earlier picture follows: both are changed alike.
        settings: What to do.
        spec: Scaling of the network's input.
        rng: The only source of randomness.

    Returns:
        Likewise float32, scaled as `edge.preprocessing.tensor_from_canonical` does, with channels
        last.
    """
    pixels = spec.width * images.shape[-1] // spec.channels
    if settings.shift_px:
        images = _shift(images, settings.shift_px, rng)
    if settings.askew_share:
        images = _mount_askew(images, settings, spec, rng)
    changed = np.empty(images.shape, np.float32)
    # Every dark picture gets another window of one strip of noise: drawing it is what costs.
    noise = rng.standard_normal(2 * images[0].size, np.float32)
    tables = _light_tables(len(images), settings, rng)
    for image, table, out in zip(images, tables, changed, strict=True):
        blurred = rng.random() < settings.blur_share
        cv2.LUT(cv2.GaussianBlur(image, (3, 3), 0) if blurred else image, table, dst=out)
        if rng.random() < settings.fog_share:
            _add_fog(out, settings, rng)
        if rng.random() < settings.dark_share:
            _darken(out, noise, settings, rng)
        if settings.patch_share > 0.0 and rng.random() < settings.patch_share:
            _cover(out, noise, rng)
    # Channels vary fastest, and numpy is slow along so short an axis: whole rows instead.
    rows = changed.reshape(*changed.shape[:2], -1)
    if settings.tint > 0.0:
        tint = rng.uniform(1.0 - settings.tint, 1.0 + settings.tint, (len(images), 1, 3))
        rows *= np.tile(tint.astype(np.float32), pixels)
    np.clip(rows, 0.0, 255.0, out=rows)
    gain, offset = affine_from_spec(spec)
    rows *= np.tile(gain, pixels)
    rows += np.tile(offset, pixels)
    return changed


def _shift(images: NDArray[np.uint8], most_px: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return the pictures moved up or down and sideways; what comes in looks like the border."""
    height, width = images.shape[1:3]
    padded = np.pad(images, ((0, 0), (most_px, most_px), (most_px, most_px), (0, 0)), "edge")
    tops, lefts = rng.integers(0, 2 * most_px, (2, len(images)), endpoint=True)
    moved = np.empty_like(images)
    for picture, top, left, out in zip(padded, tops, lefts, moved, strict=True):
        out[:] = picture[top : top + height, left : left + width]
    return moved


def _mount_askew(
    images: NDArray[np.uint8],
    settings: AugmentationSettings,
    spec: ImageSpec,
    rng: np.random.Generator,
) -> NDArray[np.uint8]:
    """Return the pictures as cameras mounted a little askew would see them, some unchanged.

    What lies outside of a picture looks like its border.
    """
    count = len(images)
    turn, roll, shift = (
        settings.camera_turn_deg,
        settings.camera_roll_deg,
        settings.camera_shift_m,
    )
    askew = Askew(
        pitch_deg=rng.uniform(-turn, turn, count),
        yaw_deg=rng.uniform(-turn, turn, count),
        roll_deg=rng.uniform(-roll, roll, count),
        right_m=rng.uniform(-shift, shift, count),
        up_m=rng.uniform(-shift, shift, count),
    )
    matrices = homographies(askew, AGENT_CAMERA, spec)
    moved = images.copy()
    size = (spec.width, spec.height)
    for place in np.flatnonzero(rng.random(count) < settings.askew_share):
        moved[place] = cv2.warpPerspective(
            images[place], matrices[place], size, borderMode=cv2.BORDER_REPLICATE
        )
    return moved


def _light_tables(
    count: int, settings: AugmentationSettings, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return (count, 256) tables: grey level in, grey level after gamma, exposure and contrast."""
    level = np.arange(256, dtype=np.float32)[None, :] / 255.0
    exposure = _draw_log_uniform(rng, 1.0 / settings.exposure, settings.exposure, count)
    gamma = _draw_log_uniform(rng, 1.0 / settings.gamma, settings.gamma, count)
    contrast = rng.uniform(1.0 - settings.contrast, 1.0 + settings.contrast, (count, 1))
    table = (level**gamma * exposure - 0.5) * contrast + 0.5
    return np.asarray(np.clip(table, 0.0, 1.0) * 255.0, np.float32)


def _draw_log_uniform(
    rng: np.random.Generator, low: float, high: float, count: int
) -> NDArray[np.float64]:
    return np.exp(rng.uniform(np.log(low), np.log(high), (count, 1)))


def _add_fog(
    image: NDArray[np.float32], settings: AugmentationSettings, rng: np.random.Generator
) -> None:
    """Blend towards grey, more at the top of the picture than at the bottom, in place."""
    grey = np.float32(rng.uniform(110.0, 225.0))
    strength = rng.uniform(0.1, settings.fog_strongest)
    fall = rng.uniform(0.5, 2.5)
    height = (np.arange(image.shape[0]) + 0.5) / image.shape[0]
    opacity = (strength * (1.0 - height) ** fall).astype(np.float32)[:, None, None]
    image += (grey - image) * opacity


def _darken(
    image: NDArray[np.float32],
    noise: NDArray[np.float32],
    settings: AugmentationSettings,
    rng: np.random.Generator,
) -> None:
    """Low light in place: less signal, sensor noise, and rounding to the sensor's 256 levels."""
    image *= np.float32(np.exp(rng.uniform(np.log(settings.darkest), 0.0)))
    noise_u8 = np.float32(rng.uniform(0.0, settings.noise_u8))
    start = int(rng.integers(noise.size - image.size + 1))
    image += noise[start : start + image.size].reshape(image.shape) * noise_u8
    np.rint(image, out=image)


def _cover(
    image: NDArray[np.float32], noise: NDArray[np.float32], rng: np.random.Generator
) -> None:
    """Put one or two rectangles of one grey, or of noise, before the picture, in place."""
    height, width, channels = image.shape
    for _ in range(int(rng.integers(1, 3))):
        rows, columns = (
            int(rng.integers(*span, endpoint=True)) for span in (_PATCH_ROWS, _PATCH_COLUMNS)
        )
        top, left = int(rng.integers(height - rows)), int(rng.integers(width - columns))
        patch = image[top : top + rows, left : left + columns]
        patch[:] = rng.uniform(0.0, 255.0)
        if rng.random() < 0.5:
            start = int(rng.integers(noise.size - patch.size + 1))
            patch += noise[start : start + patch.size].reshape(rows, columns, channels) * 60.0
