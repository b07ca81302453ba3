"""Properties of the cascade for every threshold, score, combination, batch and memory.

The members look their answers up in a table, so their bits cannot depend on the batch and every
comparison is exact; `tests/unit/edge/test_cascade.py` does the same with real networks.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bicameral.protocols import ClassifierSession, ModelInfo
from bicameral.types import MemoryCounters, Prediction, Trace
from edge.cascade import CascadeClassifier, CascadePolicy
from edge.combination import COMBINATIONS
from edge.probabilities import SCORES, calibrated_probabilities
from edge.sidecar import ImageSpec

pytestmark = pytest.mark.property

CLASSES = 4
IMAGE = ImageSpec(height=2, width=1, color="GRAY", scale=1.0, mean=(0.0,), std=(1.0,))


@dataclass(frozen=True, kw_only=True)
class TableClassifier:
    """Answers with row `p` of a table for an image whose first pixel is `p`."""

    name: str
    table: np.ndarray

    @property
    def info(self) -> ModelInfo:
        return ModelInfo(
            name=self.name,
            version="1",
            labels=("cat", "dog", "ship", "shoe"),
            image=IMAGE,
            fingerprint=self.name,
            macs=1,
        )

    def prepare(self, images: Sequence[np.ndarray]) -> np.ndarray:
        return np.stack(images)

    def predict(self, images: np.ndarray) -> Prediction:
        assert len(images), "a member is never asked about nothing"
        rows = self.table[images[:, 0, 0, 0]]
        return Prediction(probabilities=rows, confidence=rows.max(axis=1))

    def warm_up(self, batch_sizes: Sequence[int]) -> None:
        del batch_sizes

    def close(self) -> None:
        pass


class ExactMemory:
    """Remembers every result by the image's bytes."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, bytes], Prediction] = {}

    def lookup(self, namespace: str, images: np.ndarray) -> list[Prediction | None]:
        return [self.rows.get((namespace, image.tobytes())) for image in images]

    def store(self, namespace: str, images: np.ndarray, results: Prediction) -> None:
        for row, image in enumerate(images):
            self.rows[namespace, image.tobytes()] = Prediction(
                probabilities=results.probabilities[row : row + 1].copy(),
                confidence=results.confidence[row : row + 1].copy(),
            )

    def clear(self, namespace: str | None = None) -> None:
        del namespace
        self.rows.clear()

    def counters(self) -> MemoryCounters:
        return MemoryCounters(entries=len(self.rows))


def _table(seed: int, temperature: float) -> np.ndarray:
    logits = np.random.default_rng(seed).normal(0, 3, (256, CLASSES))
    table = calibrated_probabilities(logits, temperature)
    table.flags.writeable = False
    return table


A = TableClassifier(name="a", table=_table(0, 1.5))
B = TableClassifier(name="b", table=_table(1, 1.0))

#: Every score that A can give is a threshold too: there the strict comparison matters.
THRESHOLDS = st.one_of(
    st.floats(0, 1.2),
    st.sampled_from([float(s) for score in SCORES.values() for s in score(A.table)]),
)
POLICIES = st.builds(
    lambda score, threshold, name: CascadePolicy(
        score=score, thresholds=(threshold,), combine=name
    ),
    st.sampled_from(sorted(SCORES)),
    THRESHOLDS,
    st.sampled_from(sorted(COMBINATIONS)),
)
PIXELS = st.lists(st.integers(0, 255), min_size=1, max_size=24)


def _images(pixels: Sequence[int]) -> np.ndarray:
    images = np.array(pixels, np.uint8).reshape(-1, 1, 1, 1).repeat(2, axis=1)
    images.flags.writeable = False
    return images


def _trace(prediction: Prediction) -> tuple[Trace, ...]:
    assert prediction.trace is not None
    return prediction.trace


def _stages(prediction: Prediction) -> list[str]:
    return [entry.stage for entry in _trace(prediction)]


def _same(first: Prediction, second: Prediction) -> bool:
    return (
        first.probabilities.tobytes() == second.probabilities.tobytes()
        and first.confidence.tobytes() == second.confidence.tobytes()
    )


def test_the_stand_ins_are_classifier_sessions() -> None:
    assert isinstance(A, ClassifierSession)


@settings(deadline=None)
@given(POLICIES, PIXELS)
def test_answers_equal_the_offline_combination_bit_for_bit(
    policy: CascadePolicy, pixels: list[int]
) -> None:
    prediction = CascadeClassifier([A, B], policy).predict(_images(pixels))
    pa, pb = A.table[pixels], B.table[pixels]
    sa, sb = SCORES[policy.score](pa), SCORES[policy.score](pb)
    below = sa < policy.thresholds[0]
    expected = np.where(below[:, None], COMBINATIONS[policy.combine](pa, pb, sa, sb), pa)
    assert prediction.probabilities.tobytes() == expected.tobytes()
    assert prediction.confidence.tobytes() == expected.max(axis=1).tobytes()
    assert [entry.confidence_a for entry in _trace(prediction)] == sa.tolist()
    assert _stages(prediction) == ["b" if second else "a" for second in below]
    np.testing.assert_allclose(prediction.probabilities.sum(axis=1), 1.0, atol=1e-6)


@settings(deadline=None)
@given(POLICIES, PIXELS)
def test_thresholds_at_the_ends_never_and_always_ask_b(
    policy: CascadePolicy, pixels: list[int]
) -> None:
    for threshold, stage in ((0.0, "a"), (np.nextafter(1.0, 2.0), "b")):
        extreme = CascadePolicy(score=policy.score, thresholds=(threshold,), combine=policy.combine)
        assert set(_stages(CascadeClassifier([A, B], extreme).predict(_images(pixels)))) == {stage}


@settings(deadline=None)
@given(POLICIES, PIXELS, st.randoms(use_true_random=False), st.booleans())
def test_permuting_a_batch_permutes_its_answers(
    policy: CascadePolicy, pixels: list[int], random: st.DrawFn, remembers: bool
) -> None:
    order = list(range(len(pixels)))
    random.shuffle(order)
    results = []
    for batch in (pixels, [pixels[at] for at in order]):
        memory = ExactMemory() if remembers else None
        cascade = CascadeClassifier([A, B], policy, memory=memory)
        if remembers:
            cascade.predict(_images(pixels[::3]))
        results.append(cascade.predict(_images(batch)))
    plain, permuted = results
    assert permuted.probabilities.tobytes() == plain.probabilities[order].tobytes()
    assert permuted.confidence.tobytes() == plain.confidence[order].tobytes()
    assert _stages(permuted) == [_stages(plain)[at] for at in order]


@settings(deadline=None)
@given(POLICIES, PIXELS, st.lists(st.integers(0, 24), max_size=4))
def test_splitting_a_batch_changes_neither_answers_nor_stages(
    policy: CascadePolicy, pixels: list[int], cuts: list[int]
) -> None:
    cascade = CascadeClassifier([A, B], policy)
    whole = cascade.predict(_images(pixels))
    edges = sorted({0, len(pixels), *(min(cut, len(pixels)) for cut in cuts)})
    parts = [cascade.predict(_images(pixels[i:j])) for i, j in itertools.pairwise(edges)]
    assert (
        np.concatenate([p.probabilities for p in parts]).tobytes() == whole.probabilities.tobytes()
    )
    assert [stage for part in parts for stage in _stages(part)] == _stages(whole)


@settings(deadline=None)
@given(POLICIES, st.lists(PIXELS, min_size=2, max_size=5))
def test_a_memory_changes_stages_and_never_answers(
    policy: CascadePolicy, batches: list[list[int]]
) -> None:
    remembering = CascadeClassifier([A, B], policy, memory=ExactMemory())
    forgetful = CascadeClassifier([A, B], policy)
    seen: set[int] = set()
    for pixels in batches:
        prediction, plain = (one.predict(_images(pixels)) for one in (remembering, forgetful))
        assert _same(prediction, plain)
        for pixel, entry, fresh in zip(pixels, _trace(prediction), _stages(plain), strict=True):
            assert entry.memory_hit == (pixel in seen)
            assert entry.stage == ("memory" if pixel in seen else fresh)
            assert (entry.confidence_a is None) == entry.memory_hit
        seen.update(pixels)


@settings(deadline=None)
@given(POLICIES, st.integers(0, 255), st.integers(0, 255))
def test_a_hit_returns_the_stored_row(policy: CascadePolicy, pixel: int, stored: int) -> None:
    memory = ExactMemory()
    cascade = CascadeClassifier([A, B], policy, memory=memory)
    row = B.table[stored : stored + 1]
    memory.store(
        cascade.info.fingerprint,
        _images([pixel]),
        Prediction(probabilities=row, confidence=row.max(axis=1)),
    )
    prediction = cascade.predict(_images([pixel]))
    assert prediction.probabilities.tobytes() == row.tobytes()
    assert prediction.confidence.tobytes() == row.max(axis=1).tobytes()
    assert _stages(prediction) == ["memory"]


@settings(deadline=None)
@given(POLICIES, PIXELS)
def test_images_are_never_changed(policy: CascadePolicy, pixels: list[int]) -> None:
    images = _images(pixels).copy()
    before = images.tobytes()
    cascade = CascadeClassifier([A, B], policy, memory=ExactMemory())
    for _ in range(2):
        prediction = cascade.predict(images)
        prediction.probabilities[:] = 0.0  # the answers are the caller's own, not the memory's
    assert images.tobytes() == before
    assert _same(cascade.predict(images), CascadeClassifier([A, B], policy).predict(images))


@settings(deadline=None, max_examples=25)
@given(POLICIES, st.lists(PIXELS, min_size=4, max_size=12), st.booleans())
def test_two_threads_give_the_answers_of_one(
    policy: CascadePolicy, batches: list[list[int]], remembers: bool
) -> None:
    cascade = CascadeClassifier([A, B], policy, memory=ExactMemory() if remembers else None)
    images = [_images(pixels) for pixels in batches]
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(cascade.predict, images))
    alone = CascadeClassifier([A, B], policy)
    for batch, answer in zip(images, answers, strict=True):
        assert _same(answer, alone.predict(batch))


@settings(deadline=None)
@given(POLICIES, POLICIES, PIXELS)
def test_a_cascade_of_cascades_follows_its_inner_answers(
    policy: CascadePolicy, outer_policy: CascadePolicy, pixels: list[int]
) -> None:
    inner = CascadeClassifier([A, B], policy)
    outer = CascadeClassifier([inner, A], outer_policy)
    images = _images(pixels)
    scores = SCORES[outer_policy.score](inner.predict(images).probabilities)
    stages = ["b" if score < outer_policy.thresholds[0] else "a" for score in scores]
    assert _stages(outer.predict(images)) == stages
