"""The tolerance of a memory: from distances between training images of different classes."""

from __future__ import annotations

import numpy as np
import pytest

from bicameral.errors import DataError
from models.cascade.tolerance import choose_tolerance, nearest_of_another_class
from models.data.dataset import LabelledImages

pytestmark = pytest.mark.unit


def _labelled(images: np.ndarray, labels: list[int] | np.ndarray) -> LabelledImages:
    return LabelledImages(
        images=np.ascontiguousarray(images, np.uint8), labels=np.array(labels, np.int64)
    )


def _greys(levels: list[int], labels: list[int]) -> LabelledImages:
    return _labelled(np.array(levels)[:, None, None, None] * np.ones((1, 4, 4, 1)), labels)


@pytest.mark.parametrize("channels", [1, 3])
def test_distances_are_those_of_comparing_all_pairs(channels: int) -> None:
    rng = np.random.default_rng(0)
    base = rng.integers(0, 200, (1, 6, 6, channels))
    images = base + rng.integers(0, 40, (600, 1, 1, 1)) + rng.integers(0, 9, (600, 6, 6, channels))
    labels = rng.integers(0, 3, 600)
    flat = images.reshape(600, -1)
    pairs = np.abs(flat[:, None] - flat[None]).mean(axis=2)
    pairs[labels[:, None] == labels[None]] = np.inf
    expected = pairs.min(axis=1)
    radius = float(np.sort(expected)[300])
    expected[expected > radius] = np.inf
    assert 0 < np.isfinite(expected).sum() < 600
    np.testing.assert_allclose(
        nearest_of_another_class(_labelled(images, labels), radius), expected
    )


def test_the_tolerance_stays_below_the_nearest_image_of_another_class() -> None:
    assert choose_tolerance(_greys([10, 11, 16, 60], [0, 0, 1, 1])) == 4.0


def test_classes_farther_apart_than_the_radius_give_its_share() -> None:
    assert choose_tolerance(_greys([0, 100], [0, 1])) == 6.0


def test_equal_images_with_different_labels_do_not_count() -> None:
    assert choose_tolerance(_greys([50, 50, 57], [0, 1, 1])) == 5.5


def test_one_class_has_no_tolerance() -> None:
    with pytest.raises(DataError, match="fewer than two classes"):
        choose_tolerance(_greys([1, 2], [3, 3]))
