"""Classifiers that are asked in turn, each about the images of which those before are not sure.

The way of a batch: look up every image in the result memory, run the first stage on those it does
not know, the second on those whose score is below the first threshold, combine their answers,
compare again, and so on; then remember what is confident. Stages are networks, A, B, C, ..., or the
stages of a single classifier that answers after each of them, which makes it an early exit. A
single network without a threshold is a cascade, too: one that never needed a second.

The answer for an image does not depend on the batch it came in, as far as the members' answers do
not: gate and combination work row by row. ONNX Runtime 1.32 on x86-64 with AVX-512 and one thread
gave the same bits for every batch size from 1 to 64 (convolutions, depthwise ones, Gemm and MatMul
up to 3,136 x 256); it does not promise that, and where a member rounds otherwise in another batch,
an image whose score lies within that rounding of a threshold can take the other way. The trace
then still tells the truth: `confidence_a` is the very number that was compared.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import string
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bicameral.errors import ConfigError, DataError, unknown_name
from bicameral.protocols import ClassifierSession, ImageFormat, ModelInfo, ResultMemory
from bicameral.types import Prediction, Trace
from edge.classifier import require_canonical
from edge.combination import COMBINATIONS, CombinationName
from edge.memory.recall import MEMORY, recall, recalled_answer
from edge.probabilities import SCORES, ScoreName, confidence
from edge.sidecar import ImageSpec
from edge.stages import StagedClassifier

#: What a trace calls the networks of a cascade, in the order in which they are asked.
NETWORK_NAMES = tuple(string.ascii_lowercase)

#: So many are sorted faster by Python than by numpy, whose calls are the cost of one image.
_FEW_CLASSES = 32

#: For combinations that do not look at scores.
_UNSCORED = np.zeros(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class CascadePolicy:
    """When the next stage runs, and what becomes of its answer.

    Attributes:
        score: Name in `edge.probabilities.SCORES`; high = sure.
        thresholds: The next stage runs if and only if the score of the answer so far is below the
            threshold after this one: 0 never, above 1 always. The last threshold holds for all
            further stages, so an early exit needs one only.
        combine: Name in `edge.combination.COMBINATIONS`: how an answer and the next become one.
    """

    score: ScoreName
    thresholds: tuple[float, ...]
    combine: CombinationName

    def __post_init__(self) -> None:
        """Refuse unknown names, and thresholds that no score can be compared with."""
        if self.score not in SCORES:
            raise unknown_name("score", self.score, SCORES)
        if self.combine not in COMBINATIONS:
            raise unknown_name("combination", self.combine, COMBINATIONS)
        for threshold in self.thresholds:
            if not threshold >= 0:
                raise ConfigError(
                    f"a cascade's threshold is {threshold}, expected a number from 0 (never ask "
                    "the next stage); above 1 always asks it"
                )

    def gates(self, stages: int) -> tuple[float, ...]:
        """Return the thresholds between so many stages."""
        return (self.thresholds + self.thresholds[-1:] * stages)[: stages - 1]


class CascadeClassifier:
    """`bicameral.protocols.ClassifierSession` over others, with or without a result memory.

    Thread-safe if its members and its memory are. It owns its members: `close` closes them.

    Attributes:
        members: The classifiers, in the order in which they are asked.
        policy: When the next one is asked, and what becomes of its answer.
        stages: What traces call its stages: ``a``, ``b``, ...; of an early exit ``block_1``, ...
        memory: The result memory in front of the first member, or None.
    """

    def __init__(
        self,
        members: Sequence[ClassifierSession],
        policy: CascadePolicy,
        *,
        memory: ResultMemory | None = None,
    ) -> None:
        """Put gates between classifiers of one task, or between the stages of a single one.

        Args:
            members: The one that every image sees first; then those that are asked where the
                answer so far is not sure.
            policy: When, and how answers become one. With a single member and a threshold, that
                member must be a `StagedClassifier`.
            memory: Looked up before the first member, or None.

        Raises:
            DataError: If the members differ in labels or in the canonical image, or do not fit the
                number of thresholds.
        """
        self.members, self.policy, self.memory = tuple(members), policy, memory
        infos = [member.info for member in members]
        for other in infos[1:]:
            _require_same_task(infos[0], other)
        staged = _require_gates(self.members, policy)
        self.stages, self._run = NETWORK_NAMES[: len(infos)], self._ask_in_turn
        self._ask_one = self._ask_members
        if staged is not None:
            self.stages = tuple(f"block_{number}" for number in range(1, staged.stages + 1))
            self._run, self._ask_one = staged.run_stages, staged.predict_stages
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
        self._score, self._combine = SCORES[policy.score], COMBINATIONS[policy.combine]
        # Only the post-check compares scores, and they cost as much as the rest of a combination.
        self._compares = policy.combine == "post_check"
        self._gates = policy.gates(len(self.stages))
        self._further = tuple(zip(self.stages[1:], self._gates, strict=True))

    def prepare(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
        """Turn decoded pictures (H, W, C) uint8 into canonical images (N, height, width, C) uint8.

        Raises:
            DataError: If a picture does not fit.
        """
        return self.members[0].prepare(images)

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
        if len(images) == 1:
            return self._recall_or_compute_one(images, memory, namespace, store=store)
        recalled = recall(memory, namespace, images)
        if not recalled.unknown_rows:
            return recalled.completed(None)
        computed = self._compute(recalled.unknown)
        if store:
            memory.store(namespace, recalled.unknown, computed)
        return recalled.completed(computed)

    def _recall_or_compute_one(
        self, images: NDArray[np.uint8], memory: ResultMemory, namespace: str, *, store: bool
    ) -> Prediction:
        """Do for one image what `recall_or_compute` does for many."""
        begin_s = time.perf_counter()
        (known,) = memory.lookup(namespace, images)
        lookup_s = time.perf_counter() - begin_s
        if known is not None:
            return recalled_answer(known, lookup_s)
        computed = self._compute_one(images, {MEMORY: lookup_s})
        if store:
            memory.store(namespace, images, computed)
        return computed

    def macs_by_stage(self) -> dict[str, int | None]:
        """Return the multiply-accumulates until each stage has answered; None where unknown."""
        macs = [member.info.macs for member in self.members]
        if isinstance(self.members[0], StagedClassifier) and len(self.stages) > len(macs):
            macs = list(self.members[0].stage_macs)
        known: Iterator[int | None] = itertools.accumulate(
            macs, lambda before, one: before and one and before + one
        )
        return dict(zip(self.stages, known, strict=True))

    def warm_up(self, batch_sizes: Sequence[int]) -> None:
        """Run blank batches of these sizes through all members; the memory stays as it is."""
        for member in self.members:
            member.warm_up(batch_sizes)

    def close(self) -> None:
        """Close all members; this classifier must not be used afterwards."""
        for member in self.members:
            member.close()

    def _compute(self, images: NDArray[np.uint8]) -> Prediction:
        """Answer for canonical images, checked and not remembered; N may be 0."""
        return self._compute_one(images) if len(images) == 1 else self._compute_many(images)

    def _compute_one(
        self, images: NDArray[np.uint8], times_s: dict[str, float] | None = None
    ) -> Prediction:
        """Do for one image what `_compute_many` does, without arrays that tell images apart.

        Args:
            images: (1, height, width, C) uint8.
            times_s: Time that was spent on the image before, by stage; it goes into the trace.
        """
        begin_s = time.perf_counter()
        answers = self._ask_one(images)
        answer = next(answers)
        first_score = score = self._sureness(answer)
        times_s = {} if times_s is None else times_s
        stage = self.stages[0]
        for further, gate in self._further:
            if not score < gate:
                break
            gated_s = time.perf_counter()
            times_s[stage] = gated_s - begin_s
            begin_s, stage = gated_s, further
            answer = self._combined(answer, next(answers))
            score = self._sureness(answer)
        times_s[stage] = time.perf_counter() - begin_s
        trace = Trace(
            stage=stage, memory_hit=False, confidence_a=first_score, stage_times_s=times_s
        )
        return Prediction(
            probabilities=answer.probabilities, confidence=answer.confidence, trace=(trace,)
        )

    def _sureness(self, answer: Prediction) -> float:
        """Return the score of the answer for one image."""
        score, probabilities = self.policy.score, answer.probabilities
        if score == "max_probability":
            return float(answer.confidence[0])
        if score == "margin" and probabilities.size <= _FEW_CLASSES:
            ordered: list[float] = probabilities.tolist()[0]
            ordered.sort()
            return ordered[-1] - ordered[-2]
        return float(self._score(probabilities)[0])

    def _combined(self, answer: Prediction, further: Prediction) -> Prediction:
        """Make one answer of two for one image."""
        pa, pb = answer.probabilities, further.probabilities
        sa, sb = (self._score(pa), self._score(pb)) if self._compares else (_UNSCORED, _UNSCORED)
        both = self._combine(pa, pb, sa, sb)
        return Prediction(probabilities=both, confidence=confidence(both))

    def _compute_many(self, images: NDArray[np.uint8]) -> Prediction:
        """Answer for any number of images but one; each takes its own way through the stages."""
        begin_s = time.perf_counter()
        run = self._run(images)
        answer = probabilities = next(run)
        scores = first_scores = self._score(answer)
        reached = np.zeros(len(images), np.int64)
        shares_s: list[float] = []
        # None as long as all images go on, the common case of a batch of one: nothing is copied.
        rows: NDArray[np.int64] | None = None
        for stage, gate in enumerate(self._gates, start=1):
            below = scores < gate
            asked = int(np.count_nonzero(below))
            gated_s = time.perf_counter()
            shares_s.append((gated_s - begin_s) / max(len(below), 1))
            begin_s = gated_s
            if not asked:
                break
            left = None
            if asked < len(below):
                left = below.nonzero()[0]
                answer, scores = answer[left], scores[left]
                # Copies, for a member may hold on to its arrays.
                probabilities = probabilities.copy() if rows is None else probabilities
                rows = left if rows is None else rows[left]
            further = run.send(left)
            further_scores = self._score(further) if self._compares else _UNSCORED
            answer = self._combine(answer, further, scores, further_scores)
            if rows is None:
                probabilities, reached[:] = answer, stage
            else:
                probabilities[rows], reached[rows] = answer, stage
            scores = self._score(answer) if stage < len(self._gates) else scores
        else:
            shares_s.append((time.perf_counter() - begin_s) / max(len(scores), 1))
        return Prediction(
            probabilities=probabilities,
            confidence=confidence(probabilities),
            trace=_traces(self.stages, reached.tolist(), first_scores.tolist(), shares_s),
        )

    def _ask_members(self, images: NDArray[np.uint8]) -> Iterator[Prediction]:
        """Return what the members answer about a batch of one, as far as it is fetched."""
        # Unlike a generator, a map costs nothing to leave half-way.
        return map(lambda member: member.predict(images), self.members)  # noqa: C417

    def _ask_in_turn(
        self, images: NDArray[np.uint8]
    ) -> Generator[NDArray[np.float32], NDArray[np.int64] | None, None]:
        """Yield what the members answer; sent are the images that go on, or None for all."""
        for member in self.members:
            left = yield member.predict(images).probabilities
            images = images if left is None else images[left]


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
    return (first.crop, first.resize, first.aspect, first.invert) == (
        second.crop,
        second.resize,
        second.aspect,
        second.invert,
    )


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


def _require_gates(
    members: Sequence[ClassifierSession], policy: CascadePolicy
) -> StagedClassifier | None:
    """Check that the thresholds fit the members; return the one that an early exit goes through."""
    gates, first = len(policy.thresholds), members[0]
    if gates == len(members) - 1:
        return None
    if len(members) != 1 or gates != 1:
        raise DataError(
            f"{len(members)} networks with {gates} thresholds are no cascade: expected a threshold "
            "after every network but the last"
        )
    if not isinstance(first, StagedClassifier):
        raise DataError(
            f"a cascade of {first.info.name!r} alone with a threshold stops between its stages, so "
            "that must be a classifier with stages, and it has none; name a second network"
        )
    return first


def _traces(
    names: Sequence[str],
    reached: Sequence[int],
    first_scores: Sequence[float],
    shares_s: Sequence[float],
) -> tuple[Trace, ...]:
    """Return one trace per image; images that got equally far share their times."""
    times = [dict(zip(names, shares_s[: k + 1], strict=False)) for k in range(len(shares_s))]
    stages, reached_times_s = (map(each.__getitem__, reached) for each in (names, times))
    # In the order of a trace's fields: `_make` takes a fifth of the time of the constructor.
    rows = zip(stages, itertools.repeat(False), first_scores, reached_times_s, strict=False)
    return tuple(map(Trace._make, rows))


def _fingerprint(members: Sequence[ModelInfo], policy: CascadePolicy) -> str:
    fingerprints = [member.fingerprint for member in members]
    thresholds = map(float, policy.thresholds)
    decisive = [*fingerprints, policy.score, *thresholds, policy.combine]
    return hashlib.sha256(json.dumps(decisive).encode()).hexdigest()
