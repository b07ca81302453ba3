"""Networks that a study trains for itself; what is finished is not trained again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from edge.sidecar import SUFFIX
from models.classifiers.export import ExportSettings, export_classifier
from models.classifiers.training import Recipe, TrainingSettings, train
from models.data.dataset import ImageDataset
from models.networks.architectures import ARCHITECTURES


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkTraining:
    """One network to train.

    Attributes:
        architecture: Name of its architecture.
        seed: Of its training.
        output: Its folder; the model is called after it.
        epochs: Passes over the training images; None: as its architecture says.
    """

    architecture: str
    seed: int
    output: Path
    epochs: int | None = None


def train_network(training: NetworkTraining, dataset: ImageDataset) -> nn.Module:
    """Train a network, or go on with a killed training; return it in evaluation mode."""
    epochs = training.epochs or ARCHITECTURES[training.architecture].epochs
    return train(
        TrainingSettings(
            architecture=training.architecture,
            output=training.output,
            recipe=Recipe(epochs=epochs),
            seed=training.seed,
        ),
        dataset,
    )


def train_classifier(training: NetworkTraining, dataset: ImageDataset) -> Path:
    """Train a network and export it; return its sidecar."""
    network = train_network(training, dataset)
    name = training.output.name.replace("-", "_")
    export_classifier(
        network,
        dataset,
        ExportSettings(
            output=training.output,
            name=name,
            architecture=training.architecture,
            seed=training.seed,
            command="python -m studies",
            limits="Made by a study, to be measured and nothing else.",
        ),
    )
    return training.output / (name + SUFFIX)
