"""Two classifiers against each other: trained with the same seeds, asked the same images."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bicameral.errors import ConfigError
from bicameral.protocols import ClassifierSession
from bicameral.statistics import mean_over_images
from bicameral.tables import points_cell
from edge.latency import Contestant, LatencySettings, cpu_ratio, measure_latency
from edge.loading import load_classifier
from models.data.dataset import ImageDataset
from models.host import host_name
from studies.images import predict
from studies.measurements import Measured, single

_BATCH_SIZES = (1, 32)

#: Condition of the figures that are no times.
ON_TEST_IMAGES = "test images"


def compare_pair(
    subject: str,
    models: Sequence[Path],
    others: Sequence[Path],
    dataset: ImageDataset,
    rounds: int = 25,
) -> Measured:
    """Compare two classifiers of which each was trained with the same seeds.

    Args:
        subject: Names the comparison.
        models: Graphs or sidecars of the first classifier, one a seed.
        others: Those of the second, in the same order.
        dataset: Its test images judge.
        rounds: In which both take turns for the CPU time.

    Returns:
        On test images the accuracies over images and seeds, and their ``difference``, first minus
        second, paired by image and seed, also of each seed; at each batch size the CPU time of the
        first training of both, and the ``ratio`` of the second's to the first's.

    Raises:
        ConfigError: If the numbers of models differ.
    """
    if len(models) != len(others) or not models:
        raise ConfigError(
            f"{len(models)} models are to be compared with {len(others)}; give as many of the one "
            "as of the other, in the order of their seeds"
        )
    with ExitStack() as stack:
        loaded = [load_classifier(path) for path in (*models, *others)]
        for classifier in loaded:
            stack.callback(classifier.close)
        answers = [predict(one, dataset.test.images).argmax(axis=1) for one in loaded]
        correct = np.array([one == dataset.test.labels for one in answers], np.float64)
        first, second = correct[: len(models)], correct[len(models) :]
        gap = first - second
        measured: Measured = {
            (subject, ON_TEST_IMAGES, "accuracy"): mean_over_images(first),
            (subject, ON_TEST_IMAGES, "other accuracy"): mean_over_images(second),
            (subject, ON_TEST_IMAGES, "difference"): mean_over_images(gap),
        }
        for seed, difference in enumerate(gap.mean(axis=1)):
            key = (subject, ON_TEST_IMAGES, f"difference of seed {seed}")
            measured[key] = single(float(difference), n=gap.shape[1])
        for size in _BATCH_SIZES:
            images = dataset.test.images[:size]
            measured |= _times(subject, (loaded[0], loaded[len(models)]), images, rounds)
    print(f"{subject}: {points_cell(measured[subject, ON_TEST_IMAGES, 'difference'])} points")
    return measured


def _times(
    subject: str,
    pair: tuple[ClassifierSession, ClassifierSession],
    images: NDArray[np.uint8],
    rounds: int,
) -> Measured:
    calls = [
        Contestant(title=str(place), call=partial(one.predict, images), batch_size=len(images))
        for place, one in enumerate(pair)
    ]
    settings = LatencySettings(rounds=rounds, turn_s=0.04, warm_up_s=0.04)
    first, second = measure_latency(calls, settings)
    condition = f"batch {len(images)} on {host_name()}"
    return {
        (subject, condition, "CPU time"): single(first.cpu_us, "µs", rounds),
        (subject, condition, "other CPU time"): single(second.cpu_us, "µs", rounds),
        (subject, condition, "ratio"): single(cpu_ratio(second, first), n=rounds),
    }
