"""The corruptions that robustness is measured with."""

from __future__ import annotations

import numpy as np
import pytest

from bicameral.errors import ConfigError, UserError
from models.data.corruptions import CORRUPTIONS, condition_name, conditions, corrupt


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    """A bright square on black, and the same in three colours would be no other case."""
    images = np.zeros((40, 28, 28, 1), np.uint8)
    images[:, 8:20, 8:20] = 200
    return images


def change(images: np.ndarray, name: str, level: int) -> float:
    return float(np.abs(corrupt(images, name, level).astype(float) - images).mean())


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_stronger_corruption_changes_more(images: np.ndarray, name: str) -> None:
    weak, middle, strong = (change(images, name, level) for level in range(3))
    assert 0.0 < weak < middle < strong


@pytest.mark.parametrize(("name", "level"), conditions())
def test_the_same_seed_gives_the_same_pixels_and_leaves_the_originals(
    images: np.ndarray, name: str, level: int
) -> None:
    before = images.copy()
    once, again = corrupt(images, name, level, seed=3), corrupt(images, name, level, seed=3)
    assert once.dtype == np.uint8
    assert once.shape == images.shape
    np.testing.assert_array_equal(once, again)
    np.testing.assert_array_equal(images, before)


@pytest.mark.parametrize("name", ["noise", "shift", "rotation"])
def test_another_seed_gives_other_draws(images: np.ndarray, name: str) -> None:
    assert (corrupt(images, name, 1, seed=0) != corrupt(images, name, 1, seed=1)).any()


@pytest.mark.parametrize(("name", "level"), conditions())
def test_an_image_does_not_depend_on_those_behind_it(
    images: np.ndarray, name: str, level: int
) -> None:
    few = corrupt(images[:7], name, level)
    np.testing.assert_array_equal(few, corrupt(images, name, level)[:7])


def test_a_shift_moves_by_its_distance_and_brings_in_black(images: np.ndarray) -> None:
    shifted = corrupt(images, "shift", 2)
    for image in shifted:
        rows, columns = (np.flatnonzero(image[..., 0].any(axis=axis)) for axis in (1, 0))
        moved = {abs(int(rows[0]) - 8), abs(int(columns[0]) - 8)}
        assert moved <= {0, 4}
        assert 4 in moved
        assert image.sum() == images[0].sum()


def test_a_rotation_turns_about_the_middle_in_both_directions() -> None:
    bar = np.zeros((40, 29, 29, 1), np.uint8)
    bar[:, 14, 4:25] = 255
    turned = corrupt(bar, "rotation", 2)
    assert (turned[:, 14, 14] > 200).all()
    left_end_up = turned[:, :14, :10].sum(axis=(1, 2, 3)) > turned[:, 15:, :10].sum(axis=(1, 2, 3))
    assert 0 < left_end_up.sum() < len(bar)


def test_less_contrast_keeps_the_mean(images: np.ndarray) -> None:
    flat = corrupt(images, "contrast", 2)
    assert flat.mean() == pytest.approx(images.mean(), abs=0.5)
    assert int(np.ptp(flat)) == pytest.approx(0.6 * 200, abs=1)


def test_colour_pictures_keep_their_channels() -> None:
    colour = np.random.default_rng(0).integers(0, 256, (3, 12, 10, 3), np.uint8)
    for name, level in conditions():
        assert corrupt(colour, name, level).shape == colour.shape


def test_wrong_names_and_levels_are_answered_with_what_there_is(images: np.ndarray) -> None:
    with pytest.raises(UserError, match="Did you mean 'noise'"):
        corrupt(images, "nose", 0)
    with pytest.raises(ConfigError, match="expected 0, 1 or 2"):
        corrupt(images, "blur", 3)


def test_a_condition_is_called_after_its_strength() -> None:
    assert condition_name("blur", 0) == "blur 0.5"
    assert len({condition_name(*one) for one in conditions()}) == 15
