"""Comparison: known differences come out as they are, and what is outside of a tolerance fails."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from bicameral.errors import DataError, MachineError
from edge.comparison import TOLERANCES, accuracy_delta, compare, tolerance_for
from edge.samples import Samples, random_samples
from edge.session import FixedBatchSession, OnnxSession
from edge.shipped import shipped_model
from edge.sidecar import OutputSpec, read_sidecar, write_sidecar
from edge.subject import GraphSubject, answer_all, load_subject
from models.networks.driver_trunk import NetworkSettings
from models.networks.dual_head import DualHeadNetwork
from models.onnx_export import onnx_from_network
from models.torch_subject import TorchSession
from tests.path_network import peaked_logits, write_path_network

VGG = "fashion_mnist_vgg24_distilled"


def shifted(shift: float) -> GraphSubject:
    """Return vgg24 with a number added to the logit of the first class."""
    subject = load_subject(VGG)
    assert isinstance(subject, GraphSubject)
    model = onnx.load(shipped_model(VGG).with_name(f"{VGG}.onnx"))
    last = model.graph.node[-1]
    bias = next(one for one in model.graph.initializer if one.name == last.input[2])
    values = numpy_helper.to_array(bias).copy()
    values[0] += shift
    bias.CopyFrom(numpy_helper.from_array(values, bias.name))
    return replace(subject, session=OnnxSession(model.SerializeToString(), name="shifted"))


@pytest.fixture(scope="module")
def noise() -> Samples:
    return random_samples(read_sidecar(shipped_model(VGG)), 40)


def test_a_shift_of_one_logit_is_measured_as_it_is(noise: Samples) -> None:
    found = compare(load_subject(VGG), shifted(0.5), noise, TOLERANCES["int8"])
    logits = next(one for one in found.outputs if one.output == "logits")
    assert logits.largest == pytest.approx(0.5, abs=1e-5)
    assert logits.mean == pytest.approx(0.05, abs=1e-6)
    assert (logits.median, logits.p99) == (0.0, pytest.approx(0.5, abs=1e-5))
    assert found.accuracy is None
    assert "not real ones" in found.samples


def test_the_same_model_is_within_the_strictest_tolerance(noise: Samples) -> None:
    found = compare(load_subject(VGG), load_subject(VGG), noise, TOLERANCES["fp32"])
    assert found.passed
    assert found.agreement == 1.0


def test_what_is_outside_is_named_with_value_and_limit(noise: Samples) -> None:
    labels = answer_all(load_subject(VGG), noise)["logits"].argmax(1)
    labelled = replace(noise, labels=labels)
    found = compare(load_subject(VGG), shifted(100.0), labelled, TOLERANCES["int8"])
    assert found.accuracy is not None
    assert found.accuracy.a == 1.0
    assert found.accuracy.b == float(np.mean(labels == 0))
    assert len(found.failures) == 3
    assert "drop of accuracy is" in found.failures[-1]
    assert "allowed is 0.005" in found.failures[-1]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_answers_that_are_no_numbers_are_never_within_tolerance(
    noise: Samples, value: float
) -> None:
    assert not compare(load_subject(VGG), shifted(value), noise, TOLERANCES["fp16"]).passed


def test_the_coarser_precision_decides_the_tolerance() -> None:
    assert tolerance_for("fp32", "int8") == tolerance_for("int8", "fp16") == TOLERANCES["int8"]
    assert tolerance_for("fp16", "fp32") == TOLERANCES["fp16"]


def test_where_gates_or_neurons_flip_the_largest_difference_is_not_limited() -> None:
    flipping = tolerance_for("fp32", "fp16", discontinuous=True)
    assert flipping == replace(TOLERANCES["fp16"], difference=None)
    plain = load_subject(VGG).sidecar
    spikes = OutputSpec(name="spikes", meaning="spikes", shape=(-1, 3))
    spiking = plain.model_copy(update={"outputs": (*plain.outputs, spikes)})
    cascade = load_subject("fashion_mnist_cascade").sidecar
    assert [one.discontinuous for one in (plain, spiking, cascade)] == [False, True, True]


def test_the_interval_of_the_accuracy_delta_holds_at_its_level() -> None:
    """Of 1,000 draws of 400 pairs with a true delta of -3 points about 95 % cover it."""
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(1000):
        kind = rng.choice(3, 400, p=(0.05, 0.02, 0.93))  # lost, gained, alike
        delta = accuracy_delta(kind != 1, kind != 0)
        covered += delta.low <= -0.03 <= delta.high
    assert 930 <= covered <= 975


def test_models_with_other_outputs_are_not_compared(noise: Samples) -> None:
    with pytest.raises(DataError, match="expected canonical images"):
        compare(load_subject("caril_a"), load_subject(VGG), noise, TOLERANCES["fp32"])


def test_a_torch_network_and_its_export_agree() -> None:
    torch.manual_seed(0)
    network = DualHeadNetwork(NetworkSettings(variant="conditional", contrast="standardise")).eval()
    inputs = {
        "image": torch.zeros(1, 3, 64, 160),
        "speed_mps": torch.zeros(1, 1),
        "command": torch.zeros(1, 4),
    }
    content = onnx_from_network(network, inputs, ("steer", "logits"))
    sidecar = read_sidecar(shipped_model("caril_b"))
    samples = random_samples(sidecar, 10)
    a, b = (
        GraphSubject(title=title, precision="fp32", sidecar=sidecar, session=session)
        for title, session in (
            ("torch", TorchSession(network, sidecar, "")),
            ("onnx", OnnxSession(content, name="export")),
        )
    )
    found = compare(a, b, samples, TOLERANCES["fp32"])
    assert {one.output for one in found.outputs} == {"steer", "logits", "probabilities"}
    assert found.passed, found.failures


def test_path_networks_are_compared_at_every_distance(tmp_path: Path) -> None:
    subjects = [
        load_subject(write_path_network(tmp_path, name, logits=peaked_logits(winner)))
        for name, winner in (("a", 6), ("b", 7))
    ]
    samples = random_samples(subjects[0].sidecar, 4)
    assert not samples.extra["intent"][::2].any()
    assert (samples.extra["intent"][1::2, -1] == 1.0).all()
    same = compare(subjects[0], subjects[0], samples, TOLERANCES["fp32"])
    assert same.passed
    assert {one.output for one in same.outputs} == {"offsets", "scales", "logits", "probabilities"}
    assert answer_all(subjects[0], samples)["probabilities"].shape == (4, 3, 13)
    assert compare(*subjects, samples, TOLERANCES["fp32"]).agreement == 0.0


def test_a_graph_of_fixed_batch_fills_the_last_batch_up() -> None:
    session = load_subject(VGG)
    assert isinstance(session, GraphSubject)
    model = onnx.load(shipped_model(VGG).with_name(f"{VGG}.onnx"))
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 3
    fixed = FixedBatchSession(OnnxSession(model.SerializeToString(), name="three"), 3)
    images = np.random.default_rng(0).normal(size=(7, 1, 28, 28)).astype(np.float32)
    assert fixed.inputs[0].shape[0] == -1
    np.testing.assert_allclose(
        fixed.run({"image": images})["logits"],
        session.session.run({"image": images})["logits"],
        atol=1e-5,
    )


def test_an_engine_without_tensorrt_says_where_tensorrt_comes_from(tmp_path: Path) -> None:
    write_sidecar(tmp_path / f"{VGG}.bicameral.json", read_sidecar(shipped_model(VGG)))
    (tmp_path / f"{VGG}.plan").write_bytes(b"engine")
    with pytest.raises(MachineError, match="tensorrt"):
        load_subject(tmp_path / f"{VGG}.plan")


def test_the_command_ends_with_1_outside_of_the_tolerance_and_writes_the_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from bicameral.cli.compare import compare as command

    path = tmp_path / "figures.json"
    assert command("caril_a", "caril_a", output=path) == 0
    assert json.loads(path.read_text())["passed"] is True
    assert command("caril_a", "caril_b", output=path) == 1
    record = json.loads(path.read_text())
    assert record["passed"] is False
    assert record["failures"]
    assert "OUTSIDE" in capsys.readouterr().out
