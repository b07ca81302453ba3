"""The gate's cost counts what B was asked; no time is asserted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge.cascade import CascadeClassifier, CascadePolicy
from edge.loading import load_classifier
from studies.gate_cost import measure_gate

pytestmark = pytest.mark.studies


@pytest.fixture
def cascade(tmp_path: Path, write_classifier: Callable[..., Path]) -> CascadeClassifier:
    a = load_classifier(write_classifier(tmp_path, "a", seed=3))
    b = load_classifier(write_classifier(tmp_path, "b", seed=5))
    return CascadeClassifier(
        [a, b], CascadePolicy(score="margin", thresholds=(0.9,), combine="post_check")
    )


@pytest.mark.parametrize(("size", "count"), [(1, 48), (7, 42)])
def test_only_whole_batches_count_and_b_is_counted_as_the_trace_says(
    cascade: CascadeClassifier, pictures: np.ndarray, size: int, count: int
) -> None:
    cost = measure_gate(cascade, pictures, size, rounds=3)
    trace = cascade.predict(pictures[:count]).trace or ()
    assert cost["share_b"].n == count
    assert cost["share_b"].value == sum(entry.stage == "b" for entry in trace) / count
    assert 0.0 < (cost["share_b"].value or 0.0) < 1.0
    assert (cost["gate_us"].value or 0.0) > 0.0
    assert (cost["networks_us"].value or 0.0) > 0.0
    assert cost["ratio"].n == 3
