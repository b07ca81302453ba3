"""One network as a classifier: calibrated answers for canonical images, features if it has any."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bicameral.errors import DataError
from bicameral.protocols import ClassifierSession
from edge.classifier import FeatureClassifier
from edge.loading import load_classifier
from edge.preprocessing import canonical_from_picture, tensor_from_canonical
from edge.probabilities import softmax
from edge.session import OnnxSession
from edge.sidecar import read_model_bytes, read_sidecar

pytestmark = pytest.mark.unit

Writer = Callable[..., Path]


@pytest.fixture
def path(tmp_path: Path, write_classifier: Writer) -> Path:
    return write_classifier(tmp_path, "tiny", calibration={"temperature": 2.0})


def _session(path: Path) -> OnnxSession:
    return OnnxSession(read_model_bytes(path, read_sidecar(path)), name="tiny")


def test_it_answers_with_calibrated_probabilities(path: Path, pictures: np.ndarray) -> None:
    classifier = load_classifier(path)
    assert isinstance(classifier, ClassifierSession)
    prediction = classifier.predict(pictures)
    tensor = tensor_from_canonical(pictures, classifier.info.image)
    expected = softmax(_session(path).run({"image": tensor})["logits"], 2.0)
    assert (prediction.probabilities == expected.astype(np.float32)).all()
    assert (prediction.confidence == prediction.probabilities.max(axis=1)).all()
    assert prediction.probabilities.dtype == prediction.confidence.dtype == np.float32
    assert prediction.trace is None


def test_it_describes_itself(path: Path) -> None:
    classifier = load_classifier(path.with_name("tiny.onnx"))
    sidecar = read_sidecar(path)
    assert (classifier.info.name, classifier.info.version, classifier.info.macs) == (
        "tiny",
        "1",
        1000,
    )
    assert classifier.info.labels == sidecar.labels
    assert classifier.info.image == sidecar.input.image


def test_no_images_get_no_answers(path: Path) -> None:
    classifier = load_classifier(path)
    prediction = classifier.predict(classifier.prepare([]))
    assert prediction.probabilities.shape == (0, 5)
    assert prediction.confidence.shape == (0,)
    assert prediction.probabilities.dtype == np.float32


def test_the_answer_does_not_depend_on_the_batch(path: Path, pictures: np.ndarray) -> None:
    classifier = load_classifier(path)
    whole = classifier.predict(pictures).probabilities
    for size in (1, 5, 32):
        parts = [
            classifier.predict(pictures[at : at + size]).probabilities
            for at in range(0, len(pictures), size)
        ]
        # ONNX Runtime does not promise the same bits for another batch size.
        np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-6)


def test_images_of_any_memory_order_give_the_same_answer(path: Path, pictures: np.ndarray) -> None:
    classifier = load_classifier(path)
    reversed_view = pictures[::-1, :, ::-1]
    assert (
        classifier.predict(reversed_view).probabilities
        == classifier.predict(np.ascontiguousarray(reversed_view)).probabilities
    ).all()


@pytest.mark.parametrize(
    ("images", "got"),
    [
        (np.zeros((2, 8, 8, 1), np.float32), "shape .2, 8, 8, 1. and dtype float32"),
        (np.zeros((2, 1, 8, 8), np.uint8), "shape .2, 1, 8, 8."),
        (np.zeros((8, 8, 1), np.uint8), "shape .8, 8, 1."),
        ([[0]], "a list"),
    ],
)
def test_other_images_are_named_beside_what_was_expected(
    path: Path, images: np.ndarray, got: str
) -> None:
    with pytest.raises(DataError, match=rf"'tiny' got {got}.*expected .*\(N, 8, 8, 1\).*uint8"):
        load_classifier(path).predict(images)


def test_pictures_of_any_size_are_prepared(path: Path) -> None:
    classifier = load_classifier(path)
    rng = np.random.default_rng(0)
    decoded = [
        rng.integers(0, 256, (h, w, 1), dtype=np.uint8) for h, w in ((8, 8), (16, 16), (30, 9))
    ]
    canonical = classifier.prepare(decoded)
    assert canonical.shape == (3, 8, 8, 1)
    for row, picture in zip(canonical, decoded, strict=True):
        assert (row == canonical_from_picture(picture, classifier.info.image)).all()
    with pytest.raises(DataError, match=r"expected .*height, width, 1"):
        classifier.prepare([np.zeros((8, 8, 3), np.uint8)])


def test_only_a_graph_with_features_supports_them(
    tmp_path: Path, write_classifier: Writer, pictures: np.ndarray
) -> None:
    plain = load_classifier(write_classifier(tmp_path, "plain"))
    assert not isinstance(plain, FeatureClassifier)
    rich = load_classifier(write_classifier(tmp_path, "rich", ending="logits+features"))
    assert isinstance(rich, FeatureClassifier)
    features = rich.features(pictures)
    assert features.shape == (48, 4)
    assert features.dtype == np.float32
    assert rich.features(pictures[:0]).shape == (0, 4)
    np.testing.assert_allclose(
        rich.predict(pictures).probabilities, plain.predict(pictures).probabilities, atol=1e-6
    )
    with pytest.raises(DataError, match=r"'plain' has outputs .* of meaning 'features'"):
        FeatureClassifier(read_sidecar(tmp_path / "plain.onnx"), _session(tmp_path / "plain.onnx"))


def test_a_graph_may_take_the_pixels_itself(
    tmp_path: Path, write_classifier: Writer, pictures: np.ndarray
) -> None:
    outside = write_classifier(tmp_path, "outside", image={"mean": (0.0,), "std": (1.0,)})
    inside = write_classifier(tmp_path, "inside", in_graph=True)
    first, second = (load_classifier(path).predict(pictures) for path in (outside, inside))
    np.testing.assert_allclose(first.probabilities, second.probabilities, atol=1e-5)


def test_a_graph_may_end_in_probabilities(
    tmp_path: Path, write_classifier: Writer, pictures: np.ndarray
) -> None:
    logits = load_classifier(write_classifier(tmp_path, "logits"))
    ready = load_classifier(write_classifier(tmp_path, "ready", ending="probabilities"))
    np.testing.assert_allclose(
        ready.predict(pictures).probabilities, logits.predict(pictures).probabilities, atol=1e-6
    )
    warm = write_classifier(
        tmp_path, "warm", ending="probabilities", calibration={"temperature": 1.5}
    )
    with pytest.raises(DataError, match=r"temperature 1\.5 but its graph ends in probabilities"):
        load_classifier(warm)


def test_the_fingerprint_covers_what_decides_the_answer(
    tmp_path: Path, write_classifier: Writer
) -> None:
    def fingerprint(name: str, **changes: object) -> str:
        return load_classifier(write_classifier(tmp_path, name, **changes)).info.fingerprint

    original = fingerprint("original")
    assert fingerprint("renamed", version="2", license="other") == original
    others = {
        fingerprint("weights", seed=1),
        fingerprint("temperature", calibration={"temperature": 1.01}),
        fingerprint("mean", image={"mean": (0.31,)}),
        fingerprint("labels", labels=("dog", "cat", "ship", "shoe", "tree")),
    }
    assert len(others | {original}) == 5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": ("cat", "dog")}, r"expected exactly one of shape \(-1, 2\) for its 2 labels"),
        ({"outputs": ()}, "expected exactly one of shape"),
        ({"image": {"height": 9}}, r"takes \[.'image', 'float32', .-1, 1, 8, 8.*its sidecar says"),
        ({"input": {"name": "pixels"}}, "'pixels'"),
        ({"input": {"layout": "NHWC"}}, "its sidecar says"),
        ({"input": {"in_graph": True}}, "expected UINT8 alone"),
        (
            {"outputs": ({"name": "answer", "meaning": "logits", "shape": (-1, 5)},)},
            "gives .*'logits'.*its sidecar says .*'answer'",
        ),
        (
            {
                "extra_inputs": (
                    {"name": "speed", "dtype": "FP32", "shape": (-1, 1), "meaning": "speed"},
                )
            },
            "1 extra inputs",
        ),
    ],
)
def test_a_sidecar_that_does_not_fit_its_graph_is_refused(
    tmp_path: Path, write_classifier: Writer, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        load_classifier(write_classifier(tmp_path, "odd", **changes))


def test_warming_up_runs_and_a_closed_classifier_answers_no_more(path: Path) -> None:
    classifier = load_classifier(path)
    classifier.warm_up((1, 4))
    classifier.close()
    with pytest.raises(DataError, match="is closed"):
        classifier.warm_up((1,))
