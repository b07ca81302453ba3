"""Whether two trainings of one network are more alike inside than two networks (1511.07543).

Convergent learning, by what `bicameral diagnose A B` measures of two models: each unit before the
last layer is matched with one of the other network, on half of the pictures, and how well they
correlate is judged on the other half. The 64 units of residual16 choose among the 128 of squeeze16,
which favours pairs of two networks; and pairs share networks, which their intervals do not know.

The classifiers that ship are then compared in both ways, each with each other.
"""

from __future__ import annotations

from itertools import combinations, product
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from bicameral.statistics import mean
from edge.preprocessing import tensor_from_canonical
from edge.shipped import shipped_model
from models.classifiers.training import Recipe, TrainingSettings, image_shape, image_spec, train
from models.data.dataset import ImageDataset
from models.diagnosis.representations import match_units, similarity
from models.heads.frozen_features import load_feature_network
from models.networks.architectures import build_network
from studies.images import NEEDS, fashion_mnist, in_batches
from studies.measurements import Measured, print_measurements, single, write_measurements
from studies.study import Study
from studies.training_findings import ALIKE, CKA, KINDS, converges

_NETWORKS, _SEEDS, _EPOCHS, _IMAGES = ("squeeze16", "residual16"), 3, 3, 10_000

#: The networks that ship and show features of their own; heads show those of another.
_SHIPPED = (
    "wide_residual32",
    "squeeze16_student",
    "squeeze16_distilled",
    "vgg24_distilled",
    "spiking",
    "convit",
    "noprop",
    "group_to_group",
    "dual_branch",
    "pgd_trained",
)

Units = NDArray[np.float64]


def run(folder: Path, quick: bool) -> int:
    """Train both networks several times and match their units; compare what ships."""
    dataset = fashion_mnist(150 if quick else _IMAGES)
    compare_shipped(folder, dataset, _SHIPPED[-2:] if quick else _SHIPPED)
    seeds = range(2 if quick else _SEEDS)
    units: dict[tuple[str, int], Units] = {}
    fresh: dict[tuple[str, int], Units] = {}
    for name, seed in product(_NETWORKS, seeds):
        settings = TrainingSettings(
            architecture=name,
            output=folder / f"{name}-s{seed}",
            recipe=Recipe(epochs=1 if quick else _EPOCHS),
            seed=seed,
        )
        units[name, seed] = _units(train(settings, dataset), dataset)
        torch.manual_seed(100 + seed)  # another beginning than that of the trained one
        fresh[name, seed] = _units(build_network(name, image_shape(dataset)).eval(), dataset)
    one, other = _NETWORKS
    pairs = {
        KINDS[0]: [
            (units[name, a], units[name, b])
            for name in _NETWORKS
            for a, b in combinations(seeds, 2)
        ],
        KINDS[1]: [(units[one, a], units[other, b]) for a, b in product(seeds, seeds)],
        KINDS[2]: [(units[key], fresh[key]) for key in units],
    }
    measured: Measured = {}
    for kind, each in pairs.items():
        found = [match_units(a, b).correlation.value or 0.0 for a, b in each]
        measured[kind, "", ALIKE] = mean(found)
        measured[kind, "", CKA] = mean([similarity(a, b) for a, b in each])
    write_measurements(folder / "likeness.csv", measured)
    print_measurements(measured, title="likeness")
    return int(converges(measured) != "holds")


def compare_shipped(folder: Path, dataset: ImageDataset, names: tuple[str, ...]) -> None:
    """Write how alike each two shipped classifiers are, on test images."""
    units = {}
    for name in names:
        network = load_feature_network(shipped_model(f"fashion_mnist_{name}"))
        parts = [network.predict_with_features(of)[1] for of in in_batches(dataset.test.images)]
        units[name] = np.concatenate(parts).astype(np.float64)
        network.close()
    measured: Measured = {}
    for a, b in combinations(names, 2):
        measured[a, b, CKA] = single(similarity(units[a], units[b]), n=len(dataset.test))
        measured[a, b, ALIKE] = match_units(units[a], units[b]).correlation
    write_measurements(folder / "likeness_shipped.csv", measured)


def _units(network: nn.Module, dataset: ImageDataset) -> Units:
    """Return what the units before the last layer say of test images, (N, units)."""
    spec = image_spec(dataset)
    with torch.inference_mode():
        parts = [
            network(torch.from_numpy(tensor_from_canonical(part, spec)))[1]
            for part in in_batches(dataset.test.images)
        ]
    return np.asarray(torch.cat(parts).numpy(), np.float64)


STUDY = Study(
    claim="Units before the last layer match better between two trainings of one network than "
    "between two networks, and there better than with a network that has learned nothing.",
    setting="One thread of a shared AMD EPYC; squeeze16 and residual16, n = 3 seeds of each, 3 "
    "epochs of 10,000 images, 10,000 test images; 3 CPU-minutes.",
    run=run,
    needs=NEEDS,
)
