"""Pictures of which pixels are missing: a monotone Boltzmann machine against networks that guess.

The honest control is a network that was trained on pictures with missing pixels, too, and told
which. It saw 2.4 times as many. The other control sees the mean training picture where pixels are
missing.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from bicameral.statistics import paired_difference, share
from edge.loading import load_classifier
from edge.preprocessing import affine_from_spec, tensor_from_canonical
from edge.shipped import shipped_model
from models.classifiers.training import Recipe, TrainingSettings, image_spec, train
from models.data.dataset import ImageDataset
from models.networks.monotone_boltzmann import STEPS, MonotoneBoltzmann
from studies.images import NEEDS, fashion_mnist, in_batches
from studies.measurements import Measured, print_measurements, single, write_measurements
from studies.study import Study

MACHINE, CONTROL, IMPUTED = "monotone_boltzmann", "squeeze16_masked", "squeeze16_distilled"
NEIGHBOURS, MEAN = "mean of the 3x3 neighbours", "mean training picture"

#: Training images of each, one pass over them.
_IMAGES = {MACHINE: 10_000, CONTROL: 24_000}
_BATCH, _TESTED, _BLOCK = 32, 1000, 14
_SETTLED = 100  # test images whose fixed point is looked at

#: What is observed, by the name of the condition.
CONDITIONS = ("100 %", "70 %", "40 %", "20 %", "all but a block of 14x14")


def run(folder: Path, quick: bool) -> int:
    """Train both, and ask them and the two controls without training about the same masks."""
    dataset = fashion_mnist(100 if quick else None)
    networks = {name: _trained(folder / name, name, dataset) for name in _IMAGES}
    tested = 20 if quick else _TESTED
    images, labels = dataset.test.images[:tested], dataset.test.labels[:tested]
    mean = np.rint(dataset.train.images.mean(axis=0)).astype(np.uint8)
    spec = image_spec(dataset)
    imputing = load_classifier(shipped_model(f"fashion_mnist_{IMPUTED}"))
    measured: Measured = {}
    for condition in CONDITIONS:
        seen = _observed(condition, images.shape)
        imputed = np.where(seen, images, mean)
        right: dict[str, NDArray[np.bool_]] = {}
        filled = {NEIGHBOURS: _by_neighbours(images, seen, mean), MEAN: imputed}
        for name, network in networks.items():
            logits, completed = _answers(network, tensor_from_canonical(images, spec), seen)
            right[name] = logits.argmax(axis=1) == labels
            if completed is not None:
                gain, offset = affine_from_spec(spec)
                levels = (completed.transpose(0, 2, 3, 1) - offset) / gain
                filled[name] = np.clip(np.rint(levels), 0, 255).astype(np.uint8)
        found = [imputing.predict(part).probabilities for part in in_batches(imputed)]
        right[IMPUTED] = np.concatenate(found).argmax(axis=1) == labels
        measured[MACHINE, condition, "residual"] = single(
            _residual(networks[MACHINE], tensor_from_canonical(images[:_SETTLED], spec), seen)
        )
        for name, one in right.items():
            measured[name, condition, "accuracy"] = share(int(one.sum()), tested)
        for other in (CONTROL, IMPUTED):
            gained = int((right[MACHINE] & ~right[other]).sum())
            lost = int((~right[MACHINE] & right[other]).sum())
            key = f"{MACHINE} against {other}", condition, "difference"
            measured[key] = paired_difference(gained, lost, tested)
        for name, one in filled.items() if not seen.all() else ():
            error = np.abs(one.astype(float) - images)[~seen].mean()
            measured[name, condition, "error of the filled pixels"] = single(error, "grey levels")
    write_measurements(folder / "missing_pixels.csv", measured)
    print_measurements(measured)
    lows = [
        measured[f"{MACHINE} against {CONTROL}", one, "difference"].low for one in ("40 %", "20 %")
    ]
    return 0 if all(low is not None and low > 0.0 for low in lows) else 1


STUDY = Study(
    claim="With 40 % and 20 % of the pixels a monotone Boltzmann machine is right more often than "
    "a network that was trained with masks.",
    setting="One thread of a shared AMD EPYC; n = 1 training (seed 0) each, 10,000 and 24,000 "
    "images, 1,000 test images; 4 CPU-minutes.",
    run=run,
    needs=NEEDS,
)


def _trained(folder: Path, name: str, dataset: ImageDataset) -> nn.Module:
    count = min(_IMAGES[name], len(dataset.train))
    some = replace(dataset, train=dataset.train.select(np.arange(count)))
    recipe = Recipe(epochs=1, batch_size=_BATCH)
    return train(TrainingSettings(architecture=name, output=folder, recipe=recipe), some)


def _observed(condition: str, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Draw which pixels (N, H, W, 1) of each image are observed."""
    rng = np.random.default_rng(0)
    count, height, width, _ = shape
    if condition.endswith("%"):
        scattered = rng.random((count, height, width, 1)) < float(condition.split()[0]) / 100.0
        return np.asarray(scattered)
    seen = np.ones((count, height, width, 1), bool)
    for one in seen:
        top, left = rng.integers(0, height - _BLOCK + 1), rng.integers(0, width - _BLOCK + 1)
        one[top : top + _BLOCK, left : left + _BLOCK] = False
    return seen


def _answers(
    network: nn.Module, images: NDArray[np.float32], seen: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """Return logits (N, classes), and the filled-in images if the network fills in."""
    observed = seen.transpose(0, 3, 1, 2).astype(np.float32)
    parts = []
    with torch.inference_mode():
        for begin in range(0, len(images), 100):
            of = slice(begin, begin + 100)
            parts.append(network(torch.from_numpy(images[of]), torch.from_numpy(observed[of])))
    logits = torch.cat([part[0] for part in parts]).numpy()
    return logits, torch.cat([part[2] for part in parts]).numpy() if len(parts[0]) > 2 else None


def _residual(network: nn.Module, images: NDArray[np.float32], seen: NDArray[np.bool_]) -> float:
    """Return the largest change of a probability by one step more than an answer takes."""
    assert isinstance(network, MonotoneBoltzmann)  # noqa: S101
    x = torch.from_numpy(images)
    observed = torch.from_numpy(seen[: len(x)].transpose(0, 3, 1, 2).astype(np.float32))
    with torch.inference_mode():
        energy = network.energy()
        q = network.mean_field(energy, x, observed, STEPS)
        further = energy.settle(q, network.levels(x) * observed, 1.0 - observed, 1)
        changes = zip(q, further, strict=True)
        return max(float((one - other).abs().max()) for one, other in changes)


def _by_neighbours(
    images: NDArray[np.uint8], seen: NDArray[np.bool_], mean: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """Fill each pixel with the mean of what is known around it, from the rim to the inside."""
    known, values = seen.astype(float), np.where(seen, images, 0).astype(float)
    for _ in range(max(images.shape[1:3])):
        count = _around(known)
        new = (known == 0.0) & (count > 0.0)
        values[new] = (_around(values) / np.maximum(count, 1.0))[new]
        known[new] = 1.0
    return np.where(known > 0.0, np.rint(values), mean).astype(np.uint8)


def _around(maps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum maps (N, H, W, 1) over the 3x3 places around each, 0 beyond the border."""
    height, width = maps.shape[1:3]
    padded = np.pad(maps, ((0, 0), (1, 1), (1, 1), (0, 0)))
    total = np.zeros_like(maps)
    for down in range(3):
        for right in range(3):
            total += padded[:, down : down + height, right : right + width]
    return total
