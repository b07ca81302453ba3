"""Two classifiers against each other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bicameral.errors import ConfigError
from edge.loading import load_classifier
from models.data.dataset import ImageDataset
from studies.pairs import ON_TEST_IMAGES, compare_pair


def test_the_difference_is_that_of_the_answers_to_the_same_images(
    quick: Callable[..., Path], stripes_dataset: ImageDataset
) -> None:
    models = [quick("squeeze16"), quick("squeeze16", 1)]
    others = [quick("residual8"), quick("squeeze16")]
    found = compare_pair("pair", models, others, stripes_dataset, rounds=2)
    test = stripes_dataset.test
    scores = [
        np.mean(load_classifier(path).predict(test.images).probabilities.argmax(1) == test.labels)
        for path in (*models, *others)
    ]

    def of(quantity: str) -> float | None:
        return found["pair", ON_TEST_IMAGES, quantity].value

    assert of("accuracy") == pytest.approx(np.mean(scores[:2]))
    assert of("other accuracy") == pytest.approx(np.mean(scores[2:]))
    gaps = [of("difference of seed 0"), of("difference of seed 1")]
    assert gaps == pytest.approx(np.subtract(scores[:2], scores[2:]), abs=1e-6)
    difference = found["pair", ON_TEST_IMAGES, "difference"]
    assert difference.low <= difference.value <= difference.high
    assert (difference.n, difference.seeds) == (len(test), 2)
    times = {key[1]: one for key, one in found.items() if "batch" in key[1]}
    assert [condition.split(" on ")[0] for condition in times] == ["batch 1", "batch 32"]
    assert all(one.value > 0 for one in times.values())


def test_a_classifier_against_itself_differs_by_nothing(
    quick: Callable[..., Path], stripes_dataset: ImageDataset
) -> None:
    path = quick("squeeze16")
    found = compare_pair("pair", [path], [path], stripes_dataset, rounds=1)
    difference = found["pair", ON_TEST_IMAGES, "difference"]
    assert (difference.value, difference.low, difference.high) == (0, 0, 0)


def test_as_many_of_the_one_as_of_the_other_are_needed(
    quick: Callable[..., Path], stripes_dataset: ImageDataset
) -> None:
    path = quick("squeeze16")
    with pytest.raises(ConfigError, match="2 models are to be compared with 1"):
        compare_pair("pair", [path, path], [path], stripes_dataset)
