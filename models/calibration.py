"""Temperature scaling (Guo et al. 2017) and the expected calibration error, in plain numpy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.probabilities import softmax

_GOLDEN = (np.sqrt(5.0) - 1.0) / 2.0
_LOG_TEMPERATURE_RANGE = (-2.5, 2.5)

#: Bins of the calibration error and of the reliability diagram; the number of Guo et al. 2017.
BINS = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class ReliabilityBins:
    """How often the answers of one bin of confidence were right; bin k is [k, k + 1) / bins.

    Attributes:
        count: Answers per bin.
        confidence: Mean confidence per bin; 0 where it is empty.
        accuracy: Share of right answers per bin; 0 where it is empty.
    """

    count: tuple[int, ...]
    confidence: tuple[float, ...]
    accuracy: tuple[float, ...]


def fit_temperature(logits: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
    """Return the temperature that minimises the negative log likelihood.

    The likelihood has one minimum in the temperature, so a golden-section search over its
    logarithm finds it.

    Args:
        logits: (N, K).
        labels: (N,) true classes.
    """
    low, high = _LOG_TEMPERATURE_RANGE
    left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    loss_left = negative_log_likelihood(logits, labels, float(np.exp(left)))
    loss_right = negative_log_likelihood(logits, labels, float(np.exp(right)))
    while high - low > 1e-4:
        if loss_left < loss_right:
            high, right, loss_right = right, left, loss_left
            left = high - _GOLDEN * (high - low)
            loss_left = negative_log_likelihood(logits, labels, float(np.exp(left)))
        else:
            low, left, loss_left = left, right, loss_right
            right = low + _GOLDEN * (high - low)
            loss_right = negative_log_likelihood(logits, labels, float(np.exp(right)))
    return float(np.exp((low + high) / 2.0))


def negative_log_likelihood(
    logits: NDArray[np.floating], labels: NDArray[np.integer], temperature: float
) -> float:
    """Return the mean of -log p(true class) in nats."""
    scaled = np.asarray(logits, np.float64) / temperature
    scaled = scaled - scaled.max(axis=1, keepdims=True)
    log_sum = np.log(np.exp(scaled).sum(axis=1))
    return float((log_sum - scaled[np.arange(len(labels)), labels]).mean())


def reliability_bins(
    probabilities: NDArray[np.floating], labels: NDArray[np.integer], bins: int = BINS
) -> ReliabilityBins:
    """Sort answers into equal bins of confidence, as a reliability diagram shows them.

    Args:
        probabilities: (N, K), rows sum to 1.
        labels: (N,) true classes.
        bins: Number of bins over 0..1.
    """
    confidence = probabilities.max(axis=1).astype(np.float64)
    correct = probabilities.argmax(axis=1) == labels
    index = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    count = np.bincount(index, minlength=bins)
    divisor = np.maximum(count, 1)
    return ReliabilityBins(
        count=tuple(count.tolist()),
        confidence=tuple((np.bincount(index, confidence, bins) / divisor).tolist()),
        accuracy=tuple((np.bincount(index, correct, bins) / divisor).tolist()),
    )


def expected_calibration_error(
    probabilities: NDArray[np.floating], labels: NDArray[np.integer], bins: int = BINS
) -> float:
    """Return the mean gap between confidence and accuracy over equal bins of confidence.

    Args:
        probabilities: (N, K), rows sum to 1.
        labels: (N,) true classes.
        bins: Number of bins over 0..1.
    """
    diagram = reliability_bins(probabilities, labels, bins)
    gap = np.abs(np.subtract(diagram.accuracy, diagram.confidence))
    return float((np.asarray(diagram.count) * gap).sum() / len(labels))


def calibration_errors(
    logits: NDArray[np.floating], labels: NDArray[np.integer], temperature: float
) -> tuple[float, float]:
    """Return the expected calibration error before and after temperature scaling."""
    before = expected_calibration_error(softmax(logits), labels)
    after = expected_calibration_error(softmax(logits, temperature), labels)
    return before, after
