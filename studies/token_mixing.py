"""Ways for patches to see each other without full attention, each against attention and ConViT.

All are trained on the same few pictures in the same order, far from their best, so that their
accuracies say something of each other only.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from bicameral.statistics import Estimate, paired_difference, share
from models.classifiers.distillation import predict_logits
from models.classifiers.training import Recipe, TrainingSettings, image_spec, train
from models.data.dataset import ImageDataset
from models.onnx_export import count_cost, onnx_from_network
from studies.images import NEEDS, fashion_mnist
from studies.measurements import Measured, print_measurements, single, write_measurements
from studies.paper_tables import CONVIT, MORE_RIGHT, clears
from studies.study import Study

#: What a mixer is held against: its twin with attention, and the zoo's vision transformer.
_REFERENCES = ("dense_vit", CONVIT)
_MIXERS = ("grassmann_vit", "dual_stream_vit")

_IMAGES, _BATCH = 16_000, 64


def run(folder: Path, quick: bool) -> int:
    """Train all of them, and compare each mixer with both references."""
    dataset = fashion_mnist(150 if quick else None)
    few = dataset.train.select(np.arange(min(_IMAGES, len(dataset.train))))
    dataset = replace(dataset, train=few)
    measured: Measured = {}
    right: dict[str, NDArray[np.bool_]] = {}
    for name in _MIXERS[:1] if quick else (*_REFERENCES, *_MIXERS):
        right[name], costs = _trained(name, folder / name, dataset)
        measured[name, "", "accuracy"] = share(int(right[name].sum()), len(right[name]))
        measured |= costs
    for name in right.keys() & set(_MIXERS):
        for other in right.keys() & set(_REFERENCES):
            measured[name, other, MORE_RIGHT] = _difference(right[name], right[other])
    write_measurements(folder / "token_mixing.csv", measured)
    print_measurements(measured)
    return 0 if quick or all(clears(measured, name) for name in _MIXERS) else 1


STUDY = Study(
    claim="Planes between patches, and streams kept apart, classify better than ConViT after the "
    "same pictures.",
    setting="One thread of a shared AMD EPYC; n = 1 training (seed 0) of four networks, one pass "
    "over 16,000 images, 10,000 test images; 4 CPU-minutes.",
    run=run,
    needs=NEEDS,
)


def _trained(name: str, folder: Path, dataset: ImageDataset) -> tuple[NDArray[np.bool_], Measured]:
    """Return which test images a trained network answers rightly, and what it costs."""
    recipe = Recipe(epochs=1, batch_size=_BATCH)
    network = train(TrainingSettings(architecture=name, output=folder, recipe=recipe), dataset)
    logits = predict_logits(network, dataset.test.images, image_spec(dataset))
    height, width, channels = dataset.image_shape
    example = {"image": torch.zeros(1, channels, height, width)}
    macs, parameters = count_cost(onnx_from_network(network, example, ("logits", "features")))
    costs = {(name, "", "MACs"): single(macs), (name, "", "parameters"): single(parameters)}
    return logits.argmax(axis=1) == dataset.test.labels, costs


def _difference(mine: NDArray[np.bool_], others: NDArray[np.bool_]) -> Estimate:
    gained, lost = int((mine & ~others).sum()), int((~mine & others).sum())
    return paired_difference(gained, lost, len(mine))
