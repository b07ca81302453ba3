"""What is measured on the data after the training of a network that steers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.agent_sidecar import AgentSpec, ConfidenceThreshold
from edge.probabilities import softmax
from models.calibration import calibration_errors, fit_temperature
from models.caril.dataset import Frames
from models.caril.fitting import ASKED_SHARE, ask_network, describe_training
from models.networks.dual_head import DualHeadNetwork
from models.networks.steering_classes import STEERING_CLASSES, STEERING_SCALE


@dataclass(frozen=True, slots=True, kw_only=True)
class SteeringFit:
    """A steering network's agent block, and how good it is on held-out frames.

    Attributes:
        agent: For the sidecar.
        temperature: Of the classification head.
        ece_before: Expected calibration error at temperature 1.
        ece_after: The same at `temperature`.
        validation_frames: Number of frames for these figures.
        steering_mae: Mean absolute error of the regression head, raw steer.
        zero_steering_mae: The same for a network that always answers 0.
    """

    agent: AgentSpec
    temperature: float
    ece_before: float
    ece_after: float
    validation_frames: int
    steering_mae: float
    zero_steering_mae: float

    def describe(self) -> str:
        """Say in one sentence how good the network is."""
        return (
            f"validation ({self.validation_frames} frames): steering error "
            f"{self.steering_mae:.4f} (always straight: {self.zero_steering_mae:.4f}), calibration "
            f"error {self.ece_before:.3f} -> {self.ece_after:.3f} at temperature "
            f"{self.temperature:.2f}"
        )


def fit_steering(network: DualHeadNetwork, training: Frames, validation: Frames) -> SteeringFit:
    """Measure a trained network.

    Args:
        network: In evaluation mode.
        training: Frames it was trained on.
        validation: Frames of held-out episodes, same weathers.
    """
    classes = STEERING_CLASSES[network.variant]
    steer, logits = ask_network(network, validation)
    labels = classes.labels(validation.steer)
    temperature = fit_temperature(logits, labels)
    before, after = calibration_errors(logits, labels, temperature)
    confidence = softmax(logits, temperature).max(axis=1)
    threshold = float(np.quantile(confidence, ASKED_SHARE))
    return SteeringFit(
        agent=AgentSpec(
            **describe_training(network.settings, training),
            variant=network.variant,
            bin_edges=classes.edges,
            class_means=_class_means(
                training.steer, classes.labels(training.steer), classes.centres
            ),
            steering_scale=STEERING_SCALE,
            confidence=ConfidenceThreshold(
                threshold=threshold,
                asked_share=float((confidence < threshold).mean()),
                split="validation",
                n=len(validation),
            ),
        ),
        temperature=temperature,
        ece_before=before,
        ece_after=after,
        validation_frames=len(validation),
        steering_mae=float(np.abs(steer[:, 0] - validation.steer).mean()),
        zero_steering_mae=float(np.abs(validation.steer).mean()),
    )


def _class_means(
    steer: NDArray[np.float32], labels: NDArray[np.int64], centres: NDArray[np.float64]
) -> tuple[float, ...]:
    """Return the mean label of each class, its bin's centre where it has none."""
    counts = np.bincount(labels, minlength=centres.size)
    sums = np.bincount(labels, weights=steer, minlength=centres.size)
    means = np.where(counts > 0, sums / np.maximum(counts, 1), centres)
    return tuple(float(mean) for mean in means)
