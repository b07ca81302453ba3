"""Transformers that choose heads, patches or experts, against a twin in which nothing chooses.

All have the same width, heads, depth, seed and steps.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.samples import Samples
from edge.sidecar import SUFFIX, read_sidecar
from models.classifiers.export import ExportSettings, export_classifier
from models.classifiers.training import Recipe, TrainingSettings, train
from models.data.dataset import ImageDataset
from models.diagnosis.graph import OpenGraph
from studies.images import NEEDS, fashion_mnist
from studies.measurements import Measured, single, write_measurements
from studies.pairs import ON_TEST_IMAGES, compare_pair
from studies.study import Study

_TWIN = "dense_vit"
#: By name: how many points each may lose, as the papers would have it.
_ALLOWED = {"moh_vit": 0.005, "uoe_vit": 0.01}
_EPOCHS = 4


def run(folder: Path, quick: bool) -> int:
    """Train a network of each kind, or of one, and compare each with the twin."""
    dataset = fashion_mnist(150 if quick else None)
    kinds = dict(list(_ALLOWED.items())[: 1 if quick else None])
    trained = {
        name: _trained(name, folder / f"{name}-s0", 1 if quick else _EPOCHS, dataset)
        for name in (_TWIN, *kinds)
    }
    measured: Measured = {}
    holds = True
    for name, allowed in kinds.items():
        subject = f"{name} against {_TWIN}"
        rounds = 2 if quick else 25
        measured |= compare_pair(subject, [trained[name]], [trained[_TWIN]], dataset, rounds)
        difference = measured[subject, ON_TEST_IMAGES, "difference"].value or 0.0
        holds = holds and difference >= -allowed
    for name, path in trained.items():
        cost = read_sidecar(path).cost
        measured[name, "", "MACs"] = single(cost.macs)
        measured[name, "", "parameters"] = single(cost.parameters)
        if name != _TWIN:
            load = _load(path, dataset)
            for block, row in enumerate(load, start=1):
                for expert, value in enumerate(row, start=1):
                    key = (name, f"block {block} expert {expert}", "load")
                    measured[key] = single(value, n=len(dataset.test))
            print(f"{name}: load {load.min():.2f} to {load.max():.2f}")
    write_measurements(folder / "routing.csv", measured)
    return 0 if holds else 1


STUDY = Study(
    claim="With two thirds of its heads a transformer is at most half a point less accurate than "
    "with all, and with half of its patches and hidden units at most one.",
    setting="One thread of a shared AMD EPYC; n = 1 training (seed 0) of three networks, 4 epochs, "
    "10,000 test images; 14 CPU-minutes.",
    run=run,
    needs=NEEDS,
)


def _trained(name: str, output: Path, epochs: int, dataset: ImageDataset) -> Path:
    """Train a network, or go on with a killed training, and export it; return its sidecar."""
    recipe = Recipe(epochs=epochs)
    network = train(TrainingSettings(architecture=name, output=output, recipe=recipe), dataset)
    settings = ExportSettings(
        output=output,
        name=f"{name}_s0",
        architecture=name,
        seed=0,
        command="python -m studies routing",
        limits="Made by a study, to be measured and nothing else.",
    )
    export_classifier(network, dataset, settings)
    return output / f"{name}_s0{SUFFIX}"


def _load(path: Path, dataset: ImageDataset) -> NDArray[np.float32]:
    """Return which share each expert of each block answers for (blocks, experts)."""
    graph = OpenGraph.load(path, read_sidecar(path))
    samples = Samples(description="test images", images=dataset.test.images)
    load: NDArray[np.float32] = graph.read(samples, ["routes"])["routes"].mean(axis=0)
    return load
