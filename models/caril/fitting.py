"""What is measured on the data after training: calibration, class means, the range of pictures."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bicameral.files import write_bytes_atomic, write_json_atomic
from edge.agent_sidecar import InputRange
from edge.driver_model import one_hot_from_commands
from edge.preprocessing import picture_statistics, tensor_from_canonical
from edge.probabilities import softmax
from models.calibration import calibration_errors, fit_temperature
from models.caril.dataset import Frames
from models.networks.dual_head import DualHeadNetwork
from models.networks.steering_classes import NETWORK_IMAGE, STEERING_CLASSES
from models.records import read_record

FIT_NAME = "fit.json"
CHECK_NAME = "check.npz"

#: Share of validation frames for which the network counts as unsure.
ASKED_SHARE = 0.15
_CHECK_FRAMES = 500
_STATISTICS_FRAMES = 4000


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """Figures that the sidecar carries; all on validation frames, unless said otherwise.

    Attributes:
        temperature: Of the classification head.
        ece_before: Expected calibration error at temperature 1.
        ece_after: The same at `temperature`.
        validation_frames: Number of frames for the above.
        steering_mae: Mean absolute error of the regression head, raw steer.
        zero_steering_mae: The same for a network that always answers 0.
        threshold: Confidence below which the network counts as unsure.
        asked_share: Share of validation frames below it.
        class_means: Mean *training* label of each class; its bin's centre when it has no label.
        brightness: 0.1 % and 99.9 % quantile of the *training* pictures' mean, uint8 units.
        contrast: Likewise for the pictures' standard deviation.
        towns: Training towns.
        weathers: Training weathers.
    """

    temperature: float
    ece_before: float
    ece_after: float
    validation_frames: int
    steering_mae: float
    zero_steering_mae: float
    threshold: float
    asked_share: float
    class_means: tuple[float, ...]
    brightness: tuple[float, float]
    contrast: tuple[float, float]
    towns: tuple[str, ...]
    weathers: tuple[str, ...]

    def describe(self) -> str:
        """Say in one sentence how good the network is."""
        return (
            f"validation ({self.validation_frames} frames): steering error "
            f"{self.steering_mae:.4f} (always straight: {self.zero_steering_mae:.4f}), calibration "
            f"error {self.ece_before:.3f} -> {self.ece_after:.3f} at temperature "
            f"{self.temperature:.2f}"
        )


def fit_to_data(network: DualHeadNetwork, training: Frames, validation: Frames) -> Fit:
    """Measure a trained network.

    Args:
        network: In evaluation mode.
        training: Frames it was trained on.
        validation: Frames of held-out episodes, same weathers.
    """
    classes = STEERING_CLASSES[network.variant]
    steer, logits = predict_frames(network, validation)
    labels = classes.labels(validation.steer)
    temperature = fit_temperature(logits, labels)
    before, after = calibration_errors(logits, labels, temperature)
    confidence = softmax(logits, temperature).max(axis=1)
    threshold = float(np.quantile(confidence, ASKED_SHARE))
    pictures = input_range(training)
    return Fit(
        temperature=temperature,
        ece_before=before,
        ece_after=after,
        validation_frames=len(validation),
        steering_mae=float(np.abs(steer - validation.steer).mean()),
        zero_steering_mae=float(np.abs(validation.steer).mean()),
        threshold=threshold,
        asked_share=float((confidence < threshold).mean()),
        class_means=_class_means(training.steer, classes.labels(training.steer), classes.centres),
        brightness=pictures.brightness,
        contrast=pictures.contrast,
        towns=training.towns,
        weathers=training.weathers,
    )


def predict_frames(
    network: DualHeadNetwork, frames: Frames
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return raw steer (N,) and logits (N, K) of a network in evaluation mode."""
    parts = [
        predict_images(
            network, frames.gather(index), frames.speed_mps[index], frames.command[index]
        )
        for index in frames.batches()
    ]
    steer, logits = zip(*parts, strict=True)
    return np.concatenate(steer), np.concatenate(logits)


def predict_images(
    network: DualHeadNetwork,
    images: NDArray[np.uint8],
    speed_mps: NDArray[np.float32],
    command: NDArray[np.int8],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return raw steer (N,) and logits (N, K) for canonical images (N, 64, 160, 3)."""
    with torch.inference_mode():
        image = torch.from_numpy(tensor_from_canonical(images, NETWORK_IMAGE))
        if network.settings.variant == "conditional":
            steer, logits = network(
                image,
                torch.from_numpy(speed_mps.astype(np.float32))[:, None],
                torch.from_numpy(one_hot_from_commands(command)),
            )
        else:
            steer, logits = network(image)
    return steer.numpy()[:, 0], logits.numpy()


def write_fit(folder: Path, fit: Fit, validation: Frames) -> None:
    """Store the figures, and up to 500 validation pictures to check exports with."""
    store_fit(folder, asdict(fit), validation, {})


def store_fit(
    folder: Path,
    record: Mapping[str, Any],
    validation: Frames,
    inputs: Mapping[str, NDArray[np.generic]],
) -> None:
    """Store a fit as JSON values, and up to 500 validation pictures to check exports with.

    Args:
        folder: Output folder of the training.
        record: The fit.
        validation: Frames with pictures, speed and command.
        inputs: (N, ...) of all these frames, what the network takes beside them.
    """
    index = np.linspace(0, len(validation) - 1, min(_CHECK_FRAMES, len(validation))).astype(int)
    buffer = io.BytesIO()
    np.savez(
        buffer,
        images=validation.gather(index),
        speed_mps=validation.speed_mps[index],
        command=validation.command[index],
        **{name: values[index] for name, values in inputs.items()},
    )
    write_bytes_atomic(folder / CHECK_NAME, buffer.getvalue())
    write_json_atomic(folder / FIT_NAME, record)


def read_fit(folder: Path) -> Fit:
    """Read the figures of a finished training.

    Raises:
        DataError: If the training is not finished or the file is damaged.
    """
    return read_record(
        folder / FIT_NAME,
        Fit,
        what="record of a finished training",
        remedy="a training writes it when it ends, so finish it first",
    )


def _class_means(
    steer: NDArray[np.float32], labels: NDArray[np.int64], centres: NDArray[np.float64]
) -> tuple[float, ...]:
    counts = np.bincount(labels, minlength=centres.size)
    sums = np.bincount(labels, weights=steer, minlength=centres.size)
    means = np.where(counts > 0, sums / np.maximum(counts, 1), centres)
    return tuple(float(mean) for mean in means)


def input_range(frames: Frames) -> InputRange:
    """Return the 0.1 % and 99.9 % quantiles of pictures' mean and standard deviation."""
    count = min(_STATISTICS_FRAMES, len(frames))
    index = np.linspace(0, len(frames) - 1, count).astype(int)
    statistics = np.array([picture_statistics(image) for image in frames.gather(index)])
    low, high = np.quantile(statistics, (0.001, 0.999), axis=0).tolist()
    return InputRange(brightness=(low[0], high[0]), contrast=(low[1], high[1]))
