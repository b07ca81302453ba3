"""What is measured on the data after the training of a path network: its agent block, its errors.

Every network of that kind is asked twice for each held-out frame, with the lane intent and without,
and calibrated on both: it must be honest either way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge.agent_sidecar import LaneIntent, OffsetClasses, PathAgentSpec, SpreadThreshold
from edge.path_model import PathCalibration
from models.calibration import calibration_errors, fit_temperature
from models.caril.dataset import Frames
from models.caril.fitting import ASKED_SHARE, ask_network, describe_training, fit_factor
from models.caril.lessons import draw_intent
from models.caril.path_metrics import PathMetrics, score_paths
from models.networks.dual_head import PathNetwork
from models.networks.path_classes import (
    DECIDING_BINS,
    INTENT_DISTANCES_M,
    INTENT_SCALE_M,
    OFFSET_BINS,
    PATH_DISTANCES_M,
    intent_points,
    path_offsets,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PathFit:
    """A path network's agent block, and how good it is on held-out frames.

    Attributes:
        agent: For the sidecar.
        ece_before: Expected calibration error of the classes 10 m ahead at temperature 1.
        ece_after: The same at their temperature.
        uninformed: Figures of answers without the lane intent.
        informed: The same with it.
    """

    agent: PathAgentSpec
    ece_before: float
    ece_after: float
    uninformed: PathMetrics
    informed: PathMetrics

    def describe(self) -> str:
        """Say in one sentence how good the network is."""
        at, found = DECIDING_BINS.column, self.uninformed
        inside = (
            ""
            if found.junction_error_m is None
            else (f", in junctions {found.junction_error_m[at]:.3f} m")
        )
        right = found.class_accuracy[OFFSET_BINS.index(DECIDING_BINS)]
        return (
            f"validation ({found.frames} frames): {DECIDING_BINS.distance_m:.0f} m ahead the path "
            f"is off by {found.error_m[at]:.3f} m{inside}, with the lane intent "
            f"{self.informed.error_m[at]:.3f} m (always straight: "
            f"{found.straight_error_m[at]:.3f} m); its class is right in {100 * right:.0f} % with "
            f"a calibration error of {self.ece_before:.3f} -> {self.ece_after:.3f}"
        )


class _Answers(NamedTuple):
    """Raw answers of a network: offsets and scales (N, 5) in metres, logits (N, 3, 13)."""

    offsets: NDArray[np.float32]
    scales: NDArray[np.float32]
    logits: NDArray[np.float32]


def fit_path(network: PathNetwork, training: Frames, validation: Frames) -> PathFit:
    """Measure a trained network.

    Args:
        network: In evaluation mode.
        training: Frames it was trained on.
        validation: Frames of held-out episodes, same weathers.
    """
    told = validation_intent(validation)
    without = _Answers(*ask_network(network, validation, np.zeros_like(told)))
    informed = _Answers(*ask_network(network, validation, told))
    both = _Answers(*map(np.concatenate, zip(without, informed, strict=True)))
    truth_m = path_offsets(validation.ahead_m)
    agent = _fit_agent(network, training, both, np.concatenate([truth_m, truth_m]))
    deciding = OFFSET_BINS.index(DECIDING_BINS)
    labels = DECIDING_BINS.labels(truth_m[:, DECIDING_BINS.column])
    before, after = calibration_errors(
        both.logits[:, deciding],
        np.concatenate([labels, labels]),
        agent.classes[deciding].temperature,
    )
    calibration = PathCalibration(agent)
    everything = np.ones(len(validation), bool)
    uninformed, told_so = (
        score_paths(calibration(*one), validation, everything) for one in (without, informed)
    )
    return PathFit(
        agent=agent,
        ece_before=before,
        ece_after=after,
        uninformed=uninformed,
        informed=told_so,
    )


def validation_intent(frames: Frames) -> NDArray[np.float32]:
    """Return a lane intent (N, 5) for all frames, with the same errors each time."""
    return draw_intent(intent_points(frames.ahead_m), 0.0, np.random.default_rng(0))


def _fit_agent(
    network: PathNetwork, training: Frames, answers: _Answers, truth_m: NDArray[np.float32]
) -> PathAgentSpec:
    """Return the agent block: classes of the training data, calibration of the answers."""
    ones = (1.0,) * len(PATH_DISTANCES_M)
    plain = PathAgentSpec(
        **describe_training(network.settings, training),
        variant="path",
        distances_m=PATH_DISTANCES_M,
        scale_factors=ones,
        spread_factors=ones,
        classes=_fit_classes(path_offsets(training.ahead_m), answers.logits, truth_m),
        intent=LaneIntent(distances_m=INTENT_DISTANCES_M, scale_m=INTENT_SCALE_M),
        confidence=SpreadThreshold(
            distance_m=DECIDING_BINS.distance_m,
            threshold_m=1.0,
            asked_share=0.0,
            split="validation",
            n=len(truth_m) // 2,
        ),
    )
    output = PathCalibration(plain)(*answers)
    error_m = output.offsets_m - truth_m
    spread = _factors(error_m, output.spread_m)
    at = DECIDING_BINS.column
    spread_m = output.spread_m[:, at] * spread[at]
    threshold_m = float(np.quantile(spread_m, 1.0 - ASKED_SHARE))
    confidence = plain.confidence.model_copy(
        update={
            "threshold_m": threshold_m,
            "asked_share": float((spread_m > threshold_m).mean()),
        }
    )
    return plain.model_copy(
        update={
            "scale_factors": _factors(error_m, output.offsets_std_m),
            "spread_factors": spread,
            "confidence": confidence,
        }
    )


def _fit_classes(
    training_m: NDArray[np.float32], logits: NDArray[np.float32], truth_m: NDArray[np.float32]
) -> tuple[OffsetClasses, ...]:
    """Return means and variances within the classes of the training labels, and temperatures."""
    found: list[OffsetClasses] = []
    for place, bins in enumerate(OFFSET_BINS):
        offset_m = training_m[:, bins.column].astype(np.float64)
        labels = bins.labels(offset_m)
        counts = np.bincount(labels, minlength=bins.count)
        divisor = np.maximum(counts, 1)
        sums = np.bincount(labels, weights=offset_m, minlength=bins.count)
        means = np.where(counts > 0, sums / divisor, bins.centres_m)
        squares = np.bincount(labels, (offset_m - means[labels]) ** 2, minlength=bins.count)
        found.append(
            OffsetClasses(
                distance_m=bins.distance_m,
                bin_edges_m=bins.edges_m,
                bin_means_m=tuple(means.tolist()),
                bin_variances_m2=tuple((squares / divisor).tolist()),
                temperature=fit_temperature(logits[:, place], bins.labels(truth_m[:, bins.column])),
            )
        )
    return tuple(found)


def _factors(error_m: NDArray[np.floating], std_m: NDArray[np.floating]) -> tuple[float, ...]:
    """Return what each column's standard deviations must be multiplied by to be those of errors."""
    return tuple(fit_factor(error, std) for error, std in zip(error_m.T, std_m.T, strict=True))
