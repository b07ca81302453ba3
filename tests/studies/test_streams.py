"""Streams hold what they say, and a memory run alone serves what the cascade with it serves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from edge.cascade import CascadeClassifier, CascadePolicy
from edge.loading import load_classifier
from edge.memory.settings import MemorySettings
from models.data.dataset import LabelledImages
from models.measurement.streams import Stream
from studies.changed_frames import SHIFT_CHANGES, VIDEO_CHANGES, video_stream
from studies.paper_keys import open_memory
from studies.streams import answer, build_streams, figures, serve

pytestmark = pytest.mark.studies

COUNT = 40

SURE, ALL = MemorySettings(store_min_confidence=0.6), MemorySettings(store_min_confidence=0.0)
MEMORIES = {
    "exact": partial(open_memory, replace(SURE, key="exact")),
    "verified": partial(open_memory, SURE),
    "small": partial(open_memory, replace(ALL, max_entries=5)),
    "unverified": partial(open_memory, replace(ALL, key="dhash_unverified")),
}


@pytest.fixture(scope="module")
def noise() -> LabelledImages:
    rng = np.random.default_rng(3)
    return LabelledImages(
        images=rng.integers(40, 200, (COUNT, 12, 12, 1), dtype=np.uint8),
        labels=rng.integers(0, 7, COUNT),
    )


def test_interleaved_repeats_are_those_that_are_appended(noise: LabelledImages) -> None:
    streams = {stream.name: stream for stream, _ in build_streams(noise, seed=1)}
    for share in ("50", "100"):
        appended, interleaved = (streams[f"{share} % {how}"] for how in ("appended", "interleaved"))
        assert sorted(appended.order) == sorted(interleaved.order)
        assert appended.order.tolist() != interleaved.order.tolist()
        assert interleaved.repeated.sum() == appended.repeated.sum() == COUNT * int(share) // 100
        for place in np.flatnonzero(interleaved.repeated):
            assert interleaved.order[place] in interleaved.order[:place]


def variant(stream: Stream, number: int) -> np.ndarray:
    return stream.frames.images[number :: stream.variants].astype(np.int16)


def test_frames_of_a_video_are_as_far_from_their_original_as_they_say(
    noise: LabelledImages,
) -> None:
    stream = video_stream("video", noise, VIDEO_CHANGES, seed=1)
    original = variant(stream, 0)
    np.testing.assert_array_equal(original, noise.images)
    np.testing.assert_array_equal(stream.repeated, np.arange(len(stream)) % stream.variants > 0)
    frames = {name: variant(stream, k) for k, name in enumerate(VIDEO_CHANGES, start=1)}
    for sd in (1, 2, 4):
        change = frames[f"noise sd {sd}"] - original
        # Rounding to whole grey levels adds a variance of 1/12.
        assert change.std() == pytest.approx(np.sqrt(sd**2 + 1 / 12), rel=0.05)
    for by in (3, -3):
        assert (frames[f"brightness {by:+}"] - original == by).all()
    both = frames["noise sd 4, brightness within ±3"] - original
    assert np.abs(both.mean(axis=(1, 2, 3))).max() < 3 + 4 * 4 / 12
    assert both.std() > 4


def test_shifted_frames_are_their_original_moved_by_one_pixel(noise: LabelledImages) -> None:
    stream = video_stream("shifts", noise, SHIFT_CHANGES, seed=1)
    inner, moved = variant(stream, 0)[:, 1:-1, 1:-1], variant(stream, 1)
    moves = set()
    for index in range(COUNT):
        [move] = [
            (down, right)
            for down in (0, 1, 2)
            for right in (0, 1, 2)
            if (moved[index, down : down + 10, right : right + 10] == inner[index]).all()
        ]
        moves.add(move)
    assert moves == {(y, x) for y in (0, 1, 2) for x in (0, 1, 2)} - {(1, 1)}


@pytest.fixture(scope="module")
def cascade(
    tmp_path_factory: pytest.TempPathFactory, write_classifier: Callable[..., Path]
) -> CascadeClassifier:
    folder = tmp_path_factory.mktemp("cascade")
    a = load_classifier(write_classifier(folder, "a", seed=3))
    b = load_classifier(write_classifier(folder, "b", seed=5))
    return CascadeClassifier(
        [a, b], CascadePolicy(score="margin", thresholds=(0.7,), combine="average")
    )


@pytest.fixture(scope="module")
def streams(pictures: np.ndarray) -> list[Stream]:
    images = LabelledImages(images=pictures, labels=np.arange(len(pictures)) % 5)
    return [stream for stream, _ in build_streams(images, seed=2)]


@pytest.mark.parametrize("name", MEMORIES)
def test_a_memory_run_alone_serves_what_the_cascade_with_it_serves(
    cascade: CascadeClassifier, streams: list[Stream], name: str
) -> None:
    for stream in streams:
        images = stream.frames.images
        answers = answer(cascade, stream, np.arange(len(images)))
        outcome = serve(stream, answers, MEMORIES[name]())
        memory = MEMORIES[name]()
        live = CascadeClassifier(cascade.members, cascade.policy, memory=memory)
        served = [live.predict(images[frame : frame + 1]) for frame in stream.order]
        stages = [(found.trace or ())[0].stage for found in served]
        predicted = [int(found.probabilities[0].argmax()) for found in served]
        assert answers.predicted[outcome.source].tolist() == predicted
        assert outcome.computed.tolist() == [stage != "memory" for stage in stages]
        asked = outcome.computed & (answers.stage[stream.order] > 0)
        assert asked.tolist() == [stage == "b" for stage in stages]


def test_figures_follow_from_what_was_served(
    cascade: CascadeClassifier, streams: list[Stream]
) -> None:
    stream = next(stream for stream in streams if stream.name == "100 % appended")
    answers = answer(cascade, stream, np.arange(len(stream.frames)))
    every = serve(stream, answers, open_memory(ALL))
    of = dict(figures(stream, every, (0.05, 0.2), ()))
    assert of["repeat_hit_rate"].value == 1.0
    assert of["other_answer"].value == of["other_class"].value == 0.0
    a, b = of["share_a"].value or 0.0, of["share_b"].value or 0.0
    assert a == 1.0 - (of["hit_rate"].value or 0.0)
    assert of["macs_ratio"].value == pytest.approx(0.05 * a + 0.15 * b)
    alone = dict(figures(stream, serve(stream, answers), (0.05, 0.2), ()))
    assert alone["accuracy"] == of["accuracy"]
    assert (alone["share_b"].value or 0.0) > b


def test_frames_that_were_not_shown_are_not_judged(
    cascade: CascadeClassifier, streams: list[Stream]
) -> None:
    shown = np.array([1, 4, 7])
    some = answer(cascade.members[0], streams[0], shown)
    assert np.flatnonzero(some.predicted >= 0).tolist() == shown.tolist()
    assert dict(figures(streams[0], serve(streams[0], some), (1.0,), ()))["accuracy"].n == 3
