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
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from bicameral.errors import DataError
from bicameral.protocols import ClassifierSession, ResultMemory
from bicameral.types import Prediction
from edge.cascade import CascadeClassifier
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
    shown: NDArray[np.int64],
    advance: Advance,
) -> FrameAnswers:
    """Classify some of the frames (M, H, W, C) uint8.

    Args:
        classifier: The classifier.
        images: The frames.
        shown: The frames to classify, by index.
        advance: Is told the number of images of every batch.
    """
    answers = _no_answers(len(images))
    for start in range(0, len(shown), _BATCH):
        rows = shown[start : start + _BATCH]
        _enter(answers, rows, classifier.predict(images[rows]))
        advance(len(rows))
    return answers


def answer_frames_by_cascade(
    cascade: CascadeClassifier, images: NDArray[np.uint8], *, advance: Advance
) -> tuple[FrameAnswers, FrameAnswers]:
    """Classify all frames (M, H, W, C) uint8 by A alone and by the cascade, running A once.

    Args:
        cascade: The cascade; its memory is left out.
        images: The frames.
        advance: Is told the number of images of every batch.

    Returns:
        The answers of A, and of the cascade.
    """
    a = _Recorder(cascade.a)
    recorded = CascadeClassifier(cast(ClassifierSession, a), cascade.b, cascade.policy)
    answers_a, answers = _no_answers(len(images)), _no_answers(len(images))
    for start in range(0, len(images), _BATCH):
        rows = np.arange(start, min(start + _BATCH, len(images)))
        _enter(answers, rows, recorded.predict(images[rows]))
        _enter(answers_a, rows, a.last)
        advance(len(rows))
    return answers_a, answers


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


class _Recorder:
    """A classifier that keeps its last prediction."""

    last: Prediction

    def __init__(self, classifier: ClassifierSession) -> None:
        self._classifier = classifier

    def __getattr__(self, name: str) -> Any:
        return getattr(self._classifier, name)

    def predict(self, images: NDArray[np.uint8]) -> Prediction:
        self.last = self._classifier.predict(images)
        return self.last


def _no_answers(count: int) -> FrameAnswers:
    return FrameAnswers(
        predicted=np.full(count, -1, np.int64),
        confidence=np.zeros(count, np.float32),
        asked_b=np.zeros(count, np.bool_),
    )


def _enter(answers: FrameAnswers, rows: NDArray[np.int64], prediction: Prediction) -> None:
    """Put the answers for some frames in their place."""
    answers.predicted[rows] = prediction.probabilities.argmax(axis=1)
    answers.confidence[rows] = prediction.confidence
    if prediction.trace is not None:
        answers.asked_b[rows] = [trace.stage == "b" for trace in prediction.trace]
