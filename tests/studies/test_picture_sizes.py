"""Weights that follow the size of the picture: the equation, and graphs of single sizes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from edge.preflight import has_errors, preflight
from edge.session import OnnxSession
from models.onnx_export import onnx_from_network
from studies.picture_sizes import Hypernetwork, classifier


@pytest.fixture
def network() -> Hypernetwork:
    torch.manual_seed(0)
    return Hypernetwork(classifier(), norm_preserving=True)


def test_without_a_say_of_h_every_size_has_the_weights_that_the_network_began_with() -> None:
    plain = classifier()
    network = Hypernetwork(plain, norm_preserving=True)
    with torch.no_grad():
        network.h[-1].weight.zero_()
    images = torch.randn(2, 1, 13, 13)
    assert torch.equal(network(images), plain(images))


def test_what_h_gets_has_the_same_norm_at_every_size(network: Hypernetwork) -> None:
    seen: list[torch.Tensor] = []
    network.h.register_forward_hook(lambda _module, inputs, _output: seen.append(inputs[0]))
    for size in (8, 18, 28):
        network.weights(size)
    assert [x.norm().item() for x in seen] == pytest.approx([1.0, 1.0, 1.0])


def test_the_whole_hypernetwork_learns_from_a_picture(network: Hypernetwork) -> None:
    network(torch.randn(2, 1, 13, 13)).square().sum().backward()
    assert all(weight.grad is not None for weight in network.parameters())


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")  # group norm asks for the size
@pytest.mark.parametrize("size", [14, 28])
def test_a_graph_of_one_size_computes_the_same_and_runs_on_a_nano(
    network: Hypernetwork, size: int, tmp_path: Path
) -> None:
    example = {"image": torch.zeros(1, 1, size, size)}
    content = onnx_from_network(network.baked(size).eval(), example, ["logits"])
    images = np.random.default_rng(0).normal(size=(4, 1, size, size)).astype(np.float32)
    found = OnnxSession(content, name="baked").run({"image": images})["logits"]
    with torch.inference_mode():
        expected = network(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-4)
    path = tmp_path / "baked.onnx"
    path.write_bytes(content)
    assert not has_errors(preflight(path, "jetson-nano"))
