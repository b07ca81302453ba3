"""Measures one classifier through its session alone, so that every kind is measured alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bicameral.errors import ConfigError
from bicameral.protocols import ClassifierSession
from edge.sidecar import SUFFIX, Sidecar, read_sidecar, sidecar_path
from models.calibration import expected_calibration_error
from models.classifiers.dataset import ImageDataset
from models.zoo.corruptions import conditions, corrupt, definition_sha256
from models.zoo.records import AnswerRecord, ConditionRecord, ModelRecord, packed

#: Images that a classifier is given at a time.
_BATCH = 100

#: Smallest probability whose logarithm is taken: the smallest normal number of float32.
_LEAST = float(np.finfo(np.float32).tiny)

#: Is told how many sets of images are done, and which one is next.
Step = Callable[[int, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFiles:
    """What running a model takes.

    Attributes:
        parameters: Weights of all its graphs.
        bytes: Size of its graphs and of its state.
    """

    parameters: int
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CorruptionSettings:
    """Which images are corrupted how.

    Attributes:
        seed: Seed of the draws.
        images: So many test images, from the first on; None: all.
    """

    seed: int = 0
    images: int | None = None

    def __post_init__(self) -> None:
        if self.images is not None and self.images < 1:
            raise ConfigError(f"{self.images} images are to be corrupted, expected at least 1")

    def count(self, dataset: ImageDataset) -> int:
        """Return how many images of a data set are corrupted."""
        return len(dataset.test) if self.images is None else min(self.images, len(dataset.test))


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    """A loaded model, and which training of which entry it is.

    Attributes:
        entry: Name of the entry.
        seed: Seed of the training.
        kind: The sidecar's.
        classifier: The model; images that it remembered would count as answers of its own.
        files: What running it takes.
    """

    entry: str
    seed: int
    kind: str
    classifier: ClassifierSession
    files: ModelFiles

    @property
    def title(self) -> str:
        """Name of its files among the results."""
        return f"{self.entry}-s{self.seed}"


def evaluate_model(
    contestant: Contestant,
    dataset: ImageDataset,
    settings: CorruptionSettings,
    *,
    step: Step = lambda done, note: None,
) -> ModelRecord:
    """Measure a classifier on the test images as they are and under every corruption.

    Args:
        contestant: What to measure.
        dataset: Only its test images are used.
        settings: Which images are corrupted how.
        step: Called before every set of images.

    Raises:
        DataError: If the images are of another size than the classifier's.
    """
    classifier, test = contestant.classifier, dataset.test
    step(0, "clean")
    clean = judge(predict(classifier, test.images), test.labels)
    count = settings.count(dataset)
    few, labels = test.images[:count], test.labels[:count]
    corrupted = []
    for done, (name, level) in enumerate(conditions(), start=1):
        step(done, f"{name} {level + 1}")
        images = corrupt(few, name, level, settings.seed)
        answers = judge(predict(classifier, images), labels)
        corrupted.append(ConditionRecord(corruption=name, level=level, answers=answers))
    return ModelRecord(
        entry=contestant.entry,
        seed=contestant.seed,
        model=classifier.info.name,
        fingerprint=classifier.info.fingerprint,
        dataset_sha256=dataset.fingerprint,
        corruptions_sha256=definition_sha256(settings.seed),
        n_images=len(test),
        n_corrupted=count,
        macs=classifier.info.macs,
        parameters=contestant.files.parameters,
        bytes=contestant.files.bytes,
        clean=clean,
        corrupted=tuple(corrupted),
    )


def predict(classifier: ClassifierSession, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return calibrated probabilities (N, C) of canonical images (N, H, W, C) uint8."""
    return np.concatenate(
        [
            classifier.predict(images[begin : begin + _BATCH]).probabilities
            for begin in range(0, len(images), _BATCH)
        ]
    )


def log_probabilities(probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return logits whose softmax is the given distribution (N, C); no logarithm is infinite."""
    return np.log(np.maximum(probabilities, _LEAST)).astype(np.float32)


def judge(probabilities: NDArray[np.float32], labels: NDArray[np.int64]) -> AnswerRecord:
    """Compare answers (N, C) with the true classes (N,)."""
    answers = probabilities.argmax(axis=1)
    correct = answers == labels
    of_truth = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return AnswerRecord(
        accuracy=float(correct.mean()),
        macro_f1=macro_f1(answers, labels, probabilities.shape[1]),
        nll=float(-np.log(np.maximum(of_truth, _LEAST)).mean()),
        ece=expected_calibration_error(probabilities, labels),
        correct=packed(correct),
    )


def macro_f1(answers: NDArray[np.int64], labels: NDArray[np.int64], classes: int) -> float:
    """Return the mean over the classes of 2 TP / (2 TP + FP + FN).

    A class that neither occurs nor is answered counts as 0, as for scikit-learn.
    """
    right = np.bincount(labels[answers == labels], minlength=classes)
    mentions = np.bincount(answers, minlength=classes) + np.bincount(labels, minlength=classes)
    return float((2.0 * right / np.maximum(mentions, 1)).mean())


def model_files(model: Path) -> ModelFiles:
    """Add up what running a model takes; of a cascade, what its members take.

    Args:
        model: Path of its graph or sidecar.

    Raises:
        DataError: If a sidecar is absent or damaged.
    """
    path = sidecar_path(model)
    sidecar = read_sidecar(path)
    if sidecar.cascade is None:
        return ModelFiles(parameters=sidecar.cost.parameters, bytes=_bytes(path, sidecar))
    members = {
        member.name: model_files(path.with_name(member.name + SUFFIX))
        for member in sidecar.cascade.members
    }
    return ModelFiles(
        parameters=sum(one.parameters for one in members.values()),
        bytes=sum(one.bytes for one in members.values()),
    )


def _bytes(path: Path, sidecar: Sidecar) -> int:
    graphs = sum(file.bytes for file in sidecar.files if file.target == "onnxruntime")
    state = sidecar.state.path
    return graphs + (0 if state is None else path.with_name(state).stat().st_size)
