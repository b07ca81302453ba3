"""Pools of made-up logits with known structure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from models.cascade.pool import ValidationPool, fit_temperatures, validation_pool
from models.classifiers.logits import NetworkLogits, PoolLogits

CLASSES = 4

#: Name, MACs, how strongly the network sees the true class.
NETWORKS = (
    ("tiny", 100, 1.8),
    ("small", 200, 2.0),
    ("middle", 400, 2.3),
    ("large", 2000, 3.0),
    ("huge", 5000, 3.05),
)

MakePool = Callable[..., PoolLogits]


def _make_pool(
    networks: Sequence[tuple[str, int, float]] = NETWORKS,
    *,
    seeds: Sequence[int] = (0, 1),
    images: tuple[int, int] = (400, 500),
    overconfident: float = 2.0,
    seed: int = 0,
) -> PoolLogits:
    """Make networks that see the true class in noise of variance 1.

    Half of the noise is common to all (hard images), 0.3 is the architecture's and 0.2 the seed's.
    The posterior of such a signal is softmax(strength * signal), so these logits are calibrated
    before they are multiplied by `overconfident`.
    """
    rng = np.random.default_rng(seed)
    labels = [rng.integers(CLASSES, size=n) for n in images]

    def noise(variance: float) -> list[NDArray[np.float64]]:
        return [np.sqrt(variance) * rng.normal(size=(n, CLASSES)) for n in images]

    common = noise(0.5)
    made = []
    for name, macs, strength in networks:
        taste = noise(0.3)
        for training in seeds:
            signals = [
                strength * np.eye(CLASSES)[y] + sum(parts)
                for y, *parts in zip(labels, common, taste, noise(0.2), strict=True)
            ]
            # float16, as logits are stored
            validation, test = (
                (overconfident * strength * signal).astype(np.float16).astype(np.float32)
                for signal in signals
            )
            made.append(
                NetworkLogits(
                    architecture=name,
                    seed=training,
                    macs=macs,
                    parameters=macs // 10,
                    cpu_us=macs / 20.0,
                    validation=validation,
                    test=test,
                )
            )
    return PoolLogits(
        dataset="made up",
        dataset_sha256="0" * 64,
        labels=tuple(f"class {k}" for k in range(CLASSES)),
        validation_labels=labels[0],
        test_labels=labels[1],
        networks=tuple(made),
    )


@pytest.fixture(scope="session")
def make_pool() -> MakePool:
    """Give a maker of pools."""
    return _make_pool


@pytest.fixture(scope="session")
def pool() -> PoolLogits:
    """Give five architectures with two seeds each."""
    return _make_pool()


@pytest.fixture(scope="session")
def validation(pool: PoolLogits) -> ValidationPool:
    """Give its calibrated answers on the validation images."""
    return validation_pool(pool, fit_temperatures(pool))
