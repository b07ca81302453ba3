"""One any-time classifier, one decision: the next stage runs only for images it is not sure of.

The cascade's gate between the stages of one network: the score of the answer so far is compared
with the threshold, as A's is, and the answers become one as A's and B's do. What an image does not
need is not computed: its row leaves the batch.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bicameral.protocols import ResultMemory
from bicameral.types import Prediction, Trace
from edge.cascade import CascadePolicy, GatedClassifier
from edge.stages import StagedClassifier


class EarlyExitClassifier(GatedClassifier):
    """`bicameral.protocols.ClassifierSession` that stops at the first stage that is sure enough.

    Thread-safe if its memory is. It owns the any-time classifier: `close` closes it.

    Attributes:
        staged: The classifier whose stages are run.
    """

    def __init__(
        self,
        staged: StagedClassifier,
        policy: CascadePolicy,
        *,
        memory: ResultMemory | None = None,
    ) -> None:
        """Put the gate between the stages of a classifier.

        Args:
            staged: Computes the stages.
            policy: When the next stage runs, and what becomes of its answer.
            memory: Looked up before the first stage, or None.
        """
        super().__init__((staged,), policy, memory)
        self.staged = staged

    def _compute(self, images: NDArray[np.uint8]) -> Prediction:
        """Run stage after stage, each on the images of which the one before was not sure.

        The traces' `stage_times_s` hold the image's shares of the stages it went through,
        ``block_1``, ``block_2``, ...; `confidence_a` is the score after the first.
        """
        count = len(images)
        probabilities = np.empty((count, len(self.info.labels)), np.float32)
        used = np.zeros(count, np.int64)
        shares_s: list[float] = []
        rows, first_scores = np.arange(count), np.empty(0)
        state, before = self.staged.begin(images), None
        while state.done < self.staged.stages and len(rows):
            begin_s = time.perf_counter()
            answer, state = self.staged.advance(state)
            scores = self._score(answer)
            if before is None:
                first_scores = scores
            else:
                answer = self._combine(before[0], answer, before[1], scores)
                scores = self._score(answer)
            probabilities[rows], used[rows] = answer, state.done
            left = (scores < self._threshold).nonzero()[0]
            shares_s.append((time.perf_counter() - begin_s) / len(rows))
            before = answer[left], scores[left]
            if len(left) < len(rows):
                rows, state = rows[left], state.rows(left)
        return Prediction(
            probabilities=probabilities,
            confidence=np.maximum.reduce(probabilities, axis=-1),
            trace=_traces(used.tolist(), first_scores.tolist(), shares_s),
        )


def stage_name(number: int) -> str:
    """Return what a trace calls a stage, counted from 1."""
    return f"block_{number}"


def _traces(
    used: Sequence[int], first_scores: Sequence[float], shares_s: Sequence[float]
) -> tuple[Trace, ...]:
    """Return one trace per image; images that went equally far share their times."""
    times = [
        {stage_name(k + 1): share for k, share in enumerate(shares_s[:n])}
        for n in range(len(shares_s) + 1)
    ]
    return tuple(
        Trace(
            stage=stage_name(number),
            memory_hit=False,
            confidence_a=score,
            stage_times_s=times[number],
        )
        for number, score in zip(used, first_scores, strict=True)
    )
