"""A classifier that learns from examples: answers, bounds, files, and filling on the way."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bicameral.errors import DataError
from bicameral.protocols import ClassifierSession
from edge.learning.dual_memory import DualMemoryClassifier, OnlineDualMemoryClassifier
from edge.learning.state import DYNAMIC_SLOTS, MAX_CLASSES, MAX_EXAMPLES, read_state
from edge.loading import load_classifier, member_sha256
from edge.sidecar import read_sidecar

Writer = Callable[..., Path]


@pytest.fixture
def path(tmp_path: Path, write_read_out: Writer) -> Path:
    return write_read_out(tmp_path, "tiny")


@pytest.fixture
def classifier(path: Path) -> DualMemoryClassifier:
    return load_classifier(path)


@pytest.fixture
def online(tmp_path: Path, write_read_out: Writer) -> OnlineDualMemoryClassifier:
    found = load_classifier(write_read_out(tmp_path, "live", online=True))
    assert isinstance(found, OnlineDualMemoryClassifier)
    return found


def test_its_sidecar_alone_says_what_it_is(path: Path, pictures: np.ndarray) -> None:
    loaded = load_classifier(path)
    assert type(loaded) is DualMemoryClassifier
    assert isinstance(loaded, ClassifierSession)
    assert loaded.features(pictures).shape == (48, 4)
    prediction = loaded.predict(pictures)
    assert prediction.probabilities.shape == (48, 5)
    assert prediction.probabilities.dtype == prediction.confidence.dtype == np.float32
    np.testing.assert_allclose(prediction.probabilities.sum(axis=1), 1.0, atol=1e-6)
    assert loaded.predict(pictures[:0]).confidence.shape == (0,)
    assert set(loaded.example_counts.values()) == {3}
    assert loaded.info.macs is not None
    assert loaded.info.macs > 1000


def test_a_class_is_learned_at_once_and_the_old_classifier_stays_as_it_is(
    classifier: DualMemoryClassifier, pictures: np.ndarray
) -> None:
    before = classifier.predict(pictures).probabilities
    taught = classifier.with_examples(pictures[3:4], "hat")
    assert taught.info.labels == (*classifier.info.labels, "hat")
    assert taught.example_counts["hat"] == 1
    assert taught.predict(pictures[3:4]).probabilities.argmax() == 5
    assert (classifier.predict(pictures).probabilities == before).all()
    assert "hat" not in classifier.info.labels
    assert taught.info.fingerprint != classifier.info.fingerprint


def test_examples_of_a_known_class_join_it(
    classifier: DualMemoryClassifier, pictures: np.ndarray
) -> None:
    taught = classifier.with_examples(pictures[:2], "ship")
    assert taught.info.labels == classifier.info.labels
    assert taught.example_counts["ship"] == 5
    ship = classifier.info.labels.index("ship")
    gain = (
        taught.predict(pictures[:2]).probabilities - classifier.predict(pictures[:2]).probabilities
    )
    assert (gain[:, ship] > 0).all()


def test_the_fingerprint_covers_every_example(
    classifier: DualMemoryClassifier, pictures: np.ndarray
) -> None:
    found = {
        classifier.with_examples(pictures[index : index + 1], label).info.fingerprint
        for index in range(3)
        for label in ("hat", "cap")
    }
    assert len(found) == 6
    again = classifier.with_examples(pictures[:1], "hat")
    assert again.info.fingerprint in found


@pytest.mark.parametrize("label", ["", " hat", "hat ", "a\nb", "x" * 65, "\x7f"])
def test_labels_that_no_class_should_have_are_refused(
    classifier: DualMemoryClassifier, pictures: np.ndarray, label: str
) -> None:
    with pytest.raises(DataError, match="cannot be the name of a class"):
        classifier.with_examples(pictures[:1], label)


def test_memory_is_bounded(classifier: DualMemoryClassifier, pictures: np.ndarray) -> None:
    many = np.resize(pictures, (MAX_EXAMPLES + 1, *pictures.shape[1:]))
    with pytest.raises(DataError, match="'hat' would have 257 examples, allowed are 256"):
        classifier.with_examples(many, "hat")
    with pytest.raises(DataError, match="at least one image"):
        classifier.with_examples(pictures[:0], "hat")
    full = classifier
    for index in range(MAX_CLASSES - 5):
        full = full.with_examples(pictures[:1], f"class {index}")
    with pytest.raises(DataError, match="257 classes"):
        full.with_examples(pictures[:1], "one more")


def test_what_was_learned_is_saved_and_loaded(
    classifier: DualMemoryClassifier, path: Path, pictures: np.ndarray
) -> None:
    first = read_sidecar(path)
    taught = classifier.with_examples(pictures[:4], "hat").with_examples(pictures[5:6], "dog")
    assert taught.save(path.parent) == path
    loaded = load_classifier(path)
    assert loaded.info.labels == taught.info.labels
    assert loaded.info.fingerprint == taught.info.fingerprint
    assert (loaded.predict(pictures).probabilities == taught.predict(pictures).probabilities).all()
    assert first.state.path is not None
    assert not path.with_name(first.state.path).exists(), "the old memory is tidied away"
    assert member_sha256(read_sidecar(path)) != member_sha256(first)


def test_it_is_saved_beside_its_graph_only(
    classifier: DualMemoryClassifier, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"its graph tiny\.onnx is not there"):
        classifier.save(tmp_path / "elsewhere")


def test_another_memory_than_the_sidecars_is_refused(
    classifier: DualMemoryClassifier, path: Path, pictures: np.ndarray
) -> None:
    state = state_file(path)
    state.write_bytes(classifier.with_examples(pictures[:1], "dog").state.content)
    with pytest.raises(DataError, match="is not the memory that its sidecar describes"):
        load_classifier(path)
    state.unlink()
    with pytest.raises(DataError, match="cannot read the memory"):
        load_classifier(path)


@pytest.mark.parametrize("damage", ["cut", "pickle", "not finite", "too many classes", "no zip"])
def test_a_damaged_memory_is_a_clear_error(path: Path, damage: str) -> None:
    state = state_file(path)
    arrays = dict(np.load(state))
    if damage == "pickle":
        arrays["static"] = np.array([{"code": "evil"}])
    elif damage == "not finite":
        arrays["static"] = arrays["static"] * np.nan
    elif damage == "too many classes":
        arrays["static_classes"] = arrays["static_classes"] + 5
    file = io.BytesIO()
    np.savez(file, **arrays)
    content = b"no zip" if damage == "no zip" else file.getvalue()
    state.write_bytes(content[:-100] if damage == "cut" else content)
    with pytest.raises(DataError, match=f"{state.name} is no memory of a classifier"):
        read_state(state, None)


def test_memory_and_network_must_fit(
    path: Path,
) -> None:
    fields = json.loads(path.read_text())
    fields["labels"] = [*fields["labels"], "hat"]
    path.write_text(json.dumps(fields))
    with pytest.raises(DataError, match="expected the same"):
        load_classifier(path)


@pytest.mark.parametrize(
    "state",
    [
        {"kind": "memory_head"},
        {"kind": "memory_head", "path": "../out.npz", "sha256": "0"},
        {"kind": "none", "path": "a.npz"},
        {"kind": "none", "online": True},
    ],
)
def test_a_sidecar_names_its_memory_whole_or_not_at_all(path: Path, state: dict) -> None:
    fields = json.loads(path.read_text())
    path.write_text(json.dumps(fields | {"state": state}))
    with pytest.raises(DataError, match="state"):
        read_sidecar(path)


def test_filling_on_the_way_is_off_unless_the_sidecar_says_so(
    classifier: DualMemoryClassifier, pictures: np.ndarray
) -> None:
    fingerprint = classifier.info.fingerprint
    classifier.predict(pictures)
    assert len(classifier.state.dynamic) == 0
    assert classifier.info.fingerprint == fingerprint


def test_what_is_sure_enters_the_dynamic_memory(
    online: OnlineDualMemoryClassifier, pictures: np.ndarray
) -> None:
    plain = DualMemoryClassifier(online._sidecar, online.network, online.state)
    fingerprint = online.info.fingerprint
    online.warm_up([4])
    assert online.info.fingerprint == fingerprint, "warming up teaches nothing"
    online.predict(pictures)
    state = online.state
    assert 0 < len(state.dynamic) <= len(pictures)
    assert online.info.fingerprint != fingerprint
    frozen = DualMemoryClassifier(online._sidecar, online.network, state)
    assert (
        np.abs(frozen.predict(pictures).probabilities - plain.predict(pictures).probabilities).max()
        > 0.01
    )
    assert frozen.info.fingerprint == online.info.fingerprint


def test_the_dynamic_memory_keeps_the_surest_images_of_each_class(
    online: OnlineDualMemoryClassifier, pictures: np.ndarray
) -> None:
    rng = np.random.default_rng(1)
    many = rng.integers(0, 256, (400, *pictures.shape[1:])).astype(np.uint8)
    online.predict(many)
    state = online.state
    counts = np.bincount(state.dynamic.classes, minlength=5)
    assert counts.max() == DYNAMIC_SLOTS
    worst = {
        label: state.entropies[state.dynamic.classes == label].max()
        for label in range(5)
        if counts[label] == DYNAMIC_SLOTS
    }
    online.predict(rng.integers(0, 256, (400, *pictures.shape[1:])).astype(np.uint8))
    for label, entropy in worst.items():
        later = online.state.entropies[online.state.dynamic.classes == label]
        assert len(later) == DYNAMIC_SLOTS
        assert later.max() < entropy


def test_batches_do_not_matter_but_the_order_does(
    tmp_path: Path, write_read_out: Writer, pictures: np.ndarray
) -> None:
    path = write_read_out(tmp_path, "live", online=True)
    at_once, one_by_one, backwards = (load_classifier(path) for _ in range(3))
    expected = at_once.predict(pictures).probabilities
    rows = [one_by_one.predict(pictures[row : row + 1]).probabilities[0] for row in range(48)]
    np.testing.assert_allclose(np.stack(rows), expected, atol=1e-5)
    turned = backwards.predict(pictures[::-1]).probabilities[::-1]
    assert np.abs(turned - expected).max() > 1e-3


def test_what_was_seen_is_saved_and_goes_on(
    online: OnlineDualMemoryClassifier, tmp_path: Path, pictures: np.ndarray
) -> None:
    online.predict(pictures[:24])
    again = load_classifier(online.save(tmp_path))
    assert again.info.fingerprint == online.info.fingerprint
    np.testing.assert_allclose(
        again.predict(pictures[24:]).probabilities,
        online.predict(pictures[24:]).probabilities,
        atol=1e-6,
    )


def test_threads_may_share_it(online: OnlineDualMemoryClassifier, pictures: np.ndarray) -> None:
    sums: list[float] = []
    threads = [
        threading.Thread(
            target=lambda: sums.append(float(online.predict(pictures).probabilities.sum()))
        )
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_allclose(sums, 48.0, rtol=1e-5)


def test_no_cascade_takes_a_member_whose_answers_change(
    tmp_path: Path, write_read_out: Writer, write_cascade: Writer
) -> None:
    members = []
    for name, online in (("still", False), ("live", True)):
        sidecar = read_sidecar(write_read_out(tmp_path, name, online=online))
        members.append((name, member_sha256(sidecar)))
    still, live = members
    with pytest.raises(DataError, match=r"switch its state\.online off"):
        load_classifier(write_cascade(tmp_path, "pair", still, live))
    assert load_classifier(write_cascade(tmp_path, "pair", still, still)).info.labels


def state_file(path: Path) -> Path:
    name = read_sidecar(path).state.path
    assert name is not None
    return path.with_name(name)
