"""From logits to probabilities, and from probabilities to one number for how sure they are.

Networks on the runtime's way and sweeps over recorded logits use the same functions, and every row
is computed on its own, so a sweep gives the same bits as the runtime does for the same logits.
Where ONNX Runtime computes the softmax (`edge.whole_graph`), that is in float64, too: of 120,000
numbers of the shipped cascade's networks none came out with other bits.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

ScoreName = Literal["margin", "max_probability", "entropy_normalised"]

_TINY = np.finfo(np.float64).tiny

#: Keeps the logarithm finite; CARIL's constant (test_scenario.py).
_ENTROPY_FLOOR = 1e-8


def softmax(
    logits: NDArray[np.floating], temperature: float | NDArray[np.float64] = 1.0
) -> NDArray[np.float64]:
    """Return `softmax(logits / temperature)` over the last axis in float64."""
    # One array, changed in place, and bare reductions: at batch 1 the calls are the cost.
    values = np.divide(logits, temperature, dtype=np.float64)
    values -= np.maximum.reduce(values, axis=-1, keepdims=True)
    np.exp(values, out=values)
    values /= np.add.reduce(values, axis=-1, keepdims=True)
    return np.asarray(values)


def calibrated_probabilities(
    logits: NDArray[np.floating], temperature: float | NDArray[np.float64]
) -> NDArray[np.float32]:
    """Return what a classifier answers for logits: `softmax(logits / temperature)` in float32.

    Args:
        logits: (..., C).
        temperature: The sidecar's, above 0.

    Returns:
        (..., C) float32, rows sum to 1 within float32's rounding.
    """
    return softmax(logits, temperature).astype(np.float32)


def confidence(probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the probability of each row's most probable class: (N, C) -> (N,)."""
    if len(probabilities) == 1:  # half of what a reduction takes
        return probabilities[:, probabilities.argmax()]
    return np.asarray(np.maximum.reduce(probabilities, axis=-1))


def max_probability(probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the largest probability of each row: (N, C) -> (N,), 1/C..1."""
    return np.asarray(np.maximum.reduce(probabilities, axis=-1), np.float64)


def margin(probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the gap between the two largest probabilities of each row: (N, C) -> (N,), 0..1."""
    ordered = probabilities.copy()
    ordered.partition(-2, axis=-1)
    return np.asarray(np.subtract(ordered[..., -1], ordered[..., -2], dtype=np.float64))


def entropy_normalised(probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return 1 - entropy / ln C of each row: (N, C) -> (N,), 0 (uniform)..1 (certain).

    Turned around, so that high means sure for every score.
    """
    values = np.asarray(probabilities, np.float64)
    # x ln x -> 0 for x -> 0; the bound below 1 keeps the logarithm from ever seeing a zero.
    terms = np.maximum(values, _TINY)
    np.log(terms, out=terms)
    terms *= values
    sureness = 1.0 + np.add.reduce(terms, axis=-1) / math.log(values.shape[-1])
    return np.asarray(np.minimum(np.maximum(sureness, 0.0), 1.0))


#: Scores of how sure a distribution is, by name; 0..1, high = sure. Always float64, so that a
#: comparison with a threshold means the same for one number and for an array of thresholds.
SCORES: dict[ScoreName, Callable[[NDArray[np.floating]], NDArray[np.float64]]] = {
    "margin": margin,
    "max_probability": max_probability,
    "entropy_normalised": entropy_normalised,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Confidence:
    """Two measures of one distribution.

    Attributes:
        max_probability: Probability of the most probable class, 1/K..1.
        entropy: Entropy in nats, 0..ln K.
        steering_class: Index of the most probable class.
    """

    max_probability: float
    entropy: float
    steering_class: int


def confidence_from_probabilities(probabilities: NDArray[np.floating]) -> Confidence:
    """Measure class probabilities (K,) that sum to 1."""
    steering_class = int(probabilities.argmax())
    entropy = -float((probabilities * np.log(probabilities + _ENTROPY_FLOOR)).sum())
    return Confidence(
        max_probability=float(probabilities[steering_class]),
        # The floor makes the entropy of a certain answer a hair negative.
        entropy=min(max(entropy, 0.0), math.log(len(probabilities))),
        steering_class=steering_class,
    )
