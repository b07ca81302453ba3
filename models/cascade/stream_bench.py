"""Runs a deployed cascade, with and without memories, and its reference on streams of images.

Answers, hits and multiply-accumulates are those of all images; CPU time is measured on the same
streams made of fewer originals.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edge.memory.local import LocalMemory
from edge.memory.settings import MemorySettings
from models.cascade.deployed import Deployed
from models.cascade.stream_replay import (
    Advance,
    FrameAnswers,
    Outcome,
    answer_frames,
    answer_frames_by_cascade,
    run_with_memory,
    run_without_memory,
)
from models.cascade.stream_systems import (
    REFERENCE_EVERY,
    MacsPerImage,
    StreamTimes,
    change_records,
    memory_systems,
    stream_records,
    timed_systems,
)
from models.cascade.stream_timing import time_systems
from models.cascade.streams import Stream, build_streams
from models.cascade.streams_results import (
    A_SYSTEM,
    PAIR_SYSTEM,
    REFERENCE_SYSTEM,
    ChangeRecord,
    StreamRecord,
)
from models.classifiers.dataset import LabelledImages

#: Is told (done, total, what is being done); a step is about as long as one run of network A.
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamBenchSettings:
    """How much to measure.

    Attributes:
        seed: Of streams and samples.
        reference_frames: Frames that the reference judges of a stream with changed frames, a random
            sample; it judges all originals.
        timed_originals: Originals of the streams that are timed; none of them is longer than two
            images for each.
        rounds: Passes over each of those.
    """

    seed: int = 0
    reference_frames: int = 1000
    timed_originals: int = 300
    rounds: int = 3


def measure_streams(
    deployed: Deployed,
    images: LabelledImages,
    settings: StreamBenchSettings,
    progress: Progress = lambda done, total, note: None,
) -> tuple[tuple[StreamRecord, ...], tuple[ChangeRecord, ...]]:
    """Measure all systems on all streams.

    Args:
        deployed: The cascade, its reference and its memory.
        images: Test images, canonical.
        settings: How much to measure.
        progress: Is told how far it is.

    Returns:
        One record per stream and system, and one per stream, memory and change of frames.

    Raises:
        DataError: If a network's multiply-accumulates are unknown, or the images do not fit.
    """
    macs = MacsPerImage.of(deployed)
    streams = build_streams(images, settings.seed)
    timed = _timed_streams(images, settings)
    steps = _Steps.plan(streams, timed, macs, settings, progress)
    records: list[StreamRecord] = []
    changes: list[ChangeRecord] = []
    answers: dict[int, dict[str, FrameAnswers]] = {}
    for stream, short_stream in zip(streams, timed, strict=True):
        # Streams of exact repeats share their frames.
        if id(stream.frames) not in answers:
            answers[id(stream.frames)] = _answer_all(deployed, stream, settings, steps)
        outcomes = _run_all(deployed, stream, answers[id(stream.frames)], steps)
        times = time_systems(
            short_stream,
            timed_systems(deployed, memory_systems(deployed.memory, short_stream)),
            settings.rounds,
            steps.advance(steps.per_timed_image, f"timing {stream.name}"),
        )
        stream_times = StreamTimes(times_us=times, n_images=len(short_stream))
        records += stream_records(stream, outcomes, macs, stream_times)
        changes += change_records(stream, outcomes)
    return tuple(records), tuple(changes)


def sample_images(images: LabelledImages, count: int, seed: int) -> LabelledImages:
    """Return a random sample in the images' order, or all if there are no more."""
    if count >= len(images):
        return images
    chosen = np.random.default_rng([seed, 2]).choice(len(images), size=count, replace=False)
    return images.select(np.sort(chosen))


def _timed_streams(images: LabelledImages, settings: StreamBenchSettings) -> tuple[Stream, ...]:
    """Make the same streams of fewer originals, and cut off those with many frames of each."""
    originals = sample_images(images, settings.timed_originals, settings.seed)
    return tuple(
        replace(stream, order=stream.order[: 2 * len(originals)])
        for stream in build_streams(originals, settings.seed)
    )


class _Steps:
    """Adds up finished steps and tells how far it is."""

    def __init__(self, total: int, reference: int, progress: Progress) -> None:
        self._done, self._total, self._progress = 0, total, progress
        #: Steps that one run of the reference is worth.
        self.per_reference = reference
        #: Steps that it takes to show an image to all timed systems, roughly.
        self.per_timed_image = 10 + reference // REFERENCE_EVERY

    @classmethod
    def plan(
        cls,
        streams: Sequence[Stream],
        timed: Sequence[Stream],
        macs: MacsPerImage,
        settings: StreamBenchSettings,
        progress: Progress,
    ) -> _Steps:
        """Count the steps of what `measure_streams` does."""
        reference = max(1, macs.reference // macs.a)
        steps = cls(0, reference, progress)
        for stream in {id(stream.frames): stream for stream in streams}.values():
            shown = _shown_to_reference(stream, settings)
            steps._total += 2 * len(stream.frames) + reference * len(shown)
        for stream in streams:
            steps._total += len(stream) * len(memory_systems(MemorySettings(), stream))
        shown_timed = settings.rounds * sum(map(len, timed))
        steps._total += steps.per_timed_image * shown_timed
        return steps

    def advance(self, weight: int, note: str) -> Advance:
        """Return what takes numbers of images that count as `weight` steps each."""

        def add(images: int) -> None:
            self._done += weight * images
            self._progress(self._done, self._total, note)

        return add


def _answer_all(
    deployed: Deployed, stream: Stream, settings: StreamBenchSettings, steps: _Steps
) -> dict[str, FrameAnswers]:
    """Show the frames to the reference, to A, and to both members as a cascade."""
    images = stream.frames.images
    note = "answering all frames"
    reference = answer_frames(
        deployed.reference,
        images,
        shown=_shown_to_reference(stream, settings),
        advance=steps.advance(steps.per_reference, note),
    )
    a, pair = answer_frames_by_cascade(deployed.cascade, images, advance=steps.advance(2, note))
    return {REFERENCE_SYSTEM: reference, A_SYSTEM: a, PAIR_SYSTEM: pair}


def _shown_to_reference(stream: Stream, settings: StreamBenchSettings) -> NDArray[np.int64]:
    """Return the frames that the reference judges, by index."""
    count = len(stream.frames)
    if stream.arrangement != "video" or settings.reference_frames >= count:
        return np.arange(count)
    rng = np.random.default_rng([settings.seed, 3])
    return np.sort(rng.choice(count, size=settings.reference_frames, replace=False))


def _run_all(
    deployed: Deployed, stream: Stream, answers: Mapping[str, FrameAnswers], steps: _Steps
) -> dict[str, Outcome]:
    """Serve the stream by the networks alone, and by the cascade with every memory."""
    outcomes = {name: run_without_memory(stream, of) for name, of in answers.items()}
    for name, settings in memory_systems(deployed.memory, stream).items():
        advance = steps.advance(1, f"{name} on {stream.name}")
        outcomes[name] = run_with_memory(
            stream, answers[PAIR_SYSTEM], LocalMemory(settings), advance
        )
    return outcomes
