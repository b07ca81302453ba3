"""A batch between the result memory and the networks: what is known, and what must be computed."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bicameral.protocols import ResultMemory
from bicameral.types import Prediction, Trace

#: What traces call the memory.
MEMORY = "memory"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Recall:
    """What a memory said about a batch.

    Attributes:
        images: (N, H, W, C) uint8, N >= 1, as looked up.
        found: For each image its answer, or None.
        unknown_rows: Which images have none, in order.
        unknown: Those images, which must be computed.
        lookup_s: Each image's share of the time for looking up.
    """

    images: NDArray[np.uint8]
    found: list[Prediction | None]
    unknown_rows: list[int]
    unknown: NDArray[np.uint8]
    lookup_s: float

    def completed(self, computed: Prediction | None) -> Prediction:
        """Put what was found and what was computed into the order of the images.

        Args:
            computed: Answers for `unknown`, with traces; None if there was nothing to compute.

        Returns:
            One answer and one trace per image; the time for looking up is a stage of all of them.
        """
        if len(self.unknown_rows) == len(self.images) and computed is not None:
            return Prediction(
                probabilities=computed.probabilities,
                confidence=computed.confidence,
                trace=tuple(map(self._after_lookup, computed.trace or ())),
            )
        known = [answer for answer in self.found if answer is not None]
        hit = _hit(self.lookup_s)
        if len(known) == len(self.images) == 1:
            return recalled_answer(known[0], self.lookup_s)
        probabilities = np.empty((len(self.images), known[0].probabilities.shape[1]), np.float32)
        confidence = np.empty(len(self.images), np.float32)
        trace = [hit] * len(self.images)
        for row, answer in enumerate(self.found):
            if answer is not None:
                probabilities[row] = answer.probabilities[0]
                confidence[row] = answer.confidence[0]
        if computed is not None:
            probabilities[self.unknown_rows] = computed.probabilities
            confidence[self.unknown_rows] = computed.confidence
            for row, entry in zip(self.unknown_rows, computed.trace or (), strict=True):
                trace[row] = self._after_lookup(entry)
        return Prediction(probabilities=probabilities, confidence=confidence, trace=tuple(trace))

    def _after_lookup(self, entry: Trace) -> Trace:
        return Trace(
            stage=entry.stage,
            memory_hit=False,
            confidence_a=entry.confidence_a,
            stage_times_s={MEMORY: self.lookup_s, **entry.stage_times_s},
        )


def recalled_answer(known: Prediction, lookup_s: float) -> Prediction:
    """Return what a memory knows of one image as an answer of its own, with its trace."""
    # Copies: what the caller does to its answer must not reach the next one's.
    return Prediction(
        probabilities=known.probabilities.copy(),
        confidence=known.confidence.copy(),
        trace=(_hit(lookup_s),),
    )


def _hit(lookup_s: float) -> Trace:
    return Trace(stage=MEMORY, memory_hit=True, confidence_a=None, stage_times_s={MEMORY: lookup_s})


def recall(memory: ResultMemory, namespace: str, images: NDArray[np.uint8]) -> Recall:
    """Look up a batch.

    Args:
        memory: Where.
        namespace: Fingerprint of the model, and whatever else separates answers.
        images: (N, H, W, C) uint8 canonical images, N >= 1.
    """
    begin_s = time.perf_counter()
    found = memory.lookup(namespace, images)
    lookup_s = (time.perf_counter() - begin_s) / len(images)
    unknown_rows = [row for row, answer in enumerate(found) if answer is None]
    return Recall(
        images=images,
        found=found,
        unknown_rows=unknown_rows,
        unknown=images if len(unknown_rows) == len(images) else images[unknown_rows],
        lookup_s=lookup_s,
    )
