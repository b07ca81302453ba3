"""Hits on images never seen: the published keys' rates are reproduced, verification ends them."""

from __future__ import annotations

import numpy as np
import pytest

from edge.memory.settings import MemorySettings
from models.data.dataset import LabelledImages
from models.data.sources import load_dataset
from studies.memory_keys import count_false_hits

pytestmark = pytest.mark.studies


@pytest.mark.parametrize(
    ("key", "hits", "other_class"),
    [("exact", 0, 0), ("dhash_unverified", 3, 1), ("dhash_verified", 1, 0)],
)
def test_the_first_image_of_a_key_answers_for_those_that_follow(
    key: str, hits: int, other_class: int
) -> None:
    """Of four images that share every difference hash, the second is near the first."""
    levels = np.array([10, 12, 90, 200], np.uint8)
    images = LabelledImages(
        images=np.ascontiguousarray(np.broadcast_to(levels[:, None, None, None], (4, 9, 9, 1))),
        labels=np.array([0, 0, 1, 0]),
    )
    assert count_false_hits(images, MemorySettings(key=key)) == (hits, other_class)


@pytest.fixture(scope="module")
def fashion_test() -> LabelledImages:
    return load_dataset("fashion-mnist").test


@pytest.mark.parametrize(
    ("key", "n", "hits", "other_class"),
    [
        ("dhash_unverified", 10_000, 511, 7),
        ("dhash_verified", 10_000, 2, 0),
    ],
)
def test_the_rates_on_fashion_mnists_test_images_are_the_known_ones(
    fashion_test: LabelledImages, key: str, n: int, hits: int, other_class: int
) -> None:
    stream = fashion_test.select(np.arange(n))
    assert count_false_hits(stream, MemorySettings(key=key)) == (hits, other_class)
