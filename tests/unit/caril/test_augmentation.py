"""Augmentation: light and weather change, geometry never does."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.preprocessing import tensor_from_canonical
from models.caril.augmentation import AUGMENTATIONS, AugmentationSettings, augment_batch
from models.networks.steering_classes import NETWORK_IMAGE

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


@pytest.mark.parametrize("name", ["daylight", "all_weather"])
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


@pytest.mark.parametrize("name", ["daylight", "all_weather"])
def test_pictures_stay_pictures(name: str) -> None:
    settings = AUGMENTATIONS[name]  # type: ignore[index]
    changed = augment_batch(_batch(), settings, NETWORK_IMAGE, np.random.default_rng(0))
    levels = _grey_levels(changed)
    assert changed.dtype == np.float32
    assert levels.min() > -0.01
    assert levels.max() < 255.01


def test_nothing_is_ever_mirrored_or_moved() -> None:
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
