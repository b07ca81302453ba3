"""What a memory costs beside the network that it saves."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bicameral.errors import DataError
from bicameral.protocols import ClassifierSession, ResultMemory
from bicameral.types import Prediction
from edge.memory.local import LocalMemory
from edge.memory.settings import MemorySettings
from models.cascade.false_hits import memory_title
from models.cascade.streams_results import MemoryCost
from models.classifiers.dataset import LabelledImages

Images = NDArray[np.uint8]

_NAMESPACE = "cost"


@dataclass(frozen=True, slots=True, kw_only=True)
class CostSettings:
    """How to measure cost.

    Attributes:
        batch_sizes: Images per call.
        images: Images per round and batch size.
        rounds: Rounds, in each of which everything is measured once, in turn.
    """

    batch_sizes: tuple[int, ...] = (1, 32)
    images: int = 256
    rounds: int = 7


def measure_cost(
    known: LabelledImages,
    unknown: Images,
    memories: Sequence[MemorySettings],
    *,
    classifier: ClassifierSession | None = None,
    settings: CostSettings = CostSettings(),
) -> tuple[MemoryCost, ...]:
    """Measure lookups and stores of memories that already hold images.

    Args:
        known: Images to fill the memories with, at least `settings.images`.
        unknown: Images (N, H, W, C) uint8 that are not among them, at least `settings.images`.
        memories: Memories to measure.
        classifier: The network to stand beside; it sees the same images.
        settings: Batch sizes and rounds.

    Raises:
        DataError: If there are too few images.
    """
    if min(len(known), len(unknown)) < settings.images:
        raise DataError(
            f"{len(known)} known and {len(unknown)} unknown images are fewer than the "
            f"{settings.images} of a round; give more, or measure with fewer"
        )
    answers = np.eye(int(known.labels.max()) + 1, dtype=np.float32)[known.labels]
    results = Prediction(probabilities=answers, confidence=np.ones(len(known), np.float32))
    if classifier is not None:
        classifier.warm_up(settings.batch_sizes)
    costs: list[MemoryCost] = []
    for memory_settings in memories:
        memory = LocalMemory(memory_settings)
        memory.store(_NAMESPACE, known.images, results)
        case = _Case(
            title=memory_title(memory_settings),
            memory=memory,
            # The last ones, which a smaller memory still holds.
            known=known.images[-settings.images :],
            unknown=unknown[: settings.images],
            results=results,
            classifier=classifier,
        )
        costs += [_cost(case, size, settings.rounds) for size in settings.batch_sizes]
    return tuple(costs)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """A filled memory, and images and results to try it with."""

    title: str
    memory: ResultMemory
    known: Images
    unknown: Images
    results: Prediction
    classifier: ClassifierSession | None


def _cost(case: _Case, batch_size: int, rounds: int) -> MemoryCost:
    batch_results = Prediction(
        probabilities=case.results.probabilities[:batch_size],
        confidence=case.results.confidence[:batch_size],
    )
    actions: dict[str, tuple[Images, Callable[[Images], object]]] = {
        "hit": (case.known, lambda batch: case.memory.lookup(_NAMESPACE, batch)),
        "miss": (case.unknown, lambda batch: case.memory.lookup(_NAMESPACE, batch)),
        # In a namespace of its own, so that the unknown images stay unknown.
        "store": (case.unknown, lambda batch: case.memory.store("other", batch, batch_results)),
    }
    if case.classifier is not None:
        actions["classifier"] = (case.unknown, case.classifier.predict)
    times_us: dict[str, list[float]] = {name: [] for name in actions}
    for _ in range(rounds):
        for name, (images, action) in actions.items():
            times_us[name].append(_time_per_image_us(images, batch_size, action))
    median = {name: statistics.median(values) for name, values in times_us.items()}
    return MemoryCost(
        key=case.title,
        batch_size=batch_size,
        entries=case.memory.counters().entries,
        hit_us=median["hit"],
        miss_us=median["miss"],
        store_us=median["store"],
        classifier_us=median.get("classifier"),
    )


def _time_per_image_us(
    images: Images, batch_size: int, action: Callable[[Images], object]
) -> float:
    """Return CPU microseconds per image of whole batches."""
    batches = [
        images[start : start + batch_size]
        for start in range(0, len(images) - batch_size + 1, batch_size)
    ]
    begin_s = time.thread_time()
    for batch in batches:
        action(batch)
    return 1e6 * (time.thread_time() - begin_s) / (len(batches) * batch_size)
