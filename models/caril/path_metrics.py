"""How good a path network's answers are on recorded frames.

Beside every figure stands its trivial baseline: most roads go straight on.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.path_model import PathModel, PathOutput
from models.caril.dataset import Frames, Split
from models.caril.evaluation import Evaluation, evaluate, judging_frames
from models.networks.path_classes import (
    DECIDING_BINS,
    PATH_DISTANCES_M,
    class_labels,
    path_offsets,
)

#: A squared error counts at most this many variances, so that a few gross ones, such as a wrong
#: fork, do not decide what is said of all others.
WIDEST = 9.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PathMetrics:
    """Figures over one set of frames, without the lane intent.

    Errors are means of absolute ones in metres at `PATH_DISTANCES_M`; None where there is no frame.

    Attributes:
        frames: Number of frames.
        error_m: Of the regression head.
        straight_error_m: The same for an answer of straight ahead.
        junction_error_m: Of the regression head on frames in junctions.
        road_error_m: The same on all others.
        class_accuracy: Share of right classes at the distances of `OFFSET_BINS`.
        majority_accuracy: The same for the commonest class of these frames.
        error_by_std: Root mean square of error / standard deviation 10 m ahead, each at most 3, of
            the regression head's own standard deviation and of its classes'; 1 is honest.
    """

    frames: int
    error_m: tuple[float, ...]
    straight_error_m: tuple[float, ...]
    junction_error_m: tuple[float, ...] | None
    road_error_m: tuple[float, ...] | None
    class_accuracy: tuple[float, ...]
    majority_accuracy: tuple[float, ...]
    error_by_std: tuple[float, float]


def evaluate_path(model: Path, data: Path, split: Split) -> Evaluation[PathOutput, PathMetrics]:
    """Score an exported model on a split, over all frames and per weather.

    Args:
        model: ``NAME.onnx`` or its sidecar.
        data: Folder of collected data.
        split: ``train``, ``validation`` or ``test``.

    Raises:
        DataError: If model or data are damaged, the data have no path, or a test town was trained
            on.
    """
    network = PathModel.load(model)
    frames = judging_frames(network, data, split)
    frames.require_path()
    return evaluate(network, frames, score_paths, {"distances_m": PATH_DISTANCES_M})


def score_paths(answers: PathOutput, frames: Frames, keep: NDArray[np.bool_]) -> PathMetrics:
    """Score answers against the route ahead.

    Args:
        answers: N rows, calibrated.
        frames: The N frames.
        keep: (N,) which of them to score, one or more.
    """
    truth_m = path_offsets(frames.ahead_m)
    error_m = answers.offsets_m - truth_m
    labels = class_labels(truth_m)[keep]
    right = answers.probabilities.argmax(axis=2)[keep] == labels
    counts = [np.bincount(column).max() for column in labels.T]
    at = DECIDING_BINS.column
    squared = [
        np.minimum((error_m[keep, at] / std_m[keep, at]) ** 2, WIDEST).mean()
        for std_m in (answers.offsets_std_m, answers.spread_m)
    ]
    return PathMetrics(
        frames=int(keep.sum()),
        error_m=_column_means(np.abs(error_m[keep])),
        straight_error_m=_column_means(np.abs(truth_m[keep])),
        junction_error_m=_means_of_some(error_m, keep & frames.in_junction),
        road_error_m=_means_of_some(error_m, keep & ~frames.in_junction),
        class_accuracy=_column_means(right),
        majority_accuracy=tuple(float(count / len(labels)) for count in counts),
        error_by_std=(float(np.sqrt(squared[0])), float(np.sqrt(squared[1]))),
    )


def _means_of_some(
    error_m: NDArray[np.floating], keep: NDArray[np.bool_]
) -> tuple[float, ...] | None:
    return _column_means(np.abs(error_m[keep])) if keep.any() else None


def _column_means(values: NDArray[np.floating] | NDArray[np.bool_]) -> tuple[float, ...]:
    return tuple(values.mean(axis=0).tolist())
