"""Networks that have never seen some of the classes, to learn those from examples afterwards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from edge.sidecar import SUFFIX
from models.classifiers.dataset import ImageDataset, LabelledImages
from models.classifiers.export import ExportSettings, export_classifier
from models.classifiers.training import Recipe, TrainingProgress, TrainingSettings, train

_LIMITS = "Has not seen all classes of its data set; made to measure how the others are learned."


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureTraining:
    """One network to train on some of the classes.

    Attributes:
        architecture: Name of its architecture.
        held_out: Labels of the classes that it does not see.
        seed: Of its training.
        epochs: Passes over the training images.
        output: Its folder.
        command: Command line, for the sidecar.
    """

    architecture: str
    held_out: tuple[int, ...]
    seed: int
    epochs: int
    output: Path
    command: str


def without_classes(dataset: ImageDataset, held_out: tuple[int, ...]) -> ImageDataset:
    """Return the images of the other classes, which are numbered anew in their order."""
    kept = [label for label in range(len(dataset.labels)) if label not in held_out]
    numbers = np.full(len(dataset.labels), -1, np.int64)
    numbers[kept] = np.arange(len(kept))

    def part(images: LabelledImages) -> LabelledImages:
        chosen = images.select(np.isin(images.labels, kept))
        return replace(chosen, labels=numbers[chosen.labels])

    return ImageDataset(
        name=dataset.name,
        labels=tuple(dataset.labels[label] for label in kept),
        color=dataset.color,
        train=part(dataset.train),
        validation=part(dataset.validation),
        test=part(dataset.test),
        mirror_allowed=dataset.mirror_allowed,
    )


def train_features(
    settings: FeatureTraining,
    dataset: ImageDataset,
    progress: Callable[[TrainingProgress], None] | None = None,
) -> Path:
    """Train and export a network, or go on with a killed training; return its sidecar.

    Args:
        settings: What to train.
        dataset: All classes.
        progress: Called after every step.
    """
    seen = without_classes(dataset, settings.held_out)
    network = train(
        TrainingSettings(
            architecture=settings.architecture,
            output=settings.output,
            recipe=Recipe(epochs=settings.epochs),
            seed=settings.seed,
        ),
        seen,
        progress=progress,
    )
    name = settings.output.name.replace("-", "_")
    export_classifier(
        network,
        seen,
        ExportSettings(
            output=settings.output,
            name=name,
            architecture=settings.architecture,
            seed=settings.seed,
            command=settings.command,
            limits=_LIMITS,
        ),
    )
    return settings.output / (name + SUFFIX)
