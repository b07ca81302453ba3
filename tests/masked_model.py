"""A small exported classifier that takes pictures of which a part is missing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def pictures_of_two_classes(count: int) -> NDArray[np.uint8]:
    """Return noise (count, 12, 12, 1), darker and brighter by turns."""
    noise = np.random.default_rng(0).integers(0, 156, (count, 12, 12, 1), np.uint8)
    noise[1::2] += 100
    return noise


def export_masked_model(folder: Path) -> None:
    """Export an untrained Boltzmann machine."""
    # Here, for torch takes seconds to import, and most tests do without.
    import torch

    from models.classifiers.export import ExportSettings, export_classifier
    from models.data.dataset import ImageDataset, LabelledImages
    from models.networks.layers import ImageShape
    from models.networks.monotone_boltzmann import MonotoneBoltzmann

    images = pictures_of_two_classes(20)
    part = LabelledImages(images=images, labels=np.arange(20, dtype=np.int64) % 2)
    dataset = ImageDataset(
        name="noise",
        labels=("dark", "bright"),
        color="GRAY",
        train=part,
        validation=part,
        test=part,
        mirror_allowed=True,
    )
    torch.manual_seed(0)
    network = MonotoneBoltzmann(ImageShape(channels=1, height=12, width=12, classes=2), width=8)
    network.loss(torch.tensor([[[[-1.0]]], [[[2.0]]]]).expand(2, 1, 12, 12), torch.tensor([0, 1]))
    settings = ExportSettings(
        output=folder,
        name="masked",
        architecture="monotone_boltzmann",
        seed=0,
        command="",
        limits="Untrained.",
    )
    export_classifier(network.eval(), dataset, settings)
