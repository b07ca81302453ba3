"""Whatever is stored and asked, in whatever order, the memory keeps its promises."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bicameral.types import Prediction
from edge.memory.keys import noise_proof_dhash_keys
from edge.memory.local import LocalMemory
from edge.memory.settings import MemorySettings

SIZE = 10
CLASSES = 256


def _result(*labels: int, confidence: float = 1.0) -> Prediction:
    return Prediction(
        probabilities=np.eye(CLASSES, dtype=np.float32)[list(labels)],
        confidence=np.full(len(labels), confidence, np.float32),
    )


def _label(found: Prediction) -> int:
    return int(found.probabilities.argmax())


#: Ramps so flat that they stay under the margin of the difference hash, so all
#: of these images have the same key, whatever their brightness: the worst case for verification.
@st.composite
def colliding_images(draw: st.DrawFn) -> np.ndarray:
    count = draw(st.integers(2, 12))
    images = []
    for _ in range(count):
        level = draw(st.integers(0, 120))
        slope = draw(st.integers(-4, 8))
        ramp = np.arange(SIZE)[None, :, None] * slope + level
        grain = draw(
            hnp.arrays(np.int64, (SIZE, SIZE, 1), elements=st.integers(-2, 2), fill=st.just(0))
        )
        images.append(np.clip(ramp + grain, 0, 255).astype(np.uint8))
    return np.stack(images)


random_images = hnp.arrays(
    np.uint8, st.tuples(st.integers(1, 8), st.just(SIZE), st.just(SIZE), st.just(3))
)


def _distance(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.abs(first.astype(int) - second.astype(int)).mean())


@given(images=colliding_images(), tolerance=st.sampled_from([0.0, 0.5, 2.0, 4.0, 20.0]))
@settings(deadline=None)
def test_a_hit_never_returns_the_result_of_an_image_beyond_the_tolerance(
    images: np.ndarray, tolerance: float
) -> None:
    assert len(set(noise_proof_dhash_keys(images))) == 1
    memory = LocalMemory(MemorySettings(tolerance_mae_u8=tolerance), always=True)
    for index, image in enumerate(images):
        (found,) = memory.lookup("m", image[None])
        distances = [_distance(image, images[other]) for other in range(index)]
        if found is not None:
            assert distances[_label(found)] <= tolerance
        if distances and min(distances) <= tolerance:
            assert found is not None, "a candidate with the same key must be found"
        memory.store("m", image[None], _result(index))


@given(images=random_images, noise=st.integers(0, 12), data=st.data())
@settings(deadline=None)
def test_a_hit_on_arbitrary_images_is_within_the_tolerance(
    images: np.ndarray, noise: int, data: st.DataObject
) -> None:
    memory = LocalMemory(MemorySettings(tolerance_mae_u8=4.0))
    memory.store("m", images, _result(*range(len(images))))
    seed = data.draw(st.integers(0, 2**16))
    change = np.random.default_rng(seed).integers(-noise, noise + 1, images.shape)
    asked = np.clip(images + change, 0, 255).astype(np.uint8)
    for image, found in zip(asked, memory.lookup("m", asked), strict=True):
        if found is not None:
            assert _distance(image, images[_label(found)]) <= 4.0


#: (namespace, image, confidence, whether to store or to look up)
operations = st.lists(
    st.tuples(
        st.sampled_from("ab"),
        st.integers(0, 9),
        st.sampled_from([0.5, 0.95]),
        st.booleans(),
    ),
    max_size=60,
)


@given(
    operations=operations,
    key=st.sampled_from(["exact", "dhash_verified"]),
    max_entries=st.integers(1, 6),
)
@settings(deadline=None)
def test_the_memory_stays_within_its_limit_and_its_counters_add_up(
    operations: list[tuple[str, int, float, bool]], key: str, max_entries: int
) -> None:
    memory = LocalMemory(MemorySettings(key=key, max_entries=max_entries))
    images = np.random.default_rng(0).integers(0, 256, (10, SIZE, SIZE, 1), dtype=np.uint8)
    lookups = hits = stored = not_stored = 0
    for namespace, index, confidence, stores in operations:
        image = images[index : index + 1]
        if stores:
            memory.store(namespace, image, _result(index, confidence=confidence))
            stored += confidence >= 0.9
            not_stored += confidence < 0.9
        else:
            (found,) = memory.lookup(namespace, image)
            assert found is None or _label(found) == index
            lookups += 1
            hits += found is not None
        counters = memory.counters()
        assert counters.entries <= max_entries
        assert (counters.lookups, counters.hits) == (lookups, hits)
        assert (counters.stored, counters.not_stored) == (stored, not_stored)
        assert counters.entries + counters.evicted <= counters.stored
        assert counters.verified == (hits if key == "dhash_verified" else 0)


@given(operations=operations, max_entries=st.integers(1, 6))
@settings(deadline=None)
def test_an_exact_memory_is_a_least_recently_used_cache(
    operations: list[tuple[str, int, float, bool]], max_entries: int
) -> None:
    memory = LocalMemory(MemorySettings(key="exact", max_entries=max_entries))
    model: dict[tuple[str, int], None] = {}
    for namespace, index, _, stores in operations:
        image = np.full((1, SIZE, SIZE, 1), index, np.uint8)
        entry = (namespace, index)
        if stores:
            memory.store(namespace, image, _result(index))
            model.pop(entry, None)
            if len(model) == max_entries:
                del model[next(iter(model))]
            model[entry] = None
        else:
            assert (memory.lookup(namespace, image)[0] is not None) == (entry in model)
            if entry in model:
                del model[entry]
                model[entry] = None
