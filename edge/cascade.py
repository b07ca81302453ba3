"""Two classifiers, one decision: B is asked only about the images of which A is not sure.

The way of a batch: look up every image in the result memory, run A on those it does not know, run B
on those whose score of A is below the threshold, combine, and remember what is confident.

The answer for an image does not depend on the batch it came in, as far as the members' answers do
not: gate and combination work row by row. ONNX Runtime 1.32 on x86-64 with AVX-512 and one thread
gave the same bits for every batch size from 1 to 64 (convolutions, depthwise ones, Gemm and MatMul
up to 3,136 x 256); it does not promise that, and where a member rounds otherwise in another batch,
an image whose score lies within that rounding of the threshold can take the other way. The trace
then still tells the truth: `confidence_a` is the very number that was compared.
"""

from __future__ import annotations

import hashlib
import json
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bicameral.errors import ConfigError, DataError, unknown_name
from bicameral.protocols import ClassifierSession, ImageFormat, ModelInfo, ResultMemory
from bicameral.types import Prediction, Trace
from edge.classifier import require_canonical
from edge.combination import COMBINATIONS, CombinationName
from edge.memory.recall import recall
from edge.probabilities import SCORES, ScoreName
from edge.sidecar import ImageSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class CascadePolicy:
    """When B is asked, and what becomes of its answer.

    Attributes:
        score: Name in `edge.probabilities.SCORES`; high = sure.
        threshold: B runs if and only if A's score is below it: 0 never, above 1 always.
        combine: Name in `edge.combination.COMBINATIONS`.
    """

    score: ScoreName
    threshold: float
    combine: CombinationName

    def __post_init__(self) -> None:
        """Refuse unknown names, and thresholds that no score can be compared with."""
        if self.score not in SCORES:
            raise unknown_name("score", self.score, SCORES)
        if self.combine not in COMBINATIONS:
            raise unknown_name("combination", self.combine, COMBINATIONS)
        if not self.threshold >= 0:
            raise ConfigError(
                f"a cascade's threshold is {self.threshold}, expected a number from 0 (never ask "
                "B); above 1 always asks B"
            )


class GatedClassifier(ABC):
    """What all share that spend more on an image only if a score is below a threshold.

    A `bicameral.protocols.ClassifierSession` with or without a result memory. Thread-safe if its
    members and its memory are. It owns its members: `close` closes them.

    Attributes:
        policy: When more is computed, and what becomes of it.
        memory: The result memory in front of the first member, or None.
    """

    def __init__(
        self,
        members: Sequence[ClassifierSession],
        policy: CascadePolicy,
        memory: ResultMemory | None,
    ) -> None:
        """Put a gate, and perhaps a memory, around classifiers of one task.

        Args:
            members: What is computed with, the one that every image sees first.
            policy: The gate.
            memory: Looked up before the first member, or None.
        """
        self._members, self.policy, self.memory = tuple(members), policy, memory
        infos = [member.info for member in members]
        # Whoever loads a sidecar knows better what the whole is called and costs.
        self.info = replace(
            infos[0],
            name="+".join(one.name for one in infos),
            version="+".join(one.version for one in infos),
            macs=None,
            fingerprint=_fingerprint(infos, policy),
        )
        image = self.info.image
        self._shape = (image.height, image.width, image.channels)
        self._score = SCORES[policy.score]
        self._threshold = policy.threshold
        self._combine = COMBINATIONS[policy.combine]

    def prepare(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
        """Turn decoded pictures (H, W, C) uint8 into canonical images (N, height, width, C) uint8.

        Raises:
            DataError: If a picture does not fit.
        """
        return self._members[0].prepare(images)

    def predict(self, images: NDArray[np.uint8]) -> Prediction:
        """Classify canonical images (N, height, width, C) uint8; N may be 0.

        Returns:
            The answers with one `Trace` per image. Its `stage_times_s` holds the image's shares of
            the stages it went through, with the gate; ``memory`` is the lookup. An image that
            stands twice in a batch is computed twice: what the batch brings is remembered after it.

        Raises:
            DataError: If dtype or shape are others.
        """
        require_canonical(images, self._shape, self.info.name)
        if self.memory is None or not len(images):
            return self._compute(images)
        return self.recall_or_compute(images, self.memory, self.info.fingerprint)

    def recall_or_compute(
        self,
        images: NDArray[np.uint8],
        memory: ResultMemory,
        namespace: str,
        *,
        store: bool = True,
    ) -> Prediction:
        """Answer from a memory what it knows, compute the rest and store it, in order.

        Args:
            images: (N, height, width, C) uint8, canonical and checked; N >= 1.
            memory: The memory.
            namespace: Whose answers; `ModelInfo.fingerprint` and what else keeps them apart.
            store: Whether it may remember what is computed.
        """
        recalled = recall(memory, namespace, images)
        if not recalled.unknown_rows:
            return recalled.completed(None)
        computed = self._compute(recalled.unknown)
        if store:
            memory.store(namespace, recalled.unknown, computed)
        return recalled.completed(computed)

    def warm_up(self, batch_sizes: Sequence[int]) -> None:
        """Run blank batches of these sizes through all members; the memory stays as it is."""
        for member in self._members:
            member.warm_up(batch_sizes)

    def close(self) -> None:
        """Close all members; this classifier must not be used afterwards."""
        for member in self._members:
            member.close()

    @abstractmethod
    def _compute(self, images: NDArray[np.uint8]) -> Prediction:
        """Answer for canonical images, checked and not remembered; N may be 0."""


class CascadeClassifier(GatedClassifier):
    """`bicameral.protocols.ClassifierSession` over two others, with or without a result memory.

    Thread-safe if its members and its memory are. It owns its members: `close` closes them.

    Attributes:
        a: The classifier that is asked first.
        b: The one that is asked where A is not sure.
    """

    def __init__(
        self,
        a: ClassifierSession,
        b: ClassifierSession,
        policy: CascadePolicy,
        *,
        memory: ResultMemory | None = None,
    ) -> None:
        """Join two classifiers.

        Args:
            a: Asked first; the cheaper one.
            b: Asked where A is not sure.
            policy: When, and how both answers become one.
            memory: Looked up before A, or None.

        Raises:
            DataError: If the members differ in labels or in the canonical image.
        """
        _require_same_task(a.info, b.info)
        super().__init__((a, b), policy, memory)
        self.a, self.b = a, b

    def _compute(self, images: NDArray[np.uint8]) -> Prediction:
        """Ask A, and B where A is not sure."""
        begin_s = time.perf_counter()
        answer = self.a.predict(images)
        probabilities, confidence = answer.probabilities, answer.confidence
        scores = self._score(probabilities)
        below = scores < self._threshold
        unsure = below.tolist()
        gated_s = time.perf_counter()
        asked = unsure.count(True)
        if asked:
            # A slice copies nothing where all images go on, the common case of a batch of one.
            rows = slice(None) if asked == len(unsure) else below.nonzero()[0]
            answer_b = self.b.predict(images[rows]).probabilities
            combined = self._combine(
                probabilities[rows], answer_b, scores[rows], self._score(answer_b)
            )
            # Copies, for A may hold on to its arrays.
            probabilities, confidence = probabilities.copy(), confidence.copy()
            probabilities[rows] = combined
            confidence[rows] = np.maximum.reduce(combined, axis=-1)
        end_s = time.perf_counter()
        share_a_s = (gated_s - begin_s) / max(len(unsure), 1)
        trace = _traces(scores, unsure, share_a_s, (end_s - gated_s) / max(asked, 1))
        return Prediction(probabilities=probabilities, confidence=confidence, trace=trace)


def same_canonical_image(first: ImageFormat, second: ImageFormat) -> bool:
    """Return whether a picture becomes the same canonical image in both formats.

    Scale, mean and standard deviation do not matter: they belong to each network. Crop, resize and
    inversion are compared where both sides know them.
    """

    def decisive(image: ImageFormat) -> tuple[object, ...]:
        return image.height, image.width, image.channels, image.color

    if decisive(first) != decisive(second):
        return False
    if not (isinstance(first, ImageSpec) and isinstance(second, ImageSpec)):
        return True
    same_crop = (first.crop, first.resize) == (second.crop, second.resize)
    return same_crop and first.invert == second.invert


def _require_same_task(a: ModelInfo, b: ModelInfo) -> None:
    """Check that both members answer the same question about the same canonical image."""
    if a.labels != b.labels:
        raise DataError(
            f"{a.name!r} and {b.name!r} cannot form a cascade: their labels are {a.labels} and "
            f"{b.labels}, expected the same in the same order"
        )
    if not same_canonical_image(a.image, b.image):
        raise DataError(
            f"{a.name!r} and {b.name!r} cannot form a cascade: their images are {a.image} and "
            f"{b.image}, expected the same but for scale, mean and std"
        )


def _traces(
    scores: NDArray[np.float64], unsure: list[bool], share_a_s: float, share_b_s: float
) -> tuple[Trace, ...]:
    """Return one trace per image; images that went the same way share their times."""
    shares_a_s = {"a": share_a_s}
    shares_b_s = {"a": share_a_s, "b": share_b_s}
    traces = [
        Trace(
            stage="b" if second else "a",
            memory_hit=False,
            confidence_a=score,
            stage_times_s=shares_b_s if second else shares_a_s,
        )
        for score, second in zip(scores.tolist(), unsure, strict=True)
    ]
    return tuple(traces)


def _fingerprint(members: Sequence[ModelInfo], policy: CascadePolicy) -> str:
    fingerprints = [member.fingerprint for member in members]
    decisive = [*fingerprints, policy.score, float(policy.threshold), policy.combine]
    return hashlib.sha256(json.dumps(decisive).encode()).hexdigest()
