"""Hits on images never seen: the published keys' rates are reproduced, verification ends them."""

from __future__ import annotations

import numpy as np
import pytest

from edge.memory.settings import MemorySettings
from models.cascade.false_hits import count_false_hits, false_hit_table
from models.classifiers.dataset import LabelledImages
from models.classifiers.datasets import FASHION_MNIST_FOLDER
from models.classifiers.idx import has_idx_files, read_idx_folder

pytestmark = pytest.mark.unit


def _flat_images() -> LabelledImages:
    """Four images that share every difference hash; the second is near the first."""
    levels = np.array([10, 12, 90, 200], np.uint8)
    return LabelledImages(
        images=np.ascontiguousarray(np.broadcast_to(levels[:, None, None, None], (4, 9, 9, 1))),
        labels=np.array([0, 0, 1, 0]),
    )


@pytest.mark.parametrize(
    ("key", "hits", "wrong_label_hits"),
    [("exact", 0, 0), ("dhash_unverified", 3, 1), ("dhash_verified", 1, 0)],
)
def test_the_first_image_of_a_key_answers_for_those_that_follow(
    key: str, hits: int, wrong_label_hits: int
) -> None:
    record = count_false_hits("flat", _flat_images(), MemorySettings(key=key))
    assert (record.n, record.hits, record.wrong_label_hits) == (4, hits, wrong_label_hits)
    assert record.lookup_us > 0


def test_the_table_has_a_row_for_every_memory_and_stream() -> None:
    streams = {"once": _flat_images(), "again": _flat_images()}
    memories = [MemorySettings(key="exact"), MemorySettings(align=True)]
    rows = [(row.key, row.stream) for row in false_hit_table(streams, memories)]
    aligned = "dhash_verified (tolerance 4, aligned)"
    assert rows == [("exact", "once"), ("exact", "again"), (aligned, "once"), (aligned, "again")]


@pytest.fixture(scope="module")
def fashion_test() -> LabelledImages:
    if not has_idx_files(FASHION_MNIST_FOLDER):
        pytest.skip("the Debian package dataset-fashion-mnist is not installed")
    return read_idx_folder(FASHION_MNIST_FOLDER)[1]


@pytest.mark.parametrize(
    ("key", "n", "hits", "wrong_label_hits"),
    [
        ("dhash_unverified", 10_000, 511, 7),
        ("dhash16_unverified", 10_000, 1, 0),
        ("invariants_unverified", 3_000, 0, 0),
        ("dhash_verified", 10_000, 2, 0),
    ],
)
def test_the_rates_on_fashion_mnists_test_images_are_the_known_ones(
    fashion_test: LabelledImages, key: str, n: int, hits: int, wrong_label_hits: int
) -> None:
    stream = fashion_test.select(np.arange(n))
    record = count_false_hits("test", stream, MemorySettings(key=key))
    assert (record.n, record.hits, record.wrong_label_hits) == (n, hits, wrong_label_hits)
