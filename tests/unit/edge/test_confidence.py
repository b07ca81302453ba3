"""Confidence: maximum probability and entropy of a distribution."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edge.probabilities import confidence_from_probabilities

pytestmark = pytest.mark.unit


def test_a_certain_answer_has_no_entropy() -> None:
    confidence = confidence_from_probabilities(np.eye(11)[3])
    assert confidence.max_probability == 1.0
    assert confidence.steering_class == 3
    assert confidence.entropy == pytest.approx(0.0, abs=1e-6)
    assert confidence.entropy >= 0.0


def test_a_uniform_answer_has_the_entropy_of_all_classes() -> None:
    confidence = confidence_from_probabilities(np.full(11, 1 / 11))
    assert confidence.entropy == pytest.approx(math.log(11), abs=1e-6)
    assert confidence.max_probability == pytest.approx(1 / 11)
