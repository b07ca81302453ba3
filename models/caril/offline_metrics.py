"""How good a network's answers are on recorded frames. It does not say how it drives.

Every figure stands beside its trivial baseline: most frames go straight, so a network that never
steers has a small error and a fair accuracy. Models are to be chosen by closed-loop driving on the
validation town.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bicameral.errors import DataError
from edge.dual_head import DualHeadBatch, DualHeadModel
from edge.probabilities import softmax
from models.calibration import expected_calibration_error
from models.caril.dataset import Frames, Split, load_frames
from models.networks.steering_classes import STEERING_CLASSES, SteeringClasses


@dataclass(frozen=True, slots=True, kw_only=True)
class OfflineMetrics:
    """Figures over one set of frames.

    Attributes:
        frames: Number of frames scored.
        frames_outside: Frames left out because their label lies beyond the classes' range.
        steering_mae: Mean absolute error of the regression head, raw steer.
        zero_steering_mae: The same for an answer of 0.
        accuracy: Share of frames with the right class.
        majority_accuracy: Accuracy of always answering the most frequent class of these frames.
        within_one_class: Share of frames at most one class off.
        macro_recall: Mean recall over the classes that occur.
        class_frames: Frames per class.
        class_prior: Share per class.
        class_recall: Recall per class; None where the class does not occur.
        ece_before: Expected calibration error, 15 bins, at temperature 1.
        ece_after: The same with the model's temperature.
        mean_confidence: Mean calibrated maximum probability.
    """

    frames: int
    frames_outside: int
    steering_mae: float
    zero_steering_mae: float
    accuracy: float
    majority_accuracy: float
    within_one_class: float
    macro_recall: float
    class_frames: tuple[int, ...]
    class_prior: tuple[float, ...]
    class_recall: tuple[float | None, ...]
    ece_before: float
    ece_after: float
    mean_confidence: float


@dataclass(frozen=True, slots=True, kw_only=True)
class OfflineEvaluation:
    """A model's answers on a split.

    Attributes:
        model: The model.
        frames: The frames of the split.
        answers: Its answers to them.
        metrics: Figures by name: ``"all"`` and each weather.
    """

    model: DualHeadModel
    frames: Frames
    answers: DualHeadBatch
    metrics: dict[str, OfflineMetrics]

    def record(self, split: Split) -> dict[str, Any]:
        """Return the figures as JSON values, with what they were measured on."""
        return {
            "schema": 1,
            "model": self.model.name,
            "model_sha256": self.model.fingerprint,
            "split": split,
            "towns": self.frames.towns,
            "data_sha256": self.frames.fingerprint,
            "metrics": {name: asdict(value) for name, value in self.metrics.items()},
        }


def evaluate_offline(model: Path, data: Path, split: Split) -> OfflineEvaluation:
    """Score an exported model on a split, over all frames and per weather.

    Args:
        model: ``NAME.onnx`` or its sidecar.
        data: Folder of collected data.
        split: ``train``, ``validation`` or ``test``.

    Raises:
        DataError: If model or data are damaged, or a test town was trained on.
    """
    network = DualHeadModel.load(model)
    frames = load_frames(data, split, spec=network.image)
    if split == "test" and (seen := set(frames.towns) & set(network.agent.towns)):
        raise DataError(f"{network.name} was trained on {sorted(seen)}: no test of it")
    classes = SteeringClasses(
        edges=network.agent.bin_edges,
        clip_outside=STEERING_CLASSES[network.agent.variant].clip_outside,
    )
    answers = predict_all(network, frames)
    temperature = network.sidecar.calibration.temperature
    weather = np.array([episode.weather for episode in frames.episodes])[frames.episode]
    groups = {"all": np.ones(len(frames), bool)}
    groups |= {name: weather == name for name in frames.weathers}
    metrics = {
        name: score_answers(
            answers.steer[keep], answers.logits[keep], frames.steer[keep], classes, temperature
        )
        for name, keep in groups.items()
    }
    return OfflineEvaluation(model=network, frames=frames, answers=answers, metrics=metrics)


def predict_all(model: DualHeadModel, frames: Frames) -> DualHeadBatch:
    """Return a model's answers for all frames."""
    parts = [
        model.predict_batch(frames.gather(index), frames.speed_mps[index], frames.command[index])
        for index in frames.batches()
    ]
    return DualHeadBatch(
        steer=np.concatenate([part.steer for part in parts]),
        logits=np.concatenate([part.logits for part in parts]),
        probabilities=np.concatenate([part.probabilities for part in parts]),
    )


def score_answers(
    steer: NDArray[np.floating],
    logits: NDArray[np.floating],
    label: NDArray[np.floating],
    classes: SteeringClasses,
    temperature: float,
) -> OfflineMetrics:
    """Score answers against the expert's steering.

    Args:
        steer: (N,) regression head, raw steer.
        logits: (N, K) classification head.
        label: (N,) the expert's raw steer.
        classes: Bins of the K classes.
        temperature: Of the calibrated probabilities.

    Raises:
        DataError: If no label lies within the classes' range.
    """
    inside = classes.contains(label)
    if not inside.any():
        raise DataError(f"none of {label.size} frames has a steering within the classes' range")
    steer, logits, label = steer[inside], logits[inside], label[inside]
    truth = classes.labels(label)
    answer = logits.argmax(axis=1)
    counts = np.bincount(truth, minlength=classes.count)
    hits = np.bincount(truth[answer == truth], minlength=classes.count)
    recall = [
        float(hit / count) if count else None for hit, count in zip(hits, counts, strict=True)
    ]
    calibrated = softmax(logits, temperature)
    return OfflineMetrics(
        frames=int(label.size),
        frames_outside=int((~inside).sum()),
        steering_mae=float(np.abs(steer - label).mean()),
        zero_steering_mae=float(np.abs(label).mean()),
        accuracy=float((answer == truth).mean()),
        majority_accuracy=float(counts.max() / label.size),
        within_one_class=float((np.abs(answer - truth) <= 1).mean()),
        macro_recall=float(np.mean([value for value in recall if value is not None])),
        class_frames=tuple(int(count) for count in counts),
        class_prior=tuple(float(count / label.size) for count in counts),
        class_recall=tuple(recall),
        ece_before=expected_calibration_error(softmax(logits), truth),
        ece_after=expected_calibration_error(calibrated, truth),
        mean_confidence=float(calibrated.max(axis=1).mean()),
    )
