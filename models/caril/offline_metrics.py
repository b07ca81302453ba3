"""How good the answers of a network that steers are on recorded frames.

Every figure stands beside its trivial baseline: most frames go straight, so a network that never
steers has a small error and a fair accuracy.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bicameral.errors import DataError
from edge.dual_head import DualHeadBatch, DualHeadModel
from edge.probabilities import softmax
from models.calibration import expected_calibration_error
from models.caril.dataset import Frames, Split
from models.caril.evaluation import Evaluation, evaluate, judging_frames
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


def evaluate_offline(
    model: Path, data: Path, split: Split
) -> Evaluation[DualHeadBatch, OfflineMetrics]:
    """Score an exported model on a split, over all frames and per weather.

    Args:
        model: ``NAME.onnx`` or its sidecar.
        data: Folder of collected data.
        split: ``train``, ``validation`` or ``test``.

    Raises:
        DataError: If model or data are damaged, or a test town was trained on.
    """
    network = DualHeadModel.load(model)
    agent, temperature = network.agent, network.sidecar.calibration.temperature
    classes = SteeringClasses(
        edges=agent.bin_edges, clip_outside=STEERING_CLASSES[agent.variant].clip_outside
    )

    def score(answers: DualHeadBatch, frames: Frames, keep: NDArray[np.bool_]) -> OfflineMetrics:
        return score_answers(
            answers.steer[keep], answers.logits[keep], frames.steer[keep], classes, temperature
        )

    return evaluate(network, judging_frames(network, data, split), score)


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
