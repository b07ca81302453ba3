"""What a system answers on a stream, from answers that were computed once for every frame.

A network gives equal frames equal answers, so a stream need not be run through the networks again
for every memory and every arrangement: only the memory is run, image by image, and it decides which
frame's answer is served. Instead of probabilities it is given the number of the frame to remember,
so that a hit tells where it comes from. The outcome is that of the cascade with this memory at
batch 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bicameral.errors import DataError
from bicameral.protocols import ClassifierSession, ResultMemory
from bicameral.types import Prediction
from models.cascade.streams import Stream

#: Is told of every few steps that were done.
Advance = Callable[[int], None]

_NAMESPACE = "stream"
_BATCH = 100
#: float32 holds every integer below this.
_MOST_FRAMES = 1 << 24


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameAnswers:
    """Answers for M frames.

    Attributes:
        predicted: (M,) int64, class by index; -1 where the frame was not shown.
        confidence: (M,) float32.
        asked_b: (M,) bool, whether B computed.
    """

    predicted: NDArray[np.int64]
    confidence: NDArray[np.float32]
    asked_b: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a system did with a stream of N images.

    Attributes:
        predicted: (N,) int64, the served class; -1 where it is not known.
        networks_predicted: (N,) int64, what the networks would have answered.
        computed: (N,) bool, whether the networks were asked, A first.
        asked_b: (N,) bool, whether B was.
        source: (N,) int64, frame whose answer was served: the own one where it was computed.
        has_memory: Whether the system has a memory.
    """

    predicted: NDArray[np.int64]
    networks_predicted: NDArray[np.int64]
    computed: NDArray[np.bool_]
    asked_b: NDArray[np.bool_]
    source: NDArray[np.int64]
    has_memory: bool


def answer_frames(
    classifier: ClassifierSession,
    images: NDArray[np.uint8],
    *,
    shown: NDArray[np.int64] | None = None,
    advance: Advance,
) -> FrameAnswers:
    """Classify frames (M, H, W, C) uint8.

    Args:
        classifier: A network, or a cascade without a memory.
        images: The frames.
        shown: Frames to show, by index; None: all.
        advance: Is told the number of images of every batch.
    """
    rows = np.arange(len(images)) if shown is None else shown
    predicted = np.full(len(images), -1, np.int64)
    confidence = np.zeros(len(images), np.float32)
    asked_b = np.zeros(len(images), np.bool_)
    for start in range(0, len(rows), _BATCH):
        batch = rows[start : start + _BATCH]
        answer = classifier.predict(images[batch])
        predicted[batch] = answer.probabilities.argmax(axis=1)
        confidence[batch] = answer.confidence
        if answer.trace is not None:
            asked_b[batch] = [trace.stage == "b" for trace in answer.trace]
        advance(len(batch))
    return FrameAnswers(predicted=predicted, confidence=confidence, asked_b=asked_b)


def run_without_memory(stream: Stream, answers: FrameAnswers) -> Outcome:
    """Return what the networks answer, image by image."""
    return Outcome(
        predicted=answers.predicted[stream.order],
        networks_predicted=answers.predicted[stream.order],
        computed=np.ones(len(stream), np.bool_),
        asked_b=answers.asked_b[stream.order],
        source=stream.order,
        has_memory=False,
    )


def run_with_memory(
    stream: Stream, answers: FrameAnswers, memory: ResultMemory, advance: Advance
) -> Outcome:
    """Let a memory, empty at first, answer what it knows and remember what it does not.

    Raises:
        DataError: If there are too many frames to number them, or a key cannot be computed.
    """
    if len(stream.frames) > _MOST_FRAMES:
        raise DataError(
            f"the stream {stream.name!r} has {len(stream.frames)} different frames, expected at "
            f"most {_MOST_FRAMES}; use fewer images"
        )
    memory.clear()
    images = stream.frames.images
    numbers = np.arange(len(images), dtype=np.float32)[:, None]
    source = stream.order.copy()
    computed = np.ones(len(stream), np.bool_)
    for place, frame in enumerate(stream.order.tolist()):
        rows = slice(frame, frame + 1)
        (known,) = memory.lookup(_NAMESPACE, images[rows])
        if known is not None:
            source[place], computed[place] = int(known.probabilities[0, 0]), False
        else:
            result = Prediction(probabilities=numbers[rows], confidence=answers.confidence[rows])
            memory.store(_NAMESPACE, images[rows], result)
        if (place + 1) % _BATCH == 0:
            advance(_BATCH)
    advance(len(stream) % _BATCH)
    return Outcome(
        predicted=answers.predicted[source],
        networks_predicted=answers.predicted[stream.order],
        computed=computed,
        asked_b=computed & answers.asked_b[stream.order],
        source=source,
        has_memory=True,
    )
