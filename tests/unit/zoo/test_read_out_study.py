"""The study of the read-out: small runs of both parts, and the card that shows the real one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge.dual_memory import DualMemoryClassifier
from edge.loading import load_classifier
from edge.shipped import shipped_model
from edge.sidecar import read_sidecar
from models.classifiers.dataset import ImageDataset, LabelledImages
from models.zoo.frozen_features import load_feature_network
from models.zoo.learning_study import METHODS, WRONG, LearningPlan, study_learning
from models.zoo.read_out_tables import read_out_tables
from models.zoo.stream_study import STREAMS, study_streams

QuickTraining = Callable[..., Path]

ROOT = Path(__file__).resolve().parents[3]
RECORD = ROOT / "studies/fashion_mnist/zoo/read_out.json"
CARD = ROOT / "docs/zoo/read_out.md"


def test_streams_are_replayed_changed_poisoned_and_in_other_orders(
    quick: QuickTraining, stripes_dataset: ImageDataset
) -> None:
    classifier = load_classifier(quick("read_out"))
    assert isinstance(classifier, DualMemoryClassifier)
    steps: list[str] = []
    study = study_streams(
        classifier.network,
        classifier.state,
        stripes_dataset,
        orders=2,
        progress=lambda _done, _all, note: steps.append(note),
    )
    assert [one.stream for one in study.streams] == list(STREAMS)
    n = len(stripes_dataset.test)
    for stream in study.streams:
        paired = stream.memories
        assert paired.n == n
        assert paired.ci95[0] <= paired.difference <= paired.ci95[1]
        assert paired.difference == pytest.approx(paired.after - paired.before, abs=2e-4)
        assert len(stream.orders) == 2
        assert paired.after == pytest.approx(np.mean(stream.orders), abs=2e-4)
    assert {poison.attack for poison in study.poison} == {"distinct", "repeated"}
    assert all(0.02 <= poison.share <= 0.06 for poison in study.poison)
    assert all(0 <= order.same_slots <= 1 for order in study.orders)
    assert steps[-1] == "replayed"


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
    plan = LearningPlan(
        epochs=1,
        held_out=(1, 4),
        seeds=(0, 1),
        shots=(1, 8),
        draws=2,
        output=tmp_path,
        command="bicameral assess read-out",
    )
    found = study_learning(plan, bars(), lambda *_: None)
    assert {(one.method, one.shots) for one in found} == {
        *((method, shots) for method in METHODS for shots in (1, 8)),
        (WRONG, 8),
    }
    for one in found:
        assert one.new_only_ci95[0] <= one.new_only <= one.new_only_ci95[1]
        assert one.all_classes == pytest.approx(
            0.6 * one.known_images + 0.4 * one.new_images, abs=2e-4
        )
    network = load_feature_network(next(tmp_path.glob("*-s0/*.onnx")))
    assert network.info.labels == ("one", "three", "four")


def test_the_card_shows_what_was_measured_of_the_model_that_ships() -> None:
    record = json.loads(RECORD.read_text("utf-8"))
    assert read_out_tables(record) in CARD.read_text("utf-8"), (
        "print the tables again with `bicameral assess read-out` and put them between the markers "
        f"of {CARD.name}"
    )
    path = shipped_model("fashion_mnist_read_out")
    classifier = load_classifier(path)
    assert record["streams_of"]["fingerprint"] == classifier.info.fingerprint
    claim = next(one for one in read_sidecar(path).claims if one.metric == "accuracy")
    assert claim.ci95 is not None
    low, high = claim.ci95
    stated = f"{100 * claim.value:.2f} % [{100 * low:.2f}, {100 * high:.2f}]"
    assert stated in CARD.read_text("utf-8")
    shots = {one["shots"] for one in record["learned"] if one["method"] in METHODS}
    assert shots == {1, 4, 16}
    assert any(one["method"] == WRONG for one in record["learned"])
