"""Two classifiers against each other: trained with the same seeds, asked the same images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bicameral.errors import ConfigError
from bicameral.protocols import ClassifierSession
from edge.latency import Contestant, LatencySettings, cpu_ratio, measure_latency
from edge.loading import load_classifier
from models.cascade.bootstrap import Interval, Resampling, mean_interval
from models.cascade.deployed import require_same_task
from models.classifiers.dataset import ImageDataset
from models.host import host_name
from models.zoo.evaluation import predict

_BATCH_SIZES = (1, 32)
_LATENCY = LatencySettings(rounds=25, turn_s=0.04, warm_up_s=0.04)

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuRatio:
    """What the first classifier costs in CPU time, and how many times that the second does.

    Attributes:
        batch_size: Images per call.
        cpu_us: Of the first, microseconds per image, median over the rounds.
        other_cpu_us: Of the second.
        ratio: Second over first, median over rounds in which both took turns; above 1, the first
            is faster.
        rounds: Number of rounds.
    """

    batch_size: int
    cpu_us: float
    other_cpu_us: float
    ratio: float
    rounds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PairComparison:
    """How two classifiers compare on the test images.

    Attributes:
        models: Names of the first classifier's trainings.
        others: Names of the second's, in the order of the same seeds.
        accuracy: Of the first, 0..1, with a 95 % interval over images and seeds.
        other_accuracy: Of the second.
        difference: First minus second, paired by image and seed.
        differences: First minus second for each seed.
        cpu: CPU time of the first training of each, per batch size.
        host: Where it was timed.
        command: Command line that compared.
    """

    models: tuple[str, ...]
    others: tuple[str, ...]
    accuracy: Interval
    other_accuracy: Interval
    difference: Interval
    differences: tuple[float, ...]
    cpu: tuple[CpuRatio, ...]
    host: str
    command: str


def compare_pair(
    models: Sequence[Path],
    others: Sequence[Path],
    dataset: ImageDataset,
    command: str,
    progress: Progress,
) -> PairComparison:
    """Compare two classifiers of which each was trained with the same seeds.

    Args:
        models: Graphs or sidecars of the first classifier, one a seed.
        others: Those of the second, in the same order.
        dataset: Its test images judge.
        command: Command line, for the record.
        progress: Told what is done.

    Raises:
        ConfigError: If the numbers of models differ.
        DataError: If a model is damaged or of other classes or images.
    """
    if len(models) != len(others) or not models:
        raise ConfigError(
            f"{len(models)} models are to be compared with {len(others)}; give as many of the one "
            "as of the other, in the order of their seeds"
        )
    total = 2 * len(models) + 1
    correct: list[NDArray[np.bool_]] = []
    with ExitStack() as stack:
        loaded: list[ClassifierSession] = []
        for path in (*models, *others):
            classifier = load_classifier(path)
            stack.callback(classifier.close)
            require_same_task(classifier, dataset)
            progress(len(loaded), total, f"answers of {classifier.info.name}")
            answers = predict(classifier, dataset.test.images).argmax(axis=1)
            correct.append(answers == dataset.test.labels)
            loaded.append(classifier)
        progress(total - 1, total, "CPU time in turns")
        cpu = [_cpu(loaded[0], loaded[len(models)], dataset, size) for size in _BATCH_SIZES]
    first, second = np.array(correct[: len(models)]), np.array(correct[len(models) :])
    gap = first.astype(np.float64) - second
    progress(total, total, "done")
    return PairComparison(
        models=tuple(map(str, models)),
        others=tuple(map(str, others)),
        accuracy=mean_interval(first.astype(np.float64), Resampling()),
        other_accuracy=mean_interval(second.astype(np.float64), Resampling()),
        difference=mean_interval(gap, Resampling()),
        differences=tuple(round(float(one), 6) for one in gap.mean(axis=1)),
        cpu=tuple(cpu),
        host=host_name(),
        command=command,
    )


def _cpu(
    one: ClassifierSession, other: ClassifierSession, dataset: ImageDataset, size: int
) -> CpuRatio:
    images = dataset.test.images[:size]
    first, second = measure_latency(
        [
            Contestant(title=c.info.name, call=partial(c.predict, images), batch_size=len(images))
            for c in (one, other)
        ],
        _LATENCY,
    )
    return CpuRatio(
        batch_size=len(images),
        cpu_us=round(first.cpu_us, 2),
        other_cpu_us=round(second.cpu_us, 2),
        ratio=round(cpu_ratio(second, first), 3),
        rounds=_LATENCY.rounds,
    )
