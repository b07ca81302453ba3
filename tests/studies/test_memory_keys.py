"""Hits on images never seen: the published keys' rates are reproduced, verification ends them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from bicameral.types import Prediction
from edge.memory.local import LocalMemory
from edge.memory.settings import MemorySettings
from models.data.dataset import LabelledImages
from models.data.sources import load_dataset
from studies.aligned_memory import AligningMemory, displaced
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


def test_only_an_aligning_memory_finds_an_image_that_is_displaced() -> None:
    coarse = np.random.default_rng(0).integers(0, 256, (40, 5, 5), dtype=np.uint8)
    images = np.stack([cv2.resize(image, (28, 28)) for image in coarse])[..., None]
    results = Prediction(
        probabilities=np.eye(40, dtype=np.float32), confidence=np.ones(40, np.float32)
    )
    plain, aligning = LocalMemory(MemorySettings()), AligningMemory(MemorySettings())
    for memory in (plain, aligning):
        memory.store("model", images, results)
    for moved in (displaced(images, (-1, 1)), displaced(images, (1, -1))):
        assert plain.lookup("model", moved) == [None] * 40
        found = [
            answer and answer.probabilities.argmax() for answer in aligning.lookup("model", moved)
        ]
        assert sum(label is not None for label in found) >= 30
        assert all(label in (None, index) for index, label in enumerate(found))
    assert aligning.counters().lookups == 80


@pytest.fixture(scope="module")
def fashion_test() -> LabelledImages:
    return load_dataset("fashion-mnist").test


@pytest.mark.parametrize(
    ("key", "n", "hits", "other_class"),
    [
        ("dhash_unverified", 10_000, 511, 7),
        ("dhash16_unverified", 10_000, 1, 0),
        ("invariants_unverified", 3_000, 0, 0),
        ("dhash_verified", 10_000, 2, 0),
    ],
)
def test_the_rates_on_fashion_mnists_test_images_are_the_known_ones(
    fashion_test: LabelledImages, key: str, n: int, hits: int, other_class: int
) -> None:
    stream = fashion_test.select(np.arange(n))
    assert count_false_hits(stream, MemorySettings(key=key)) == (hits, other_class)
