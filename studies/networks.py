"""Classifiers that a study trains for itself; what is finished is not trained again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge.sidecar import SUFFIX
from models.classifiers.export import ExportSettings, export_classifier
from models.classifiers.training import Recipe, TrainingSettings, train
from models.data.dataset import ImageDataset


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkTraining:
    """One network to train.

    Attributes:
        architecture: Name of its architecture.
        seed: Of its training.
        output: Its folder; the model is called after it.
        epochs: Passes over the training images.
    """

    architecture: str
    seed: int
    output: Path
    epochs: int


def train_classifier(training: NetworkTraining, dataset: ImageDataset) -> Path:
    """Train a network, or go on with a killed training, and export it; return its sidecar."""
    network = train(
        TrainingSettings(
            architecture=training.architecture,
            output=training.output,
            recipe=Recipe(epochs=training.epochs),
            seed=training.seed,
        ),
        dataset,
    )
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
