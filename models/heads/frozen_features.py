"""What a frozen network says about many images: its probabilities and its features of length 1."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bicameral.errors import DataError
from edge.classifier import FeatureClassifier
from edge.learning.dual_memory import DualMemoryClassifier
from edge.learning.read_out import unit_rows
from edge.loading import load_classifier

_BATCH = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class FrozenAnswers:
    """Answers of a network for N images.

    Attributes:
        probabilities: (N, B) float32, calibrated.
        features: (N, D) float32 of unit length.
        labels: (N,) int64, the true classes.
    """

    probabilities: NDArray[np.float32]
    features: NDArray[np.float32]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def select(self, index: NDArray[np.integer] | NDArray[np.bool_]) -> FrozenAnswers:
        """Copy some of them, by positions or by a mask (N,)."""
        return FrozenAnswers(
            probabilities=self.probabilities[index],
            features=self.features[index],
            labels=self.labels[index],
        )


def load_feature_network(path: Path) -> FeatureClassifier:
    """Load a network that shows its features.

    Raises:
        DataError: If it shows none, or is no single network.
    """
    network = load_classifier(path)
    if not isinstance(network, FeatureClassifier):
        remembers = isinstance(network, DualMemoryClassifier)
        problem = (
            "has a memory beside its graph" if remembers else "has no output of meaning 'features'"
        )
        raise DataError(
            f"{path} {problem}; a head answers from the features of a single network: give another "
            "one with --base"
        )
    return network


def frozen_answers(
    network: FeatureClassifier, images: NDArray[np.uint8], labels: NDArray[np.int64]
) -> FrozenAnswers:
    """Run a network over canonical images (N, H, W, C) uint8."""
    parts = [
        network.predict_with_features(images[start : start + _BATCH])
        for start in range(0, len(images), _BATCH)
    ]
    return FrozenAnswers(
        probabilities=np.concatenate([prediction.probabilities for prediction, _ in parts]),
        features=unit_rows(np.concatenate([features for _, features in parts])),
        labels=labels,
    )


def joined(*answers: FrozenAnswers) -> FrozenAnswers:
    """Put answers for several sets of images behind each other."""
    return FrozenAnswers(
        probabilities=np.concatenate([one.probabilities for one in answers]),
        features=np.concatenate([one.features for one in answers]),
        labels=np.concatenate([one.labels for one in answers]),
    )
