"""The read-out as a head: what it remembers, what validation images choose, what it learns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bicameral.errors import DataError
from edge.learning.dual_memory import DualMemoryClassifier, OnlineDualMemoryClassifier
from edge.learning.read_out import BETA, MixingWeights, read_out
from edge.loading import load_classifier
from edge.shipped import shipped_model
from edge.sidecar import read_sidecar
from models.classifiers.export import copy_classifier
from models.data.sources import load_dataset
from models.heads.frozen_features import FrozenAnswers, frozen_answers, load_feature_network
from models.heads.memory_fitting import (
    draw_examples,
    fitted_state,
    mean_loss,
    replay,
    with_dynamic_weight,
)
from models.heads.projection import ProjectionTraining, learn_projection
from models.heads.read_out import SHOTS
from studies.measurements import read_measurements
from studies.read_out_tables import RANDOM
from studies.zoo_tables import RECORDS

QuickTraining = Callable[..., Path]
Writer = Callable[..., Path]

CARD = Path(__file__).resolve().parents[3] / "docs/zoo/read_out.md"


def clouds(seed: int, count: int = 300) -> FrozenAnswers:
    """Three classes in four dimensions, and a network that tells two of three images apart."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, count)
    centres = np.eye(3, 4) + 0.3
    features = centres[labels] + rng.normal(0, 0.5, (count, 4))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    probabilities = np.full((count, 3), 0.25)
    seen = np.where(rng.random(count) < 0.66, labels, rng.integers(0, 3, count))
    probabilities[np.arange(count), seen] = 0.5
    return FrozenAnswers(
        probabilities=probabilities.astype(np.float32),
        features=features.astype(np.float32),
        labels=labels,
    )


def test_it_remembers_as_many_examples_as_the_paper_and_trains_nothing(
    quick: QuickTraining,
) -> None:
    path = quick("read_out")
    classifier = load_classifier(path)
    assert isinstance(classifier, DualMemoryClassifier)
    assert set(classifier.example_counts.values()) == {SHOTS}
    assert classifier.state.projection is None
    assert classifier.state.settings.beta == BETA
    assert len(classifier.state.dynamic) == 0
    base = read_sidecar(quick("squeeze16"))
    assert classifier.info.macs is not None
    assert classifier.info.macs > base.cost.macs
    assert read_sidecar(path).files[0].sha256 == base.files[0].sha256, "the graph stays as it is"


def test_the_same_seed_gives_the_same_memory(quick: QuickTraining) -> None:
    first, other = (load_classifier(quick("read_out", seed)) for seed in (0, 1))
    assert isinstance(first, DualMemoryClassifier)
    assert isinstance(other, DualMemoryClassifier)
    assert first.state.sha256 != other.state.sha256


def test_shifts_are_learned_where_they_are_asked_for(quick: QuickTraining) -> None:
    classifier = load_classifier(quick("read_out_projected"))
    assert isinstance(classifier, DualMemoryClassifier)
    projection = classifier.state.projection
    assert projection is not None
    assert np.abs(projection.output).max() > 0


def test_a_network_without_features_is_no_base(tmp_path: Path, write_classifier: Writer) -> None:
    with pytest.raises(DataError, match="no output of meaning 'features'"):
        load_feature_network(write_classifier(tmp_path, "bare"))


def test_a_copy_under_another_name_keeps_its_memory(quick: QuickTraining, tmp_path: Path) -> None:
    path = quick("read_out")
    copy_classifier(path, tmp_path, "other")
    copied, original = load_classifier(tmp_path / "other.bicameral.json"), load_classifier(path)
    assert copied.info.name == "other"
    assert copied.info.fingerprint == original.info.fingerprint
    with pytest.raises(DataError, match="has a memory beside its graph"):
        load_feature_network(path)


def test_scale_and_weights_are_those_that_validation_images_prefer() -> None:
    examples, validation = clouds(0, 30), clouds(1)
    state = fitted_state(("a", "b", "c"), examples, validation)

    def loss(scale: float) -> float:
        static = read_out(validation.features, state.static_slots, beta=BETA, scale=scale)
        return mean_loss(static, validation.labels)

    best = state.settings.scale
    assert loss(best) <= min(loss(best / 1.2), loss(best * 1.2))
    right = replay(state, validation).static.argmax(axis=1) == validation.labels
    network = validation.probabilities.argmax(axis=1) == validation.labels
    assert right.mean() > network.mean()
    assert state.settings.weights.static >= 1.0, "the memory knows more than this network"


def test_a_replay_is_what_the_classifier_answers_online(
    tmp_path: Path, write_read_out: Writer, pictures: np.ndarray
) -> None:
    online = load_classifier(write_read_out(tmp_path, "live", online=True))
    assert isinstance(online, OnlineDualMemoryClassifier)
    state = online.state
    stream = frozen_answers(online.network, pictures, np.zeros(len(pictures), np.int64))
    found = replay(state, stream)
    np.testing.assert_allclose(online.predict(pictures).probabilities, found.mixed, atol=1e-5)
    assert len(found.kept) == len(online.state.dynamic) > 0


def test_the_dynamic_weight_is_high_where_images_have_changed_and_the_memory_follows() -> None:
    examples, validation = clouds(0, 30), clouds(1)
    state = fitted_state(("a", "b", "c"), examples, validation)
    changed = clouds(2)
    turned = changed.features @ np.linalg.qr(np.eye(4) + 0.25 * np.eye(4)[::-1])[0]
    moved = replace(changed, features=turned.astype(np.float32))
    chosen = with_dynamic_weight(state, moved).settings.weights
    assert chosen == replace(state.settings.weights, dynamic=chosen.dynamic)

    def accuracy(dynamic: float) -> float:
        weights = MixingWeights(network=1.0, static=chosen.static, dynamic=dynamic)
        settings = replace(state.settings, weights=weights)
        mixed = replay(replace(state, settings=settings), moved).mixed
        return float((mixed.argmax(axis=1) == moved.labels).mean())

    assert accuracy(chosen.dynamic) >= max(accuracy(0.001), accuracy(1000.0))


def test_learned_shifts_lower_the_loss_on_other_images() -> None:
    examples, others, validation = clouds(0, 9), clouds(1, 600), clouds(2)
    state = fitted_state(("a", "b", "c"), examples, validation)
    training = ProjectionTraining(scale=state.settings.scale, epochs=10, learning_rate=1e-2)
    steps: list[tuple[int, int]] = []
    projection = learn_projection(
        training, state.static_slots, others, lambda *step: steps.append(step)
    )
    shifted = replace(state, projection=projection)

    def loss(memory: object) -> float:
        static = read_out(
            validation.features, memory.static_slots, beta=BETA, scale=state.settings.scale
        )
        return mean_loss(static, validation.labels)

    assert loss(shifted) < loss(state)
    assert steps[-1] == (10, 10)


def test_examples_are_drawn_of_each_class_and_never_twice() -> None:
    labels = np.array([0, 0, 0, 1, 1, 2])
    drawn = draw_examples(labels, np.array([2, 5, 0]), np.random.default_rng(0))
    assert np.bincount(labels[drawn], minlength=3).tolist() == [2, 2, 0]
    assert len(set(drawn.tolist())) == len(drawn)


def test_the_shipped_model_learns_a_class_and_answers_as_its_claims_say() -> None:
    path = shipped_model("fashion_mnist_read_out")
    classifier = load_classifier(path)
    assert isinstance(classifier, DualMemoryClassifier)
    assert type(classifier) is not OnlineDualMemoryClassifier, "nothing is learned unasked"
    claims = {claim.metric: claim for claim in read_sidecar(path).claims}
    assert claims["accuracy"].ci95 is not None
    stripes = np.zeros((4, 28, 28, 1), np.uint8)
    stripes[:, :, ::4] = 255
    stripes += np.random.default_rng(0).integers(0, 20, stripes.shape, np.uint8)
    taught = classifier.with_examples(stripes[:2], "Stripes")
    found = taught.predict(stripes[2:])
    assert [taught.info.labels[index] for index in found.probabilities.argmax(axis=1)] == [
        "Stripes"
    ] * 2


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
