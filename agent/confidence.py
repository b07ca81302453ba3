"""How sure a network is, from its class probabilities."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Keeps the logarithm finite; CARIL's constant (test_scenario.py).
_ENTROPY_FLOOR = 1e-8


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
