"""CPU time of classifiers, measured side by side so that a noisy machine hits all alike."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bicameral.protocols import ClassifierSession

_ROUNDS = 15
_IMAGES_PER_ROUND = 10


def measure_cpu_us(
    classifiers: Sequence[ClassifierSession], images: NDArray[np.uint8]
) -> list[float]:
    """Return each classifier's median CPU microseconds for one image at batch 1.

    The classifiers take turns, a few images each, so that the figures can be compared with each
    other even where they cannot be compared with those of another hour.

    Args:
        classifiers: What to measure; one thread each.
        images: Canonical images (N, H, W, C) uint8 that all of them take.
    """
    times_ns: list[list[int]] = [[] for _ in classifiers]
    for classifier in classifiers:
        classifier.warm_up([1])
    for turn in range(_ROUNDS):
        for classifier, taken_ns in zip(classifiers, times_ns, strict=True):
            for step in range(_IMAGES_PER_ROUND):
                index = (turn * _IMAGES_PER_ROUND + step) % len(images)
                image = images[index : index + 1]
                began_ns = time.thread_time_ns()
                classifier.predict(image)
                taken_ns.append(time.thread_time_ns() - began_ns)
    return [round(float(np.median(taken_ns)) / 1e3, 1) for taken_ns in times_ns]
