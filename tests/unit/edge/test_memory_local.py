"""The memory of one process: limits, ages, threads, copies, alignment, warnings."""

from __future__ import annotations

import threading

import cv2
import numpy as np
import pytest

from bicameral.errors import ConfigError, DataError
from bicameral.types import Prediction
from edge.memory.local import LocalMemory
from edge.memory.registry import memory_from_spec
from edge.memory.settings import MemorySettings
from edge.sidecar import CascadeMemory

pytestmark = pytest.mark.unit

MODEL = "fingerprint"


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def _pictures(count: int, seed: int = 0) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (count, 5, 5), dtype=np.uint8)
    return np.stack([cv2.resize(image, (28, 28)) for image in coarse])[..., None]


def _greys(*levels: int) -> np.ndarray:
    """Flat images: all of them have the same perceptual key."""
    return np.stack([np.full((12, 12, 1), level, np.uint8) for level in levels])


def _results(*labels: int, confidence: float = 1.0) -> Prediction:
    return Prediction(
        probabilities=np.eye(64, dtype=np.float32)[list(labels)],
        confidence=np.full(len(labels), confidence, np.float32),
    )


def _labels(found: list[Prediction | None]) -> list[int | None]:
    return [None if one is None else int(one.probabilities.argmax()) for one in found]


def test_entries_are_forgotten_when_they_are_older_than_the_limit() -> None:
    clock = Clock()
    memory = LocalMemory(MemorySettings(key="exact", max_age_s=10.0), clock=clock)
    memory.store(MODEL, _greys(1), _results(1))
    clock.now_s += 6
    memory.store(MODEL, _greys(2), _results(2))
    clock.now_s += 4
    assert _labels(memory.lookup(MODEL, _greys(1, 2))) == [1, 2]
    clock.now_s += 1
    assert memory.counters().entries == 1
    assert _labels(memory.lookup(MODEL, _greys(1, 2))) == [None, 2]
    assert memory.counters().expired == 1


def test_being_used_does_not_make_an_entry_younger_but_storing_it_again_does() -> None:
    clock = Clock()
    memory = LocalMemory(MemorySettings(key="dhash_verified", max_age_s=10.0), clock=clock)
    images = _pictures(2)
    memory.store(MODEL, images, _results(1, 2))
    clock.now_s += 8
    memory.lookup(MODEL, images)
    memory.store(MODEL, images[:1], _results(3))
    clock.now_s += 8
    assert _labels(memory.lookup(MODEL, images)) == [3, None]


def test_the_nearest_of_several_candidates_answers() -> None:
    memory = LocalMemory(MemorySettings(tolerance_mae_u8=4.0))
    memory.store(MODEL, _greys(100, 106, 103), _results(1, 2, 3))
    assert _labels(memory.lookup(MODEL, _greys(104, 99, 110, 111))) == [3, 1, 2, None]
    counters = memory.counters()
    assert (counters.hits, counters.verified, counters.rejected) == (3, 3, 9)


def test_an_image_that_comes_again_as_it_was_is_never_taken_for_a_similar_one() -> None:
    images = np.repeat(_greys(100), 3, axis=0).repeat(5, axis=1).repeat(5, axis=2)
    for place, image in enumerate(images):  # few pixels, so that many samples of them are equal
        image[0, 1 + place] = 101
    memory = LocalMemory(MemorySettings(tolerance_mae_u8=0.0, max_entries=3))
    memory.store(MODEL, images, _results(1, 2, 3))
    assert _labels(memory.lookup(MODEL, images)) == [1, 2, 3]
    assert _labels(memory.lookup("other", images)) == [None, None, None]
    memory.store(MODEL, images[:1], _results(4))
    assert _labels(memory.lookup(MODEL, images)) == [4, 2, 3]
    memory.store(MODEL, _pictures(1), _results(5))
    assert _labels(memory.lookup(MODEL, images)) == [None, 2, 3]
    memory.clear(MODEL)
    assert _labels(memory.lookup(MODEL, images)) == [None, None, None]


def test_the_tolerance_is_inclusive() -> None:
    memory = LocalMemory(MemorySettings(tolerance_mae_u8=4.0))
    memory.store(MODEL, _greys(100), _results(1))
    assert _labels(memory.lookup(MODEL, _greys(104, 96, 105, 95))) == [1, 1, None, None]


def test_the_memory_keeps_its_own_copies() -> None:
    memory = LocalMemory(MemorySettings())
    images, results = _pictures(1), _results(5)
    memory.store(MODEL, images, results)
    asked = images.copy()
    images[:] = 0
    results.probabilities[:] = 0
    (found,) = memory.lookup(MODEL, asked)
    assert found is not None
    assert found.probabilities[0, 5] == 1
    with pytest.raises(ValueError, match="read-only"):
        found.probabilities[0, 5] = 0


def test_a_shifted_image_is_found_only_by_an_aligning_memory() -> None:
    images = _pictures(40)
    shifted = np.pad(images, ((0, 0), (1, 0), (0, 1), (0, 0)), mode="edge")[:, :-1, 1:]
    plain, aligning = (LocalMemory(MemorySettings(align=align)) for align in (False, True))
    for memory in (plain, aligning):
        memory.store(MODEL, images, _results(*range(40)))
    assert _labels(plain.lookup(MODEL, shifted)) == [None] * 40
    found = _labels(aligning.lookup(MODEL, shifted))
    assert sum(label == index for index, label in enumerate(found)) >= 30
    assert all(label in (None, index) for index, label in enumerate(found))
    assert aligning.counters().lookups == 40


def test_threads_share_one_memory_and_lose_no_count() -> None:
    memory = LocalMemory(MemorySettings(key="exact", max_entries=50))
    images = _pictures(64)
    failures: list[BaseException] = []

    def work(worker: int) -> None:
        try:
            rng = np.random.default_rng(worker)
            for _ in range(100):
                chosen = rng.integers(0, 64, 4)
                found = memory.lookup(MODEL, images[chosen])
                assert _labels(found) == [
                    None if one is None else int(label)
                    for one, label in zip(found, chosen, strict=True)
                ]
                memory.store(MODEL, images[chosen], _results(*chosen))
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
        LocalMemory(MemorySettings()).store(MODEL, _greys(1, 2), _results(1))


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
