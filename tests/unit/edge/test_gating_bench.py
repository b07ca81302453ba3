"""The gate's benchmark covers every batch size and counts what B was asked; no time is asserted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bicameral.errors import DataError
from edge.cascade import CascadeClassifier, CascadePolicy
from edge.gating_bench import GatingBenchSettings, measure_gating
from edge.loading import load_classifier

pytestmark = pytest.mark.unit


@pytest.fixture
def cascade(tmp_path: Path, write_classifier: Callable[..., Path]) -> CascadeClassifier:
    a = load_classifier(write_classifier(tmp_path, "a", seed=3))
    b = load_classifier(write_classifier(tmp_path, "b", seed=5))
    return CascadeClassifier(
        a, b, CascadePolicy(score="margin", threshold=0.9, combine="post_check")
    )


def test_every_batch_size_is_measured(cascade: CascadeClassifier, pictures: np.ndarray) -> None:
    costs = measure_gating(cascade, pictures, GatingBenchSettings(batch_sizes=(1, 7), rounds=3))
    assert [(cost.batch_size, cost.images) for cost in costs] == [(1, 48), (7, 42)]
    for cost in costs:
        trace = cascade.predict(pictures[: cost.images]).trace or ()
        assert cost.share_b == sum(entry.stage == "b" for entry in trace) / cost.images
        assert 0 < cost.share_b < 1
        assert cost.least_gating_us <= cost.gating_us <= cost.most_gating_us
        assert cost.networks_us > 0
        assert cost.ratio > 0


def test_too_few_images_for_a_batch_are_refused(
    cascade: CascadeClassifier, pictures: np.ndarray
) -> None:
    with pytest.raises(DataError, match="31 images do not fill a batch of 32"):
        measure_gating(cascade, pictures[:31])
