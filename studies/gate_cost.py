"""What a cascade adds to its networks: CPU time of gate, combination and trace per image.

The members are timed inside the cascade's own calls, so both figures come from the same calls on
the same images, with the caches as the networks leave them. The gate's figure holds what timing the
networks costs, about one microsecond per call of a network. There is no result memory.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from bicameral.protocols import ClassifierSession
from bicameral.statistics import Estimate, median, share
from bicameral.types import Prediction
from edge.cascade import CascadeClassifier
from models.cascade.deployed import load_deployed
from models.data.sources import load_dataset
from studies.measurements import Measured, print_measurements, write_measurements
from studies.study import Study

BATCHES = (1, 32)
IMAGES, ROUNDS = 256, 7


class _Stopwatch:
    """A classifier that adds up the CPU time of its predictions and the images it was given."""

    def __init__(self, classifier: ClassifierSession) -> None:
        self._classifier = classifier
        self.busy_s, self.images = 0.0, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._classifier, name)

    def predict(self, images: NDArray[np.uint8]) -> Prediction:
        begin_s = time.thread_time()
        prediction = self._classifier.predict(images)
        self.busy_s += time.thread_time() - begin_s
        self.images += len(images)
        return prediction


def measure_gate(
    cascade: CascadeClassifier, images: NDArray[np.uint8], size: int, rounds: int = ROUNDS
) -> dict[str, Estimate]:
    """Measure a cascade; its own result memory is left out.

    Args:
        cascade: The cascade; it stays as it is.
        images: (N, H, W, C) uint8 of the kind it will see, since they decide how often B runs.
        size: Images per call; a last, smaller batch is left out.
        rounds: Passes over the images.
    """
    a, b = map(_Stopwatch, cascade.members)
    timed = CascadeClassifier(cast(list[ClassifierSession], [a, b]), cascade.policy)
    timed.warm_up((size,))
    starts = range(0, len(images) - size + 1, size)
    count = len(starts) * size
    gate_us, networks_us = [], []
    for _ in range(rounds):
        a.busy_s = b.busy_s = 0.0
        b.images = 0
        begin_s = time.thread_time()
        for start in starts:
            timed.predict(images[start : start + size])
        networks_s = a.busy_s + b.busy_s
        gate_us.append(1e6 * (time.thread_time() - begin_s - networks_s) / count)
        networks_us.append(1e6 * networks_s / count)
    return {
        "share_b": share(b.images, count),
        "gate_us": median(gate_us, "us"),
        "networks_us": median(networks_us, "us"),
        "ratio": median([gate / own for gate, own in zip(gate_us, networks_us, strict=True)]),
    }


def run(folder: Path, quick: bool) -> int:
    """Measure the shipped cascade."""
    deployed = load_deployed("fashion_mnist_cascade")
    images = load_dataset("fashion-mnist").test.images[: 64 if quick else IMAGES]
    found = {size: measure_gate(deployed.cascade, images, size) for size in BATCHES}
    deployed.close()
    measured: Measured = {
        ("fashion_mnist_cascade", f"batch {size}", quantity): one
        for size, of in found.items()
        for quantity, one in of.items()
    }
    print_measurements(measured)
    write_measurements(folder / "gate_cost.csv", measured)
    return int(any((of["ratio"].value or 1.0) > 0.15 for of in found.values()))


STUDY = Study(
    claim="Gate, combination and trace take at most 15 % of the networks' CPU time.",
    setting=(
        f"AMD EPYC, two cores, one thread; {IMAGES} test images of FashionMNIST in {ROUNDS} "
        "rounds; no random numbers; seconds"
    ),
    run=run,
    needs="FashionMNIST",
)
