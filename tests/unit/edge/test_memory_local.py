"""The memory of one process: limits, ages, threads, copies, alignment, warnings."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from bicameral.errors import ConfigError, DataError
from edge.cascade_sidecar import CascadeMemory
from edge.memory.local import LocalMemory
from edge.memory.registry import memory_from_spec
from edge.memory.settings import MemorySettings
from tests.remembered import MODEL, Clock, answers, blobs, greys, labels_of

pytestmark = pytest.mark.unit


def test_entries_are_forgotten_when_they_are_older_than_the_limit() -> None:
    clock = Clock()
    memory = LocalMemory(MemorySettings(key="exact", max_age_s=10.0), clock=clock)
    memory.store(MODEL, greys(1), answers(1))
    clock.now_s += 6
    memory.store(MODEL, greys(2), answers(2))
    clock.now_s += 4
    assert labels_of(memory.lookup(MODEL, greys(1, 2))) == [1, 2]
    clock.now_s += 1
    assert memory.counters().entries == 1
    assert labels_of(memory.lookup(MODEL, greys(1, 2))) == [None, 2]
    assert memory.counters().expired == 1


def test_being_used_does_not_make_an_entry_younger_but_storing_it_again_does() -> None:
    clock = Clock()
    memory = LocalMemory(MemorySettings(key="dhash_verified", max_age_s=10.0), clock=clock)
    images = blobs(2)
    memory.store(MODEL, images, answers(1, 2))
    clock.now_s += 8
    memory.lookup(MODEL, images)
    memory.store(MODEL, images[:1], answers(3))
    clock.now_s += 8
    assert labels_of(memory.lookup(MODEL, images)) == [3, None]


def test_the_nearest_of_several_candidates_answers() -> None:
    memory = LocalMemory(MemorySettings(tolerance_mae_u8=4.0))
    memory.store(MODEL, greys(100, 106, 103), answers(1, 2, 3))
    assert labels_of(memory.lookup(MODEL, greys(104, 99, 110, 111))) == [3, 1, 2, None]
    counters = memory.counters()
    assert (counters.hits, counters.verified, counters.rejected) == (3, 3, 9)


def test_an_image_that_comes_again_as_it_was_is_never_taken_for_a_similar_one() -> None:
    images = np.repeat(greys(100), 3, axis=0).repeat(5, axis=1).repeat(5, axis=2)
    for place, image in enumerate(images):  # few pixels, so that many samples of them are equal
        image[0, 1 + place] = 101
    memory = LocalMemory(MemorySettings(tolerance_mae_u8=0.0, max_entries=3))
    memory.store(MODEL, images, answers(1, 2, 3))
    assert labels_of(memory.lookup(MODEL, images)) == [1, 2, 3]
    assert labels_of(memory.lookup("other", images)) == [None, None, None]
    memory.store(MODEL, images[:1], answers(4))
    assert labels_of(memory.lookup(MODEL, images)) == [4, 2, 3]
    memory.store(MODEL, blobs(1), answers(5))
    assert labels_of(memory.lookup(MODEL, images)) == [None, 2, 3]
    memory.clear(MODEL)
    assert labels_of(memory.lookup(MODEL, images)) == [None, None, None]


def test_threads_share_one_memory_and_lose_no_count() -> None:
    memory = LocalMemory(MemorySettings(key="exact", max_entries=50))
    images = blobs(64)
    failures: list[BaseException] = []

    def work(worker: int) -> None:
        try:
            rng = np.random.default_rng(worker)
            for _ in range(100):
                chosen = rng.integers(0, 64, 4)
                found = memory.lookup(MODEL, images[chosen])
                assert labels_of(found) == [
                    None if one is None else int(label)
                    for one, label in zip(found, chosen, strict=True)
                ]
                memory.store(MODEL, images[chosen], answers(*chosen))
        except BaseException as failure:
            failures.append(failure)
            raise

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counters = memory.counters()
    assert not failures
    assert (counters.lookups, counters.stored, counters.entries) == (1600, 1600, 50)
    assert 0 < counters.hits < 1600


def test_images_and_results_must_be_as_many() -> None:
    with pytest.raises(DataError, match="2 images come with 1 rows"):
        LocalMemory(MemorySettings()).store(MODEL, greys(1, 2), answers(1))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tolerance_mae_u8", -1.0),
        ("tolerance_mae_u8", float("nan")),
        ("max_entries", 0),
        ("max_age_s", 0.0),
        ("store_min_confidence", 1.5),
    ],
)
def test_settings_that_make_no_sense_are_refused(field: str, value: float) -> None:
    with pytest.raises(ConfigError, match=field):
        MemorySettings(**{field: value})


def test_a_sidecars_memory_is_made_as_it_says() -> None:
    spec = CascadeMemory(
        key="dhash_verified",
        tolerance_mae_u8=2.5,
        max_entries=7,
        max_age_s=60.0,
        store_min_confidence=0.8,
    )
    memory = memory_from_spec(spec)
    assert isinstance(memory, LocalMemory)
    assert memory.settings == MemorySettings(
        key="dhash_verified",
        tolerance_mae_u8=2.5,
        max_entries=7,
        max_age_s=60.0,
        store_min_confidence=0.8,
    )


def noisy(images: np.ndarray, seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0.0, 1.0, images.shape)
    return np.clip(np.rint(images + noise), 0, 255).astype(np.uint8)


def watch(memory: LocalMemory, images: np.ndarray) -> None:
    """Show images one at a time, and store what is not known."""
    for row in range(len(images)):
        (known,) = memory.lookup(MODEL, images[row : row + 1])
        if known is None:
            memory.store(MODEL, images[row : row + 1], answers(1))


def test_near_duplicates_are_not_looked_for_where_there_are_none_and_found_again_later() -> None:
    memory = LocalMemory(MemorySettings())
    watch(memory, blobs(700))
    never = memory.counters()
    assert never.hits == 0
    assert 500 < never.suspended < 700
    frames = np.repeat(blobs(20), 60, axis=0)
    watch(memory, noisy(frames, seed=1))
    video = memory.counters()
    assert video.hits > 500
    assert video.suspended - never.suspended < 600


def test_the_same_pixels_are_found_while_near_duplicates_are_not_looked_for() -> None:
    memory = LocalMemory(MemorySettings())
    images = blobs(400)
    watch(memory, images)
    assert memory.counters().suspended > 0
    assert None not in labels_of(memory.lookup(MODEL, images))
