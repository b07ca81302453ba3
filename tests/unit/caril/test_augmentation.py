"""Augmentation: light and weather change, and only `rough` and `shifted` move the camera."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from bicameral.types import AGENT_CAMERA
from edge.preprocessing import tensor_from_canonical
from models.caril.askew_camera import Askew, homographies
from models.caril.augmentation import AUGMENTATIONS, AugmentationSettings, augment_batch
from models.networks.steering_classes import NETWORK_IMAGE
from sim.pocket.camera.view import CameraView
from sim.pocket.geometry import Rotation, Transform, Vector3

pytestmark = pytest.mark.unit


def _batch(count: int = 64) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (count, 64, 160, 3), dtype=np.uint8)


def _grey_levels(tensor: NDArray[np.float32]) -> NDArray[np.float32]:
    return (tensor * 0.25 + 0.45) * 255.0


def test_none_is_exactly_the_preprocessing_of_inference() -> None:
    images = _batch(4)
    changed = augment_batch(images, AUGMENTATIONS["none"], NETWORK_IMAGE, np.random.default_rng(0))
    expected = tensor_from_canonical(images, NETWORK_IMAGE).transpose(0, 2, 3, 1)
    np.testing.assert_allclose(changed, expected, atol=1e-5)


@pytest.mark.parametrize("name", ["daylight", "all_weather", "rough", "shifted"])
def test_a_seed_repeats_and_the_input_is_left_alone(name: str) -> None:
    images = _batch(16)
    before = images.copy()
    settings = AUGMENTATIONS[name]  # type: ignore[index]
    runs = [
        augment_batch(images, settings, NETWORK_IMAGE, np.random.default_rng(seed))
        for seed in (1, 1, 2)
    ]
    assert (runs[0] == runs[1]).all()
    assert (runs[0] != runs[2]).any()
    assert (images == before).all()


@pytest.mark.parametrize("name", ["daylight", "all_weather", "rough", "shifted"])
def test_pictures_stay_pictures(name: str) -> None:
    settings = AUGMENTATIONS[name]  # type: ignore[index]
    changed = augment_batch(_batch(), settings, NETWORK_IMAGE, np.random.default_rng(0))
    levels = _grey_levels(changed)
    assert changed.dtype == np.float32
    assert levels.min() > -0.01
    assert levels.max() < 255.01


def test_light_and_weather_neither_mirror_nor_move_a_picture() -> None:
    images = np.full((200, 64, 160, 3), 90, np.uint8)
    images[:, 20:50, 30:50] = 220
    changed = augment_batch(
        images, AUGMENTATIONS["all_weather"], NETWORK_IMAGE, np.random.default_rng(3)
    )
    inside = changed[:, 22:48, 32:48].mean(axis=(1, 2, 3))
    mirrored = changed[:, 22:48, 112:128].mean(axis=(1, 2, 3))
    assert (inside > mirrored).all()


def test_low_light_darkens_and_fog_is_thicker_far_away() -> None:
    grey = np.full((64, 64, 160, 3), 60, np.uint8)
    rng = np.random.default_rng(0)
    dark = AugmentationSettings(dark_share=1.0, darkest=0.15, noise_u8=0.0)
    levels = _grey_levels(augment_batch(grey, dark, NETWORK_IMAGE, rng)).mean(axis=(1, 2, 3))
    assert 8.5 < levels.min() < 20.0
    assert levels.max() < 60.5
    fog = AugmentationSettings(fog_share=1.0, fog_strongest=0.9)
    foggy = _grey_levels(augment_batch(grey, fog, NETWORK_IMAGE, rng)).mean(axis=(2, 3))
    assert (foggy[:, 0] > foggy[:, -1]).all()
    assert (foggy[:, -1] > 59.9).all()


def _column_and_row(
    ground_m: NDArray[np.float64], eye_m: tuple[float, float, float], rotation: Rotation
) -> NDArray[np.float64]:
    """Project points of the car's frame as the pocket simulator's camera does, to pixel indices."""
    camera = CameraView(
        width=AGENT_CAMERA.width,
        height=AGENT_CAMERA.height,
        fov_deg=AGENT_CAMERA.fov_deg,
        transform=Transform(Vector3(*eye_m), rotation),
    )
    forward, right, up = camera.axes @ (ground_m - camera.eye_m).T
    column = camera.width / 2.0 + camera.focal_px * right / forward
    row = camera.height / 2.0 - camera.focal_px * up / forward
    assert NETWORK_IMAGE.crop is not None
    left, top = NETWORK_IMAGE.crop[:2]
    return np.stack([(column - left) / 2.0 - 0.5, (row - top) / 2.0 - 0.5], axis=1)


@pytest.mark.parametrize(
    ("pitch", "yaw", "roll", "right", "up"),
    [
        (3.0, 0.0, 0.0, 0.0, 0.0),
        (0.0, 3.0, 0.0, 0.0, 0.0),
        (0.0, 0.0, 1.0, 0.0, 0.0),
        (0.0, 0.0, 0.0, 0.2, -0.2),
        (-2.0, 1.5, -0.7, -0.1, 0.15),
    ],
)
def test_a_moved_picture_shows_the_road_where_an_askew_camera_sees_it(
    pitch: float, yaw: float, roll: float, right: float, up: float
) -> None:
    ground = np.array([[x, y, 0.0] for x in (4.0, 8.0, 15.0, 40.0) for y in (-3.0, 0.0, 2.0)])
    eye = (AGENT_CAMERA.x_m, 0.0, AGENT_CAMERA.z_m)
    straight = _column_and_row(ground, eye, Rotation(AGENT_CAMERA.pitch_deg))
    seen = _column_and_row(
        ground,
        (eye[0], right, eye[2] + up),
        Rotation(AGENT_CAMERA.pitch_deg + pitch, yaw, roll),
    )
    askew = Askew(
        pitch_deg=np.full(1, pitch),
        yaw_deg=np.full(1, yaw),
        roll_deg=np.full(1, roll),
        right_m=np.full(1, right),
        up_m=np.full(1, up),
    )
    moved = (
        np.column_stack([straight, np.ones(len(ground))])
        @ homographies(askew, AGENT_CAMERA, NETWORK_IMAGE)[0].T
    )
    np.testing.assert_allclose(moved[:, :2] / moved[:, 2:], seen, atol=1e-9)


def test_a_camera_as_it_should_be_moves_nothing() -> None:
    zero = np.zeros(3)
    nothing = Askew(pitch_deg=zero, yaw_deg=zero, roll_deg=zero, right_m=zero, up_m=zero)
    matrices = homographies(nothing, AGENT_CAMERA, NETWORK_IMAGE)
    np.testing.assert_allclose(matrices, np.tile(np.eye(3), (3, 1, 1)), atol=1e-12)


def test_shifted_moves_both_pictures_of_a_frame_alike_by_up_to_eight_pixels() -> None:
    images = np.zeros((40, 64, 160, 6), np.uint8)
    images[:, 30, 80] = 255
    settings = AugmentationSettings(shift_px=8)
    changed = augment_batch(images, settings, NETWORK_IMAGE, np.random.default_rng(0))
    bright = changed.reshape(40, 64, 160, 2, 3) > 1.0
    assert (bright[:, :, :, 0] == bright[:, :, :, 1]).all()
    _, rows, columns = bright[..., 0, 0].nonzero()
    assert len(rows) == 40
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (22, 38, 72, 88)


def test_rough_moves_some_pictures_and_leaves_the_others_where_they_were() -> None:
    images = np.full((100, 64, 160, 3), 90, np.uint8)
    images[:, 20:40, 70:90] = 220
    settings = AugmentationSettings(
        askew_share=0.5, camera_turn_deg=3.0, camera_roll_deg=1.0, camera_shift_m=0.2
    )
    changed = augment_batch(images, settings, NETWORK_IMAGE, np.random.default_rng(0))
    still = np.isclose(_grey_levels(changed), images, atol=0.01).all(axis=(1, 2, 3))
    assert 30 < still.sum() < 70
    columns = np.arange(160)[None, :]
    weight = (_grey_levels(changed)[:, 20:40, :, 0] - 90.0).sum(axis=1).clip(0.0)
    centre = (weight * columns).sum(axis=1) / weight.sum(axis=1)
    # 3 degrees at a focal length of 56 pixels, and what a sideways shift adds.
    assert 2.0 < np.abs(centre - 79.5).max() < 8.0


def test_patches_cover_a_part_of_some_pictures() -> None:
    images = np.full((300, 64, 160, 3), 90, np.uint8)
    settings = AugmentationSettings(patch_share=0.3)
    changed = _grey_levels(augment_batch(images, settings, NETWORK_IMAGE, np.random.default_rng(0)))
    covered = (np.abs(changed - 90.0) > 0.5).any(axis=3).mean(axis=(1, 2))
    assert 0.2 < (covered > 0.0).mean() < 0.4
    assert covered.max() <= 2 * 30 * 60 / (64 * 160)
