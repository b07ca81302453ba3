"""A replay is what the deployed cascade does: the same answers, networks and hits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bicameral.errors import DataError
from edge.cascade import CascadeClassifier, CascadePolicy
from edge.loading import load_classifier
from edge.memory.local import LocalMemory
from edge.memory.settings import MemorySettings
from models.cascade import stream_replay
from models.cascade.stream_replay import (
    answer_frames,
    answer_frames_by_cascade,
    run_with_memory,
    run_without_memory,
)
from models.cascade.streams import Stream, build_streams
from models.classifiers.dataset import LabelledImages

pytestmark = pytest.mark.unit

MEMORIES = {
    "exact": MemorySettings(key="exact", store_min_confidence=0.6),
    "verified": MemorySettings(store_min_confidence=0.6),
    "aligned": MemorySettings(store_min_confidence=0.6, align=True),
    "small": MemorySettings(store_min_confidence=0.0, max_entries=5),
    "unverified": MemorySettings(key="dhash_unverified", store_min_confidence=0.0),
}


def nothing(images: int) -> None:
    del images


@pytest.fixture(scope="module")
def cascade(
    tmp_path_factory: pytest.TempPathFactory, write_classifier: Callable[..., Path]
) -> CascadeClassifier:
    folder = tmp_path_factory.mktemp("cascade")
    a = load_classifier(write_classifier(folder, "a", seed=3))
    b = load_classifier(write_classifier(folder, "b", seed=5))
    return CascadeClassifier(a, b, CascadePolicy(score="margin", threshold=0.7, combine="average"))


@pytest.fixture(scope="module")
def streams(pictures: np.ndarray) -> tuple[Stream, ...]:
    labels = np.arange(len(pictures)) % 5
    return build_streams(LabelledImages(images=pictures, labels=labels), seed=2)


@pytest.mark.parametrize("name", MEMORIES)
def test_a_replay_serves_what_the_cascade_with_that_memory_serves(
    cascade: CascadeClassifier, streams: tuple[Stream, ...], name: str
) -> None:
    for stream in streams:
        images = stream.frames.images
        _, answers = answer_frames_by_cascade(cascade, images, advance=nothing)
        outcome = run_with_memory(stream, answers, LocalMemory(MEMORIES[name]), nothing)
        live = CascadeClassifier(
            cascade.a, cascade.b, cascade.policy, memory=LocalMemory(MEMORIES[name])
        )
        served = [live.predict(images[frame : frame + 1]) for frame in stream.order]
        stages = [(answer.trace or ())[0].stage for answer in served]
        predicted = [int(answer.probabilities[0].argmax()) for answer in served]
        assert outcome.predicted.tolist() == predicted
        assert outcome.computed.tolist() == [stage != "memory" for stage in stages]
        assert outcome.asked_b.tolist() == [stage == "b" for stage in stages]


def test_hits_come_from_frames_that_were_seen_before(
    cascade: CascadeClassifier, streams: tuple[Stream, ...]
) -> None:
    hits = 0
    for stream in streams:
        _, answers = answer_frames_by_cascade(cascade, stream.frames.images, advance=nothing)
        outcome = run_with_memory(stream, answers, LocalMemory(MEMORIES["verified"]), nothing)
        for place in np.flatnonzero(~outcome.computed):
            assert outcome.source[place] in stream.order[:place]
        own = outcome.source == stream.order
        assert own[outcome.computed].all()
        hits += int((~outcome.computed).sum())
    assert hits > 0


def test_without_a_memory_every_image_is_computed(
    cascade: CascadeClassifier, streams: tuple[Stream, ...]
) -> None:
    _, answers = answer_frames_by_cascade(cascade, streams[1].frames.images, advance=nothing)
    outcome = run_without_memory(streams[1], answers)
    assert outcome.computed.all()
    np.testing.assert_array_equal(outcome.predicted, answers.predicted[streams[1].order])
    np.testing.assert_array_equal(outcome.predicted, outcome.networks_predicted)


def test_frames_that_were_not_shown_have_no_answer(
    cascade: CascadeClassifier, streams: tuple[Stream, ...]
) -> None:
    images = streams[0].frames.images
    shown = np.array([1, 4, 7])
    some = answer_frames(cascade.a, images, shown=shown, advance=nothing)
    every, _ = answer_frames_by_cascade(cascade, images, advance=nothing)
    assert np.flatnonzero(some.predicted >= 0).tolist() == shown.tolist()
    np.testing.assert_array_equal(some.predicted[shown], every.predicted[shown])


def test_every_image_is_counted_once_as_progress(
    cascade: CascadeClassifier, streams: tuple[Stream, ...]
) -> None:
    _, answers = answer_frames_by_cascade(cascade, streams[-1].frames.images, advance=nothing)
    counts: list[int] = []
    run_with_memory(streams[-1], answers, LocalMemory(MEMORIES["exact"]), counts.append)
    assert sum(counts) == len(streams[-1])


def test_more_frames_than_a_memory_can_number_are_refused(
    cascade: CascadeClassifier, streams: tuple[Stream, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, answers = answer_frames_by_cascade(cascade, streams[0].frames.images, advance=nothing)
    monkeypatch.setattr(stream_replay, "_MOST_FRAMES", 10)
    with pytest.raises(DataError, match="48 different frames, expected at most 10"):
        run_with_memory(streams[0], answers, LocalMemory(MEMORIES["exact"]), nothing)
