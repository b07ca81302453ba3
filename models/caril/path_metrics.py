"""How good a path network's answers are on recorded frames. It does not say how it drives.

Beside every figure stands its trivial baseline: most roads go straight on. Models are to be chosen
by closed-loop driving on the validation town.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bicameral.errors import DataError
from edge.path_model import PathModel, PathOutput
from models.caril.dataset import Frames, Split, load_frames
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


@dataclass(frozen=True, slots=True, kw_only=True)
class PathEvaluation:
    """A model's answers on a split; figures by name: ``"all"`` and each weather."""

    model: PathModel
    frames: Frames
    metrics: dict[str, PathMetrics]

    def record(self, split: Split) -> dict[str, Any]:
        """Return the figures as JSON values, with what they were measured on."""
        return {
            "schema": 1,
            "model": self.model.name,
            "model_sha256": self.model.fingerprint,
            "split": split,
            "towns": self.frames.towns,
            "data_sha256": self.frames.fingerprint,
            "distances_m": PATH_DISTANCES_M,
            "metrics": {name: asdict(value) for name, value in self.metrics.items()},
        }


def evaluate_path(model: Path, data: Path, split: Split) -> PathEvaluation:
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
    frames = load_frames(data, split, spec=network.image)
    frames.require_path()
    if split == "test" and (seen := set(frames.towns) & set(network.agent.towns)):
        raise DataError(f"{network.name} was trained on {sorted(seen)}: no test of it")
    answers = predict_paths(network, frames)
    weather = np.array([episode.weather for episode in frames.episodes])[frames.episode]
    groups = {"all": np.ones(len(frames), bool)}
    groups |= {name: weather == name for name in frames.weathers}
    metrics = {name: score_paths(answers, frames, keep) for name, keep in groups.items()}
    return PathEvaluation(model=network, frames=frames, metrics=metrics)


def predict_paths(
    model: PathModel, frames: Frames, images: NDArray[np.uint8] | None = None
) -> PathOutput:
    """Return a model's answers for all frames, without the lane intent.

    Args:
        model: The model.
        frames: What it is asked about.
        images: (N, 64, 160, 3) what it is shown instead of their pictures; None: these.
    """
    parts = [
        model.predict_batch(
            frames.gather(index) if images is None else images[index],
            frames.speed_mps[index],
            frames.command[index],
        )
        for index in frames.batches()
    ]
    return PathOutput(
        **{
            one.name: np.concatenate([getattr(part, one.name) for part in parts])
            for one in fields(PathOutput)
        }
    )


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
