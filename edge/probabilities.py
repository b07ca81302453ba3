"""From logits to probabilities, and from probabilities to one number for how sure they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

ScoreName = Literal["margin", "max_probability", "entropy_normalised"]


def softmax(logits: NDArray[np.floating], temperature: float = 1.0) -> NDArray[np.float64]:
    """Return `softmax(logits / temperature)` over the last axis in float64."""
    scaled = np.asarray(logits, np.float64) / temperature
    scaled = scaled - scaled.max(axis=-1, keepdims=True)
    exponentials = np.exp(scaled)
    return np.asarray(exponentials / exponentials.sum(axis=-1, keepdims=True))


def max_probability(probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the largest probability of each row: (N, C) -> (N,), 1/C..1."""
    return np.asarray(np.max(probabilities, axis=-1), np.float64)


def margin(probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the gap between the two largest probabilities of each row: (N, C) -> (N,), 0..1."""
    two = np.partition(np.asarray(probabilities, np.float64), -2, axis=-1)[..., -2:]
    return np.asarray(two[..., 1] - two[..., 0])


def entropy_normalised(probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return 1 - entropy / ln C of each row: (N, C) -> (N,), 0 (uniform)..1 (certain).

    Turned around, so that high means sure for every score.
    """
    values = np.asarray(probabilities, np.float64)
    # x ln x -> 0 for x -> 0; the bound below 1 keeps the logarithm from ever seeing a zero.
    terms = values * np.log(np.maximum(values, np.finfo(np.float64).tiny))
    return np.asarray(np.clip(1.0 + terms.sum(axis=-1) / np.log(values.shape[-1]), 0.0, 1.0))


#: Scores of how sure a distribution is, by name; 0..1, high = sure.
SCORES: dict[ScoreName, Callable[[NDArray[np.floating]], NDArray[np.float64]]] = {
    "margin": margin,
    "max_probability": max_probability,
    "entropy_normalised": entropy_normalised,
}
