"""The shipped early exit: what was measured of it is what the shipped files do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge.cascade import CascadeClassifier
from edge.loading import load_classifier
from edge.shipped import shipped_model
from edge.sidecar import read_sidecar
from models.cascade.early_exit import EarlyExitResults
from models.data.dataset import LabelledImages
from models.data.sources import load_dataset
from models.records import read_record

ROOT = Path(__file__).parents[2]
NAME = "fashion_mnist_noprop"
CARD = ROOT / "docs" / "zoo" / "noprop.md"


@pytest.fixture(scope="module")
def study() -> EarlyExitResults:
    path = ROOT / "studies" / "fashion_mnist" / "zoo" / "early_exit.json"
    return read_record(path, EarlyExitResults, what="study", remedy="make it again")


@pytest.fixture(scope="module")
def test_images() -> LabelledImages:
    return load_dataset("fashion-mnist").test


def test_the_shipped_early_exit_is_the_one_that_was_measured(
    study: EarlyExitResults, test_images: LabelledImages
) -> None:
    classifier = load_classifier(f"{NAME}_early_exit", memory="none")
    assert isinstance(classifier, CascadeClassifier)
    assert classifier.members[0].info.fingerprint == study.model_fingerprint
    assert classifier.policy.thresholds[0] == study.choice.threshold
    right, used = [], []
    for begin in range(0, len(test_images), 500):
        part = test_images.images[begin : begin + 500]
        found = classifier.predict(part)
        right += (
            found.probabilities.argmax(axis=1) == test_images.labels[begin : begin + 500]
        ).tolist()
        used += [int(trace.stage.removeprefix("block_")) for trace in found.trace or ()]
    assert np.mean(right) == pytest.approx(study.choice.test_accuracy, abs=3e-4)
    assert np.mean(used) == pytest.approx(study.choice.test_stages, abs=0.01)


def test_the_claims_of_the_sidecars_are_the_studys(study: EarlyExitResults) -> None:
    whole = {claim.metric: claim.value for claim in read_sidecar(shipped_model(NAME)).claims}
    assert whole["accuracy"] == pytest.approx(study.stages[-1].test_accuracy, abs=1e-4)
    early = read_sidecar(shipped_model(f"{NAME}_early_exit"))
    claims = {claim.metric: claim.value for claim in early.claims}
    assert claims["accuracy"] == pytest.approx(study.choice.test_accuracy, abs=1e-4)


def test_the_card_quotes_the_study(study: EarlyExitResults) -> None:
    card = CARD.read_text("utf-8")
    for record in study.stages:
        assert f"| {record.stage} | {record.total_macs / 1e6:.2f} |" in card
        assert f"| {100 * record.test_accuracy:.2f} |" in card
    for record in study.exits:
        row = f"| {record.test_stages:.2f} | {record.test_macs / 1e6:.2f} |"
        assert row in card
        assert f"{100 * record.test_accuracy:.2f} | {record.cpu_us.median:.0f} |" in card
