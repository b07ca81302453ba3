"""Pre-processing: the same bits everywhere, and pictures that do not fit are refused."""

from __future__ import annotations

import tracemalloc

import cv2
import numpy as np
import pytest

from bicameral.errors import DataError
from edge.driver_model import one_hot_from_commands
from edge.preprocessing import (
    canonical_from_picture,
    picture_statistics,
    resize_area_int,
    tensor_from_canonical,
)
from edge.sidecar import ImageSpec

pytestmark = pytest.mark.unit

SPEC = ImageSpec(
    height=64,
    width=160,
    color="RGB",
    crop=(0, 32, 320, 160),
    scale=1 / 255,
    mean=(0.45, 0.5, 0.4),
    std=(0.25, 0.2, 0.3),
)


def _picture(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (160, 320, 3), dtype=np.uint8)


def test_the_camera_picture_is_cropped_and_halved() -> None:
    picture = _picture()
    canonical = canonical_from_picture(picture, SPEC)
    blocks = picture[32:].reshape(64, 2, 160, 2, 3).astype(int).sum(axis=(1, 3))
    assert (canonical == (blocks + 2) // 4).all()
    assert canonical.flags.c_contiguous


def test_it_agrees_with_opencv_where_opencv_is_exact() -> None:
    picture = _picture(1)
    expected = cv2.resize(picture[32:], (160, 64), interpolation=cv2.INTER_AREA)
    assert (canonical_from_picture(picture, SPEC) == expected).all()


def test_batches_are_pictures_one_by_one() -> None:
    pictures = np.stack([_picture(seed) for seed in range(3)])
    batch = canonical_from_picture(pictures, SPEC)
    assert all(
        (batch[index] == canonical_from_picture(pictures[index], SPEC)).all() for index in range(3)
    )


def test_a_picture_of_few_long_rows_takes_little_memory_and_gives_the_same_bits() -> None:
    wide = np.random.default_rng(2).integers(0, 256, (3, 90_000, 1), np.uint8)
    tracemalloc.start()
    canonical = resize_area_int(wide, 28, 28)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 2 * wide.nbytes
    upright = resize_area_int(wide.swapaxes(0, 1), 28, 28)
    assert (canonical == upright.swapaxes(0, 1)).all()


def test_a_ratio_that_is_no_integer_weighs_pixels_by_their_area() -> None:
    row = np.array([0, 90, 240], np.uint8)[None, :, None]
    # Output pixel 0 covers pixel 0 and half of pixel 1: (0 + 45) / 1.5 = 30.
    assert resize_area_int(row, 1, 2)[0, :, 0].tolist() == [30, 190]


def test_a_photograph_comes_down_to_the_same_exact_means() -> None:
    photograph = np.random.default_rng(3).integers(0, 256, (1500, 2100, 3), dtype=np.uint8)
    sums = photograph.reshape(30, 50, 28, 75, 3).astype(np.int64).sum(axis=(1, 3))
    assert (resize_area_int(photograph, 30, 28) == (sums + 1875) // 3750).all()


def test_no_pictures_come_down_to_no_pictures() -> None:
    assert resize_area_int(np.empty((0, 50, 40, 3), np.uint8), 28, 28).shape == (0, 28, 28, 3)


def test_the_tensor_is_scaled_per_channel() -> None:
    image = np.zeros((1, 64, 160, 3), np.uint8)
    image[..., 1] = 255
    tensor = tensor_from_canonical(image, SPEC)
    assert tensor.shape == (1, 3, 64, 160)
    assert tensor.dtype == np.float32
    np.testing.assert_allclose(tensor[0, :, 0, 0], [-1.8, 2.5, -0.4 / 0.3], rtol=1e-6)


def test_inverting_happens_on_the_canonical_picture() -> None:
    inverted = SPEC.model_copy(update={"invert": True})
    picture = _picture()
    total = canonical_from_picture(picture, SPEC) + canonical_from_picture(picture, inverted)
    assert (total == 255).all()


def test_statistics_are_mean_and_standard_deviation() -> None:
    image = canonical_from_picture(_picture(), SPEC)
    assert picture_statistics(image) == pytest.approx((image.mean(), image.std()), rel=1e-9)
    assert picture_statistics(np.full((4, 4, 3), 255, np.uint8)) == (255.0, 0.0)


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (np.zeros((160, 320, 3), np.float32), "float32"),
        (np.zeros((160, 320, 4), np.uint8), r"expected \(\.\.\., height, width, 3\)"),
        (np.zeros((120, 320, 3), np.uint8), "smaller than the model's crop"),
    ],
)
def test_pictures_that_do_not_fit_are_refused(picture: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message):
        canonical_from_picture(picture, SPEC)


def test_commands_become_columns_and_lane_changes_follow_the_lane() -> None:
    one_hot = one_hot_from_commands(np.array([1, 2, 3, 4, 5, 6], np.int8))
    assert one_hot.argmax(axis=1).tolist() == [1, 2, 3, 0, 0, 0]
    assert (one_hot.sum(axis=1) == 1).all()
    for unknown in (0, 7, -1):
        with pytest.raises(DataError, match="unknown navigation commands"):
            one_hot_from_commands(np.array([4, unknown]))
