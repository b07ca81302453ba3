"""A linear map that makes features as alike as somebody finds the pictures."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.heads.alignment import AlignmentSettings, agreement, fit_alignment


def judged(features: NDArray[np.float32], seed: int) -> NDArray[np.int64]:
    """Return triplets of which the first two are most alike in the sign of the first feature."""
    drawn = np.random.default_rng(seed).integers(0, len(features), (4000, 3))
    sign = features[drawn, 0] > 0.0
    return drawn[(sign[:, 0] == sign[:, 1]) & (sign[:, 0] != sign[:, 2])]


def test_a_map_learns_what_counts_and_agrees_about_other_pictures() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(400, 8)).astype(np.float32)
    others = rng.normal(size=(400, 8)).astype(np.float32)
    settings = AlignmentSettings(local=0.0, steps=150, learning_rate=2e-2, plainness=1e-3)
    fitted = fit_alignment(features, judged(features, 1), settings)
    asked = judged(others, 2)
    before, after = (agreement(of, asked).mean() for of in (others, fitted(others)))
    assert after > before + 0.2


def test_a_map_without_steps_only_centres_and_scales() -> None:
    features = np.random.default_rng(0).normal(3.0, 2.0, (50, 4)).astype(np.float32)
    fitted = fit_alignment(
        features, np.zeros((1, 3), np.int64), AlignmentSettings(steps=0, scale=1)
    )
    expected = (features - features.mean(axis=0)) / features.std()
    np.testing.assert_allclose(fitted(features), expected, atol=1e-5)
