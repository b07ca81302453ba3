"""Entries of the zoo beside what they are held against: what ships, and what the cards say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bicameral.statistics import Estimate
from bicameral.tables import percent_cell, points_cell
from edge.classifier import FeatureClassifier
from edge.loading import load_classifier
from edge.preflight import has_errors, preflight
from edge.shipped import shipped_model, weights_folder
from edge.sidecar import read_sidecar
from models.data.dataset import LabelledImages
from models.data.sources import load_dataset
from studies.measurements import read_measurements
from studies.pairs import ON_TEST_IMAGES
from studies.zoo_tables import RECORDS

ROOT = Path(__file__).parents[2]
#: Entry and name of what it was compared with.
ENTRIES = {"group_to_group": "dense_mlp", "kernel_head": "linear head"}
MOST_BYTES = 10 * 2**20


@pytest.fixture(scope="module")
def test_images() -> LabelledImages:
    return load_dataset("fashion-mnist").test


def comparison(entry: str) -> dict[tuple[str, str], Estimate]:
    """Return what was measured of an entry and its counterpart, by condition and quantity."""
    subject = f"{entry} against {ENTRIES[entry]}"
    table = read_measurements(RECORDS / f"{entry}.csv")
    return {key[1:]: one for key, one in table.items() if key[0] == subject}


def card(entry: str) -> str:
    return (ROOT / "docs" / "zoo" / f"{entry}.md").read_text("utf-8")


@pytest.mark.parametrize("entry", ENTRIES)
def test_the_shipped_model_reaches_its_claimed_accuracy(
    entry: str, test_images: LabelledImages
) -> None:
    name = f"fashion_mnist_{entry}"
    sidecar = read_sidecar(shipped_model(name))
    claim = next(one for one in sidecar.claims if one.metric == "accuracy")
    classifier = load_classifier(shipped_model(name))
    assert isinstance(classifier, FeatureClassifier)
    part = slice(0, 3000)
    correct = [
        classifier.predict(test_images.images[k : k + 250]).probabilities.argmax(axis=1)
        == test_images.labels[k : k + 250]
        for k in range(0, 3000, 250)
    ]
    assert np.mean(correct) == pytest.approx(claim.value, abs=0.015)  # 3,000 of 10,000 images
    assert claim.n == len(test_images)
    assert classifier.features(test_images.images[part][:2]).shape[0] == 2
    assert f"{100 * claim.value:.2f}" in card(entry)


@pytest.mark.parametrize("entry", ENTRIES)
def test_the_shipped_model_is_small_and_fit_for_the_nano(entry: str) -> None:
    name = f"fashion_mnist_{entry}"
    sidecar = read_sidecar(shipped_model(name))
    assert sidecar.files[0].bytes <= MOST_BYTES
    assert not has_errors(preflight(weights_folder() / f"{name}.onnx", "jetson-nano"))


def test_the_sparse_perceptron_is_as_good_as_its_dense_twin_and_faster() -> None:
    found = comparison("group_to_group")
    difference = found[ON_TEST_IMAGES, "difference"]
    assert difference.seeds == 3
    assert difference.low > -0.005
    ratios = [one.value for (_, quantity), one in found.items() if quantity == "ratio"]
    assert len(ratios) == 2
    assert all(ratio > 1.0 for ratio in ratios)


def test_the_kernel_head_answers_as_well_as_the_linear_head() -> None:
    difference = comparison("kernel_head")[ON_TEST_IMAGES, "difference"]
    assert difference.seeds == 3
    assert -0.001 < difference.low < 0.0 < difference.high < 0.001


@pytest.mark.parametrize("entry", ENTRIES)
def test_the_card_says_what_was_measured(entry: str) -> None:
    found, text = comparison(entry), card(entry)
    for quantity in ("accuracy", "other accuracy"):
        assert str(percent_cell(found[ON_TEST_IMAGES, quantity])) in text
    assert str(points_cell(found[ON_TEST_IMAGES, "difference"])) in text
    for (condition, quantity), one in found.items():
        if quantity == "ratio":
            assert f"{one.value:.2f}" in text
            assert condition.partition(" on ")[2] in text
