"""What a memory survives and what it costs: the measurements count what they say they count."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from bicameral.errors import DataError
from edge.memory.settings import MemorySettings
from models.cascade.memory_cost import CostSettings, measure_cost
from models.cascade.memory_robustness import PERTURBATIONS, Perturbation, measure_robustness
from models.classifiers.dataset import LabelledImages

pytestmark = pytest.mark.unit


def _pictures(count: int, channels: int = 1, seed: int = 0) -> LabelledImages:
    coarse = np.random.default_rng(seed).integers(0, 256, (count, 5, 5, channels), dtype=np.uint8)
    images = np.stack([cv2.resize(image, (20, 20)).reshape(20, 20, channels) for image in coarse])
    return LabelledImages(images=images, labels=np.arange(count) % 7)


MEMORIES = [
    MemorySettings(key="exact"),
    MemorySettings(key="invariants_unverified"),
    MemorySettings(),
    MemorySettings(align=True),
]


def _shares(perturbation: str) -> list[float]:
    chosen = [item for item in PERTURBATIONS if item.name == perturbation]
    records = measure_robustness(_pictures(100), MEMORIES, perturbations=chosen)
    assert all(record.n == 100 for record in records)
    return [record.hits / record.n for record in records]


def test_an_unchanged_image_is_always_found() -> None:
    assert _shares("none") == [1.0] * 4


def test_noise_defeats_all_but_the_verified_memory() -> None:
    exact, invariants, verified, aligned = _shares("noise sd 2")
    assert (exact, invariants) == (0.0, 0.0)
    assert aligned >= verified >= 0.8


def test_only_alignment_survives_a_displacement() -> None:
    exact, _, verified, aligned = _shares("shift by 1 pixel")
    assert exact == 0.0
    assert verified <= 0.2
    assert aligned >= 0.7


def test_only_the_invariants_survive_a_quarter_turn() -> None:
    assert _shares("quarter turn") == [0.0, 1.0, 0.0, 0.0]
    assert _shares("mirrored") == [0.0, 1.0, 0.0, 0.0]


@pytest.mark.parametrize("channels", [1, 3])
def test_every_perturbation_keeps_shape_and_type(channels: int) -> None:
    images = _pictures(12, channels).images
    before = images.copy()
    for perturbation in PERTURBATIONS:
        changed = perturbation.change(images, np.random.default_rng(0))
        assert (changed.shape, changed.dtype) == (images.shape, np.uint8), perturbation.name
    assert np.array_equal(images, before)


def test_where_the_stored_image_is_perturbed_too_it_is_another_frame() -> None:
    def constant(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return np.full_like(images, rng.integers(256))

    records = [
        measure_robustness(
            _pictures(5),
            [MemorySettings(key="exact")],
            perturbations=[Perturbation(name="", change=constant, on_stored=on_stored)],
        )[0].hits
        for on_stored in (False, True)
    ]
    assert records == [0, 0]


def test_costs_are_given_for_every_memory_and_batch_size() -> None:
    known, unknown = _pictures(40), _pictures(16, seed=1).images
    costs = measure_cost(
        known,
        unknown,
        [MemorySettings(key="exact"), MemorySettings()],
        settings=CostSettings(batch_sizes=(1, 4), images=16, rounds=2),
    )
    assert [(cost.key, cost.batch_size) for cost in costs] == [
        ("exact", 1),
        ("exact", 4),
        ("dhash_verified (tolerance 4)", 1),
        ("dhash_verified (tolerance 4)", 4),
    ]
    for cost in costs:
        assert min(cost.hit_us, cost.miss_us, cost.store_us) > 0
        assert cost.classifier_us is None
        assert cost.entries == 56


def test_too_few_images_for_a_round_are_refused() -> None:
    with pytest.raises(DataError, match="fewer than the 256 of a round"):
        measure_cost(_pictures(10), _pictures(300).images, [MemorySettings()])
