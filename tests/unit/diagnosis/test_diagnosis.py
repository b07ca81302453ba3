"""What `bicameral diagnose` measures, on networks and features whose answer is known."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray

from bicameral.cli import diagnose as command
from bicameral.cli.app import app
from edge.samples import Samples, random_samples
from edge.shipped import shipped_model
from edge.sidecar import Sidecar, read_sidecar
from models.diagnosis.attention_heads import MaskedHeads, study_heads
from models.diagnosis.collapse import measure_collapse
from models.diagnosis.graph import OpenGraph, units
from models.diagnosis.representations import match_units, similarity
from models.networks.layers import ImageShape
from models.networks.mixed_transformer import MixedTransformer
from models.onnx_export import onnx_from_network
from tests.recorded_drives import write_episode


def shipped(name: str) -> OpenGraph:
    path = shipped_model(name)
    return OpenGraph.load(path, read_sidecar(path))


def simplex(classes: int, each: int, noise: float) -> tuple[NDArray, NDArray]:
    """Return features around the corners of a simplex, and their classes."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(classes), each)
    return np.eye(classes)[labels] + noise * rng.normal(size=(len(labels), classes)), labels


def test_a_collapsed_network_is_measured_as_collapsed() -> None:
    features, labels = simplex(5, 40, 1e-4)
    found = measure_collapse(features, labels, labels, weights=np.eye(5))
    assert found is not None
    assert found.within < 1e-6
    assert found.cosine == pytest.approx(-0.25, abs=1e-3)
    assert found.ideal_cosine == -0.25
    assert found.cosine_spread < 1e-3
    assert found.length_spread < 1e-3
    assert found.alignment == pytest.approx(1.0, abs=1e-3)
    assert found.agreement == 1.0
    assert [one.fate for one in found.classes] == [""] * 5


def test_noise_within_classes_is_no_collapse() -> None:
    spread = [
        measure_collapse(*simplex(5, 200, noise)[:2], np.zeros(1000, int)) for noise in (0.1, 0.5)
    ]
    assert spread[0] is not None
    assert spread[1] is not None
    assert 0.0 < spread[0].within < spread[1].within


def test_a_class_that_the_last_layer_does_not_answer_is_not_heard() -> None:
    features, labels = simplex(4, 50, 0.05)
    answers = np.where(labels == 3, 2, labels)
    found = measure_collapse(features, labels, answers)
    assert found is not None
    assert [one.fate for one in found.classes] == ["", "", "", "is not heard"]
    assert (found.classes[3].recall, found.classes[3].centre_recall) == (0.0, 1.0)


def test_a_class_whose_features_are_another_ones_lies_among_others() -> None:
    # Among two others: the nearest of three centres in one place is its own for a third.
    features, labels = simplex(5, 200, 0.2)
    features[labels >= 2, 2:] = np.random.default_rng(1).normal(size=(600, 3))
    answers = np.where((labels > 2) & (np.arange(1000) % 5 < 3), 2, labels)
    found = measure_collapse(features, labels, answers)
    assert found is not None
    assert [one.fate for one in found.classes] == ["", "", "", *["lies among others"] * 2]
    for one in found.classes[3:]:
        assert one.neighbour >= 2
        assert one.separation < 0.5
        assert one.centre_recall < 0.5


def test_a_samples_own_part_in_its_centre_says_nothing_of_its_class() -> None:
    rng = np.random.default_rng(0)
    features, labels = rng.normal(size=(60, 200)), np.repeat(np.arange(20), 3)
    found = measure_collapse(features, labels, labels)
    assert found is not None
    assert found.agreement < 0.15
    assert {one.fate for one in found.classes} == {"too few to say"}


def test_of_too_few_samples_nothing_is_said() -> None:
    assert measure_collapse(np.zeros((3, 2)), np.array([0, 1, 2]), np.zeros(3, int)) is None


def test_a_copy_with_its_units_in_another_order_is_matched_one_to_one() -> None:
    rng = np.random.default_rng(0)
    a, order = rng.normal(size=(300, 20)), rng.permutation(20)
    found = match_units(a, a[:, order])
    assert (found.pairs[:, 0] == order[found.pairs[:, 1]]).all()
    assert found.correlation.value == pytest.approx(1.0)
    assert found.partners == 1.0
    assert similarity(a, a[:, order]) == pytest.approx(1.0)


def test_a_rotated_copy_knows_the_same_and_has_other_units() -> None:
    rng = np.random.default_rng(0)
    a = rng.normal(size=(2000, 20))
    rotation, _ = np.linalg.qr(rng.normal(size=(20, 20)))
    assert similarity(a, 3.0 * a @ rotation) == pytest.approx(1.0)
    correlation = match_units(a, a @ rotation).correlation.value
    assert correlation is not None
    assert correlation < 0.7


def test_strangers_are_not_matched_by_luck_and_silent_units_not_at_all() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(200, 40)), rng.normal(size=(200, 40))
    b[:, :5] = 1.0
    found = match_units(a, b)
    assert len(found.pairs) == 35
    assert found.correlation.value == pytest.approx(0.0, abs=0.06)
    assert similarity(a, b) < 0.3


@pytest.mark.parametrize(
    ("name", "classes"),
    [
        ("caril_a", 11),
        ("fashion_mnist_squeeze16_distilled", 10),
        ("fashion_mnist_convit", 10),
    ],
)
def test_the_last_layer_makes_the_logits_of_its_features(name: str, classes: int) -> None:
    graph = shipped(name)
    last = graph.last_layer()
    assert last is not None
    tensor, weights = last
    assert weights is not None
    assert weights.shape[0] == classes
    samples = random_samples(graph.sidecar, 6)
    found = graph.read(samples, [tensor, "logits"])
    bias = found["logits"] - found[tensor] @ weights.T
    np.testing.assert_allclose(bias, np.broadcast_to(bias[0], bias.shape), atol=1e-3)


def test_layers_are_those_that_depend_on_the_picture_in_order() -> None:
    layers = shipped("caril_a").layers()
    assert not any("condition" in name for name in layers)
    assert "Relu" in layers[0]
    assert layers[-1] == "logits"


def test_units_are_means_over_the_places_and_tokens_of_a_layer() -> None:
    places = np.arange(24, dtype=np.float32).reshape(1, 2, 3, 4)
    assert units(places).tolist() == [[5.5, 17.5]]
    assert units(places[0]).tolist() == [[4.0, 5.0, 6.0, 7.0], [16.0, 17.0, 18.0, 19.0]]


def test_a_shuffled_twin_has_the_same_numbers_and_answers_otherwise() -> None:
    graph = shipped("fashion_mnist_dual_branch")
    twin, samples = graph.shuffled(), random_samples(graph.sidecar, 4)
    before, after = (one.read(samples, ["logits"])["logits"] for one in (graph, twin))
    assert np.abs(before - after).max() > 0.1
    for name, one in graph.weights.items():
        values = (
            np.sort(onnx.numpy_helper.to_array(each), None) for each in (one, twin.weights[name])
        )
        np.testing.assert_array_equal(*values)


def mixture(used: bool) -> tuple[OpenGraph, Samples]:
    """Return an exported mixture of heads; its last head is liked by all patches, or by none."""
    torch.manual_seed(0)
    shape = ImageShape(channels=1, height=28, width=28, classes=10)
    network = MixedTransformer(shape, kind="mixture_of_heads", width=24, heads=6, depth=2).eval()
    with torch.no_grad():
        for block in network.blocks:
            block.mixer_norm.bias.fill_(10.0)
            block.mixer.router.weight[3] = 100.0 if used else -100.0
    names = ("logits", "features", "routes")
    content = onnx_from_network(network, {"image": torch.zeros(1, 1, 28, 28)}, names)
    sidecar: Sidecar = read_sidecar(shipped_model("fashion_mnist_convit"))
    assert hashlib.sha256(content).hexdigest() != sidecar.files[0].sha256
    return OpenGraph(sidecar, onnx.load_from_string(content)), random_samples(sidecar, 20)


@pytest.mark.parametrize("used", [True, False])
def test_a_head_that_no_patch_takes_is_worth_exactly_nothing(used: bool) -> None:
    graph, samples = mixture(used)
    heads = MaskedHeads(graph, samples)
    assert heads.shape == (2, 6)
    found = study_heads(heads, np.zeros(len(samples), np.int64))
    assert (found.divergence[:, 5] > 0.0).tolist() == [used, used]
    assert found.accuracy_lost is not None
    assert len(found.agreement) == len(found.random_agreement) == 13
    assert found.agreement[0] == 1.0


def test_with_all_heads_the_answers_are_those_of_the_graph() -> None:
    graph = shipped("fashion_mnist_convit")
    samples = random_samples(graph.sidecar, 10)
    heads = MaskedHeads(graph, samples)
    assert heads.shape == (6, 4)
    logits = graph.read(samples, ["logits"])["logits"] / graph.sidecar.calibration.temperature
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(heads.probabilities(np.ones((6, 4), bool)), expected, atol=1e-5)


def test_a_network_without_attention_has_no_heads() -> None:
    graph = shipped("fashion_mnist_dual_branch")
    assert MaskedHeads(graph, random_samples(graph.sidecar, 2)).shape == (0, 0)


def written(words: list[str], output: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(command, "_SAMPLES", 300)
    assert app(["diagnose", *words, "--output", str(output)]) == 0
    return output.read_text("utf-8")


def test_the_page_of_a_cascade_has_the_classes_of_its_networks_and_how_alike_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = written(["fashion_mnist_cascade"], tmp_path / "page.html", monkeypatch)
    for title in (
        "Classes in fashion_mnist_squeeze16",
        "Classes in fashion_mnist_wide_residual32",
        "How alike",
    ):
        assert title in page
    assert "both are wrong for" in capsys.readouterr().out


def test_the_page_of_a_driver_has_its_steering_classes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_episode(tmp_path / "drives", "Test01", "e0", split="test")
    words = ["caril_a", "--data", str(tmp_path / "drives")]
    page = written(words, tmp_path / "page.html", monkeypatch)
    assert "Classes in caril_a" in page
    assert "steer -0.0350..-0.0120" in page
    assert "too few to say" in page


def test_without_data_the_page_of_a_driver_says_that_it_saw_noise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = written(["path_a", "path_b"], tmp_path / "page.html", monkeypatch)
    assert "The pictures are noise" in page
    assert "How alike they are" in page
