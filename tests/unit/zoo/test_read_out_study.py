"""The studies of the read-out: small runs of both, and the record of the model that ships."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge.learning.dual_memory import DualMemoryClassifier
from edge.loading import load_classifier
from edge.shipped import shipped_model
from edge.sidecar import read_sidecar
from models.data.dataset import ImageDataset, LabelledImages
from models.data.sources import load_dataset
from models.heads.frozen_features import load_feature_network
from studies.measurements import read_measurements
from studies.read_out_learning import METHODS, WRONG, LearningPlan, study_learning, summary
from studies.read_out_streams import RANDOM, STREAMS, TWO, study_streams
from studies.zoo_tables import RECORDS

QuickTraining = Callable[..., Path]

ROOT = Path(__file__).resolve().parents[3]
CARD = ROOT / "docs/zoo/read_out.md"


def test_streams_are_replayed_changed_poisoned_and_in_other_orders(
    quick: QuickTraining, stripes_dataset: ImageDataset
) -> None:
    classifier = load_classifier(quick("read_out"))
    assert isinstance(classifier, DualMemoryClassifier)
    found = study_streams(classifier.network, classifier.state, stripes_dataset, orders=2)
    for stream in STREAMS:
        of = {key[2]: one for key, one in found.items() if key[:2] == (stream, RANDOM)}
        gain = of["gain"]
        assert gain.n == len(stripes_dataset.test)
        assert gain.low <= gain.value <= gain.high
        difference = of["with it"].value - of["without dynamic memory"].value
        assert gain.value == pytest.approx(difference)
        orders = [of[f"with it in order {number}"].value for number in (0, 1)]
        assert of["with it"].value == pytest.approx(np.mean(orders))
    shares = {
        condition: one.value
        for (_, condition, quantity), one in found.items()
        if quantity == "share of the attacker"
    }
    assert set(shares) == {"distinct attack", "repeated attack"}
    assert all(0.02 <= share <= 0.06 for share in shares.values())
    kept = [one.value for key, one in found.items() if key[1] == TWO and "memory" in key[2]]
    assert kept
    assert all(0 <= share <= 1 for share in kept)


def bars() -> ImageDataset:
    """Five classes of noise with a bar at five heights."""
    rng = np.random.default_rng(0)

    def part(count: int) -> LabelledImages:
        labels = np.arange(5 * count) % 5
        images = rng.integers(0, 120, (len(labels), 28, 28, 1), np.uint8)
        for image, label in zip(images, labels, strict=True):
            image[5 * label + 2 : 5 * label + 6] += 100
        return LabelledImages(images=images, labels=labels)

    return ImageDataset(
        name="bars",
        labels=("one", "two", "three", "four", "five"),
        color="GRAY",
        train=part(60),
        validation=part(20),
        test=part(20),
        mirror_allowed=False,
    )


def test_classes_that_the_network_has_not_seen_are_learned(tmp_path: Path) -> None:
    plan = LearningPlan(epochs=1, held_out=(1, 4), seeds=(0, 1), shots=(1, 8), draws=2)
    found = study_learning(plan, bars(), tmp_path)
    tried = {key[:2] for key in found}
    assert tried == {
        *((method, count) for method in METHODS for count in ("1 example", "8 examples")),
        (WRONG, "8 examples"),
    }
    for key in tried:
        new_only, everything, known, new = (
            found[*key, quantity]
            for quantity in (
                "new classes only", "all classes", "images of known classes",
                "images of new classes",
            )
        )  # fmt: skip
        assert 0.0 <= new_only.low <= new_only.value <= new_only.high <= 1.0
        assert everything.value == pytest.approx(0.6 * known.value + 0.4 * new.value)
    network = load_feature_network(next(tmp_path.glob("*-s0/*.onnx")))
    assert network.info.labels == ("one", "three", "four")


def test_of_one_network_there_is_no_interval_and_of_any_number_one_with_a_width() -> None:
    rng = np.random.default_rng(0)

    def learned(networks: int) -> object:
        values = 0.8 + rng.normal(0.0, 0.02, (networks, 10, 4))
        return summary(METHODS[0], 4, values)[METHODS[0], "4 examples", "all classes"]

    one = learned(1)
    assert (one.low, one.high, one.n) == (None, None, 1)
    assert one.value == pytest.approx(0.8, abs=0.05)
    for networks in (2, 6, 20):
        several = learned(networks)
        assert several.low < several.value < several.high
        assert several.n == networks


def test_the_record_is_of_the_model_that_ships() -> None:
    path = shipped_model("fashion_mnist_read_out")
    test = load_dataset("fashion-mnist").test
    classifier = load_classifier(path)
    count = 2_000
    right = [
        classifier.predict(test.images[k : k + 250]).probabilities.argmax(1)
        == test.labels[k : k + 250]
        for k in range(0, count, 250)
    ]
    streams = read_measurements(RECORDS / "read_out_streams.csv")
    recorded = streams["as they are", RANDOM, "without dynamic memory"]
    assert np.mean(right) == pytest.approx(recorded.value, abs=0.015)
    claim = next(one for one in read_sidecar(path).claims if one.metric == "accuracy")
    assert claim.value == pytest.approx(recorded.value, abs=1e-4)
    assert claim.ci95 is not None
    low, high = claim.ci95
    stated = f"{100 * claim.value:.2f} % [{100 * low:.2f}, {100 * high:.2f}]"
    assert stated in CARD.read_text("utf-8")
    learned = read_measurements(RECORDS / "read_out_learning.csv")
    assert {key[1] for key in learned} == {"1 example", "4 examples", "16 examples"}
    assert (WRONG, "16 examples", "all classes") in learned
