"""What `train classifier --memory-saving` saves and costs (Mesa; Pan et al. 2021, 2111.11124).

The most memory that a process ever held is measured in a process of its own for each network, with
a few steps of a large batch; accuracy and CPU time by short trainings with the same seeds.
"""

from __future__ import annotations

import re
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from bicameral.statistics import mean, mean_over_images
from models.activation_compression import compress_activations
from models.classifiers.distillation import predict_logits
from models.classifiers.training import Recipe, TrainingSettings, image_spec, train
from models.data.dataset import ImageDataset
from models.networks.architectures import build_network
from models.networks.layers import ImageShape
from studies.images import NEEDS, fashion_mnist
from studies.measurements import Measured, print_measurements, single, write_measurements
from studies.study import Study
from studies.training_findings import LEAST, LESS, PEAK, SAVING, SAVING_MINUS, saves_memory

_MEASURED = ("dense_vit", "squeeze16")
_BATCH, _STEPS_OF_PEAK = 512, 2
_TRAINED, _SEEDS, _EPOCHS, _IMAGES = "squeeze16", 3, 3, 10_000


def run(folder: Path, quick: bool) -> int:
    """Measure memory, then train with and without, and say whether the paper's figures hold."""
    measured: Measured = {}
    for name in _MEASURED[:1] if quick else _MEASURED:
        ask = measure_peak if quick else _peak_of
        peaks = [ask(name, 16 if quick else _BATCH, saving) for saving in (False, True)]
        for saving, (least, peak) in enumerate(peaks):
            way = (name, SAVING if saving else "plain")
            measured[*way, PEAK], measured[*way, LEAST] = single(peak, "MiB"), single(least, "MiB")
        measured[name, SAVING_MINUS, PEAK] = single(1.0 - peaks[1][1] / peaks[0][1])
    dataset = fashion_mnist(150 if quick else _IMAGES)
    right: dict[bool, list[NDArray[np.float64]]] = {False: [], True: []}
    ratios = []
    for seed in range(1 if quick else _SEEDS):
        times = {}
        for saving, found in right.items():
            begin = time.process_time()
            found.append(_right(folder, dataset, seed, 1 if quick else _EPOCHS, saving))
            times[saving] = time.process_time() - begin
        ratios.append(times[True] / times[False])
    correct = {saving: np.array(found) for saving, found in right.items()}
    measured[_TRAINED, "plain", "accuracy"] = mean_over_images(correct[False])
    measured[_TRAINED, SAVING, "accuracy"] = mean_over_images(correct[True])
    measured[_TRAINED, SAVING_MINUS, LESS] = mean_over_images(correct[True] - correct[False])
    measured[_TRAINED, SAVING_MINUS, "ratio of CPU times"] = mean(ratios)
    write_measurements(folder / "memory_saving.csv", measured)
    print_measurements(measured, title="memory_saving")
    return int(saves_memory(measured) != "holds")


def _peak_of(name: str, batch: int, saving: bool) -> tuple[float, float]:
    """Return what `measure_peak` does, of a process of its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(measure_peak, name, batch, saving).result()


def measure_peak(name: str, batch: int, saving: bool) -> tuple[float, float]:
    """Return the most memory in MiB that this process held before and after a few steps."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = build_network(name, ImageShape(channels=1, height=28, width=28, classes=10))
    images, labels = torch.randn(batch, 1, 28, 28), torch.arange(batch) % 10
    least = _most_held_mib()
    for _ in range(_STEPS_OF_PEAK):
        network.zero_grad()
        with compress_activations(network) if saving else nullcontext():
            loss = functional.cross_entropy(network(images)[0], labels)
        loss.backward()  # type: ignore[no-untyped-call]
    return least, _most_held_mib()


def _most_held_mib() -> float:
    # Not getrusage, whose figure a new process takes over from the one that began it.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(re.findall(r"VmHWM:\s+(\d+)", status)[0]) / 1024.0


def _right(
    folder: Path, dataset: ImageDataset, seed: int, epochs: int, saving: bool
) -> NDArray[np.float64]:
    """Train, and return which test images (N,) are answered rightly."""
    settings = TrainingSettings(
        architecture=_TRAINED,
        output=folder / f"{'saving' if saving else 'plain'}-s{seed}",
        recipe=Recipe(epochs=epochs, memory_saving=saving),
        seed=seed,
    )
    network = train(settings, dataset)
    logits = predict_logits(network, dataset.test.images, image_spec(dataset))
    return np.asarray(logits.argmax(axis=1) == dataset.test.labels, np.float64)


STUDY = Study(
    claim="Keeping what the backward pass needs in 8 bits takes a quarter off the most memory that "
    "a training holds at a batch of 512, for 0.3 points of accuracy at most.",
    setting="One thread of a shared AMD EPYC; memory: one process each; accuracy: n = 3 seeds of "
    "squeeze16 with and without, 3 epochs of 10,000 images, 10,000 test images; 8 "
    "CPU-minutes. The ratio of CPU times is from before freed memory was given back at once.",
    run=run,
    needs=NEEDS,
)
