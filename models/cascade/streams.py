"""Streams of test images in which images come again, exactly or changed as a camera changes them.

The paper (arXiv 2412.01039) appends a random sample of the test images after all originals, the
best case for a memory: it has seen everything before the first repeat. The same repeats among the
originals, and frames that only resemble each other, are what a camera brings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.cascade.memory_robustness import PERTURBATIONS, Change, Images
from models.cascade.streams_results import PUBLISHED_DUPLICATES, Arrangement
from models.classifiers.dataset import LabelledImages

#: Name of what was done to a frame that is an original.
UNCHANGED: Final = "unchanged"

_CHANGES: Final = {perturbation.name: perturbation.change for perturbation in PERTURBATIONS}


def _shift_and_noise(images: Images, rng: np.random.Generator) -> Images:
    return _CHANGES["noise sd 2"](_CHANGES["shift by 1 pixel"](images, rng), rng)


#: What a camera at rest does to the frames of one scene.
VIDEO_CHANGES: Final[Mapping[str, Change]] = {
    **{f"noise sd {sd}": _CHANGES[f"noise sd {sd}"] for sd in (1, 2, 4)},
    **{f"brightness {by:+}": _CHANGES[f"brightness {by:+}"] for by in (3, -3)},
    "noise sd 4, brightness within ±3": _CHANGES["two frames of a video"],
}

#: What a camera that trembles does.
SHIFT_CHANGES: Final[Mapping[str, Change]] = {
    "shift by 1 pixel": _CHANGES["shift by 1 pixel"],
    "shift by 1 pixel, noise sd 2": _shift_and_noise,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """Frames in the order in which they come.

    Attributes:
        name: What tables call it.
        arrangement: How repeats lie in it.
        duplicates: Repeats by originals.
        frames: M different frames with their true classes.
        subject: (M,) int64, the original that each frame shows.
        changes: Names of changes; the first is `UNCHANGED`.
        change: (M,) int64, what was done to each frame, an index into `changes`.
        order: (N,) int64, the frame at each place of the stream.
    """

    name: str
    arrangement: Arrangement
    duplicates: float
    frames: LabelledImages
    subject: NDArray[np.int64]
    changes: tuple[str, ...]
    change: NDArray[np.int64]
    order: NDArray[np.int64]

    def __len__(self) -> int:
        return int(self.order.size)

    @property
    def repeated(self) -> NDArray[np.bool_]:
        """(N,), whether the subject of the frame at this place has been seen before."""
        _, first = np.unique(self.subject[self.order], return_index=True)
        repeated = np.ones(len(self), np.bool_)
        repeated[first] = False
        return repeated


def build_streams(images: LabelledImages, seed: int) -> tuple[Stream, ...]:
    """Make all streams of the benchmark from the same originals.

    Args:
        images: The originals.
        seed: Of the repeated sample, its places, and the changes.

    Returns:
        Repeats of 0, 50 and 100 % appended, 50 and 100 % interleaved (where nothing repeats, the
        arrangement does not matter), a camera at rest, and one that trembles. The streams of exact
        repeats share one `frames`.
    """
    return (
        *(appended_stream(images, share, seed) for share in PUBLISHED_DUPLICATES),
        *(interleaved_stream(images, share, seed) for share in PUBLISHED_DUPLICATES if share > 0),
        video_stream("video", images, VIDEO_CHANGES, seed),
        video_stream("video with shifts", images, SHIFT_CHANGES, seed),
    )


def appended_stream(images: LabelledImages, share: float, seed: int) -> Stream:
    """Append a random sample of the originals after all of them, as the paper does.

    Args:
        images: The originals.
        share: Size of the sample by the originals, 0..1; none is drawn twice.
        seed: Of the sample and its order.
    """
    return _stream_of_repeats(images, share, "appended", _appended_order(images, share, seed))


def interleaved_stream(images: LabelledImages, share: float, seed: int) -> Stream:
    """Put the originals and the same sample as `appended_stream` at random places."""
    order = np.random.default_rng([seed, 1]).permutation(_appended_order(images, share, seed))
    return _stream_of_repeats(images, share, "interleaved", order)


def video_stream(
    name: str, images: LabelledImages, changes: Mapping[str, Change], seed: int
) -> Stream:
    """Let every original be followed by one frame of itself for each change, in their order.

    Args:
        name: Name of the stream.
        images: The originals.
        changes: What happens to the frames, by name.
        seed: Of everything random in them; no change depends on another's randomness.
    """
    variants = [images.images] + [
        change(images.images, np.random.default_rng([seed, index]))
        for index, change in enumerate(changes.values())
    ]
    count, per_subject = len(images), len(variants)
    frames = np.stack(variants, axis=1).reshape(-1, *images.images.shape[1:])
    return Stream(
        name=name,
        arrangement="video",
        duplicates=float(len(changes)),
        frames=LabelledImages(images=frames, labels=np.repeat(images.labels, per_subject)),
        subject=np.repeat(np.arange(count), per_subject),
        changes=(UNCHANGED, *changes),
        change=np.tile(np.arange(per_subject), count),
        order=np.arange(count * per_subject),
    )


def _appended_order(images: LabelledImages, share: float, seed: int) -> NDArray[np.int64]:
    count = len(images)
    sample = np.random.default_rng([seed, 0]).choice(
        count, size=round(share * count), replace=False
    )
    return np.concatenate([np.arange(count), sample])


def _stream_of_repeats(
    images: LabelledImages, share: float, arrangement: Arrangement, order: NDArray[np.int64]
) -> Stream:
    return Stream(
        name=f"{100 * share:g} % {arrangement}",
        arrangement=arrangement,
        duplicates=share,
        frames=images,
        subject=np.arange(len(images)),
        changes=(UNCHANGED,),
        change=np.zeros(len(images), np.int64),
        order=order,
    )
