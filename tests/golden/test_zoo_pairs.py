"""Entries of the zoo beside what they are held against: what ships, and what the cards say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge.classifier import FeatureClassifier
from edge.loading import load_classifier
from edge.preflight import has_errors, preflight
from edge.shipped import shipped_model, weights_folder
from edge.sidecar import read_sidecar
from models.classifiers.dataset import LabelledImages
from models.classifiers.datasets import load_dataset
from models.records import read_record
from models.zoo.pairs import PairComparison

ROOT = Path(__file__).parents[2]
STUDIES = ROOT / "studies" / "fashion_mnist" / "zoo"
#: Entry, file of its comparison, name of what it was compared with.
ENTRIES = {
    "group_to_group": "group_to_group_against_dense_mlp.json",
    "kernel_head": "kernel_head_against_linear_head.json",
}
MOST_BYTES = 10 * 2**20


@pytest.fixture(scope="module")
def test_images() -> LabelledImages:
    return load_dataset("fashion-mnist").test


def comparison(entry: str) -> PairComparison:
    path = STUDIES / ENTRIES[entry]
    return read_record(path, PairComparison, what="comparison", remedy="compare again")


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
    assert found.difference.n_seeds == 3
    assert found.difference.low > -0.005
    assert all(one.ratio > 1.0 for one in found.cpu)


def test_the_kernel_head_answers_as_well_as_the_linear_head() -> None:
    found = comparison("kernel_head")
    assert found.difference.n_seeds == 3
    assert -0.001 < found.difference.low < 0.0 < found.difference.high < 0.001


@pytest.mark.parametrize("entry", ENTRIES)
def test_the_card_says_what_was_measured(entry: str) -> None:
    found, text = comparison(entry), card(entry)
    for interval in (found.accuracy, found.other_accuracy, found.difference):
        low, high = f"{100 * interval.low:.2f}", f"{100 * interval.high:.2f}"
        assert f"{100 * interval.value:.2f} [{low}, {high}]" in text
    for one in found.cpu:
        assert f"{one.ratio:.2f}" in text
    assert found.host in text
