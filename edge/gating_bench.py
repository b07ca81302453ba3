"""What a cascade adds to its networks: CPU time of gate, combination and trace per image.

The members are timed inside the cascade's own calls, so both figures come from the same calls on
the same images, with the caches as the networks leave them.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from bicameral.errors import DataError
from bicameral.protocols import ClassifierSession
from bicameral.types import Prediction
from edge.cascade import CascadeClassifier


@dataclass(frozen=True, slots=True, kw_only=True)
class GatingBenchSettings:
    """What to measure.

    Attributes:
        batch_sizes: Sizes of the batches that the images are cut into; a last, smaller batch is
            left out.
        rounds: Passes over the images for every batch size, taken in turn.
    """

    batch_sizes: tuple[int, ...] = (1, 32)
    rounds: int = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class GatingCost:
    """CPU microseconds per image of one thread, at one batch size.

    Attributes:
        batch_size: Images per call.
        images: Images per round.
        share_b: Share of the images about which B was asked.
        gating_us: Everything that is neither network, median over the rounds. It holds
            what timing the networks costs, about one microsecond per call of a network.
        least_gating_us: The smallest round.
        most_gating_us: The largest round.
        networks_us: Both members with their pre-processing and softmax, median over the rounds.
        ratio: Median over the rounds of gating / networks of the same round.
    """

    batch_size: int
    images: int
    share_b: float
    gating_us: float
    least_gating_us: float
    most_gating_us: float
    networks_us: float
    ratio: float


def measure_gating(
    cascade: CascadeClassifier,
    images: NDArray[np.uint8],
    settings: GatingBenchSettings = GatingBenchSettings(),
) -> list[GatingCost]:
    """Measure a cascade without its result memory, whose cost depends on the stream.

    Args:
        cascade: The cascade; it stays as it is.
        images: (N, height, width, C) uint8 canonical images of the kind it will see, since they
            decide how often B runs; at least as many as the largest batch.
        settings: Batch sizes and rounds.

    Returns:
        One cost per batch size, in their order.

    Raises:
        DataError: If there are fewer images than the largest batch, or they are not canonical.
    """
    if len(images) < max(settings.batch_sizes):
        raise DataError(
            f"{len(images)} images do not fill a batch of {max(settings.batch_sizes)}; give more "
            "images or smaller batch sizes"
        )
    a, b = _Stopwatch(cascade.a), _Stopwatch(cascade.b)
    timed = CascadeClassifier(
        cast(ClassifierSession, a), cast(ClassifierSession, b), cascade.policy
    )
    timed.warm_up(settings.batch_sizes)
    rounds: dict[int, list[_Round]] = {size: [] for size in settings.batch_sizes}
    for _ in range(settings.rounds):
        for size, done in rounds.items():
            done.append(_measure_round(timed, (a, b), images, size))
    return [_cost(size, done) for size, done in rounds.items()]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Round:
    """Images, images for B, and CPU seconds of one pass."""

    images: int
    asked_b: int
    networks_s: float
    gating_s: float


class _Stopwatch:
    """A classifier that adds up the CPU time of its predictions and the images it was given."""

    def __init__(self, classifier: ClassifierSession) -> None:
        self._classifier = classifier
        self.busy_s = 0.0
        self.images = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._classifier, name)

    def predict(self, images: NDArray[np.uint8]) -> Prediction:
        begin_s = time.thread_time()
        prediction = self._classifier.predict(images)
        self.busy_s += time.thread_time() - begin_s
        self.images += len(images)
        return prediction


def _measure_round(
    cascade: CascadeClassifier,
    members: tuple[_Stopwatch, _Stopwatch],
    images: NDArray[np.uint8],
    size: int,
) -> _Round:
    for member in members:
        member.busy_s, member.images = 0.0, 0
    starts = range(0, len(images) - size + 1, size)
    begin_s = time.thread_time()
    for start in starts:
        cascade.predict(images[start : start + size])
    total_s = time.thread_time() - begin_s
    networks_s = members[0].busy_s + members[1].busy_s
    return _Round(
        images=len(starts) * size,
        asked_b=members[1].images,
        networks_s=networks_s,
        gating_s=total_s - networks_s,
    )


def _cost(size: int, rounds: Sequence[_Round]) -> GatingCost:
    images = rounds[0].images
    gating_us = [1e6 * one.gating_s / images for one in rounds]
    return GatingCost(
        batch_size=size,
        images=images,
        share_b=rounds[0].asked_b / images,
        gating_us=statistics.median(gating_us),
        least_gating_us=min(gating_us),
        most_gating_us=max(gating_us),
        networks_us=statistics.median(1e6 * one.networks_s / images for one in rounds),
        ratio=statistics.median(one.gating_s / one.networks_s for one in rounds),
    )
