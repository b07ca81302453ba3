"""Streams hold every original once, repeats where they should be, and frames that are near."""

from __future__ import annotations

import numpy as np
import pytest

from models.cascade.streams import (
    SHIFT_CHANGES,
    UNCHANGED,
    VIDEO_CHANGES,
    Stream,
    appended_stream,
    build_streams,
    interleaved_stream,
    video_stream,
)
from models.classifiers.dataset import LabelledImages

pytestmark = pytest.mark.unit

COUNT = 40


@pytest.fixture(scope="module")
def images() -> LabelledImages:
    rng = np.random.default_rng(3)
    return LabelledImages(
        images=rng.integers(40, 200, (COUNT, 12, 12, 1), dtype=np.uint8),
        labels=rng.integers(0, 7, COUNT),
    )


def frames_of(stream: Stream, change: str) -> np.ndarray:
    return stream.frames.images[stream.change == stream.changes.index(change)].astype(np.int16)


def test_appended_repeats_follow_after_all_originals(images: LabelledImages) -> None:
    stream = appended_stream(images, 0.5, seed=1)
    assert stream.order[:COUNT].tolist() == list(range(COUNT))
    repeats = stream.order[COUNT:]
    assert len(repeats) == len(set(repeats.tolist())) == COUNT // 2
    assert stream.repeated.tolist() == [False] * COUNT + [True] * (COUNT // 2)


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_interleaved_repeats_are_those_that_are_appended(
    images: LabelledImages, share: float
) -> None:
    appended, interleaved = (
        make(images, share, seed=1) for make in (appended_stream, interleaved_stream)
    )
    assert sorted(appended.order) == sorted(interleaved.order)
    assert appended.order.tolist() != interleaved.order.tolist()
    assert interleaved.repeated.sum() == round(share * COUNT)
    for place in np.flatnonzero(interleaved.repeated):
        assert interleaved.order[place] in interleaved.order[:place]


def test_nothing_repeats_where_nothing_is_duplicated(images: LabelledImages) -> None:
    assert not appended_stream(images, 0.0, seed=1).repeated.any()


def test_every_original_of_a_video_is_followed_by_its_frames(images: LabelledImages) -> None:
    stream = video_stream("video", images, VIDEO_CHANGES, seed=1)
    length = 1 + len(VIDEO_CHANGES)
    assert len(stream) == COUNT * length
    assert stream.duplicates == len(VIDEO_CHANGES)
    assert stream.changes == (UNCHANGED, *VIDEO_CHANGES)
    np.testing.assert_array_equal(frames_of(stream, UNCHANGED), images.images)
    np.testing.assert_array_equal(stream.order, np.arange(len(stream)))
    np.testing.assert_array_equal(stream.subject, np.repeat(np.arange(COUNT), length))
    np.testing.assert_array_equal(stream.frames.labels, images.labels[stream.subject])
    np.testing.assert_array_equal(stream.repeated, np.arange(len(stream)) % length > 0)


def test_frames_of_a_video_are_as_far_from_their_original_as_they_say(
    images: LabelledImages,
) -> None:
    stream = video_stream("video", images, VIDEO_CHANGES, seed=1)
    original = frames_of(stream, UNCHANGED)
    for sd in (1, 2, 4):
        noise = frames_of(stream, f"noise sd {sd}") - original
        # Rounding to whole grey levels adds a variance of 1/12.
        assert noise.std() == pytest.approx(np.sqrt(sd**2 + 1 / 12), rel=0.05)
        assert abs(noise.mean()) < 0.3
    for by in (3, -3):
        assert (frames_of(stream, f"brightness {by:+}") - original == by).all()
    both = frames_of(stream, "noise sd 4, brightness within ±3") - original
    assert np.abs(both.mean(axis=(1, 2, 3))).max() < 3 + 4 * 4 / 12
    assert both.std() > 4


def test_shifted_frames_are_their_original_moved_by_one_pixel(images: LabelledImages) -> None:
    stream = video_stream("shifts", images, SHIFT_CHANGES, seed=1)
    original, moved = frames_of(stream, UNCHANGED), frames_of(stream, "shift by 1 pixel")
    inner = original[:, 1:-1, 1:-1]
    moves = set()
    for index in range(COUNT):
        found = [
            (down, right)
            for down in (0, 1, 2)
            for right in (0, 1, 2)
            if (moved[index, down : down + 10, right : right + 10] == inner[index]).all()
        ]
        assert len(found) == 1
        moves.update(found)
    assert (1, 1) not in moves
    assert len(moves) == 8


def test_the_streams_of_a_seed_are_always_the_same(images: LabelledImages) -> None:
    first, again, other = (build_streams(images, seed) for seed in (5, 5, 6))
    for one, same, different in zip(first, again, other, strict=True):
        assert one.name == same.name == different.name
        np.testing.assert_array_equal(one.order, same.order)
        np.testing.assert_array_equal(one.frames.images, same.frames.images)
        if one.repeated.any():
            assert (one.order != different.order).any() or (
                one.frames.images != different.frames.images
            ).any()
    assert len({stream.name for stream in first}) == len(first)
