"""Every architecture: what it computes, what it costs, what its graph consists of."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from bicameral.errors import UserError
from edge.preflight.operators import read_operator_table
from edge.session import OnnxSession
from models.networks.architectures import ARCHITECTURES, POOL, build_network
from models.networks.capabilities import ExtraOutputs, Reparameterised
from models.networks.layers import ImageShape
from models.networks.rep_vgg import RepVggNetwork
from models.onnx_export import count_cost, onnx_from_network

GREY = ImageShape(channels=1, height=28, width=28, classes=10)
COLOUR = ImageShape(channels=3, height=32, width=32, classes=7)


def supported_operators() -> set[str]:
    table = read_operator_table("tensorrt-8.2-onnx-operators.tsv")
    return {operator for operator, row in table.items() if row.supported}


def exported(network: torch.nn.Module, shape: ImageShape) -> bytes:
    network.eval()
    fused = network.fused() if isinstance(network, Reparameterised) else network
    extra = network.extra_outputs if isinstance(network, ExtraOutputs) else ()
    example = {"image": torch.zeros(1, shape.channels, shape.height, shape.width)}
    return onnx_from_network(fused, example, ("logits", "features", *(name for name, _ in extra)))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_an_untrained_network_exports_to_what_tensorrt_8_2_reads_and_computes_the_same(
    name: str,
) -> None:
    torch.manual_seed(0)
    network = build_network(name, GREY).eval()
    content = exported(network, GREY)
    model = onnx.load_from_string(content)
    assert [item.version for item in model.opset_import] == [13]
    assert {node.op_type for node in model.graph.node} <= supported_operators()
    images = np.random.default_rng(0).normal(size=(5, 1, 28, 28)).astype(np.float32)
    with torch.inference_mode():
        logits, features, *_ = network(torch.from_numpy(images))
    outputs = OnnxSession(content, name=name).run({"image": images})
    np.testing.assert_allclose(outputs["logits"], logits.numpy(), atol=1e-4)
    np.testing.assert_allclose(outputs["features"], features.numpy(), atol=1e-4)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_takes_colour_pictures_and_other_sizes(name: str) -> None:
    logits, features, *_ = build_network(name, COLOUR).eval()(torch.zeros(2, 3, 32, 32))
    assert logits.shape == (2, 7)
    assert features.shape[0] == 2


@pytest.mark.parametrize("name", POOL)
def test_pool_networks_have_ten_to_three_hundred_thousand_parameters(name: str) -> None:
    _, parameters = count_cost(exported(build_network(name, GREY), GREY))
    assert 10_000 <= parameters <= 300_000


def test_at_least_three_pool_networks_lie_between_8_and_35_million_macs() -> None:
    macs = [count_cost(exported(build_network(name, GREY), GREY))[0] for name in POOL]
    assert sum(8e6 <= value <= 35e6 for value in macs) >= 3


def test_the_dual_branch_network_has_the_papers_14862_parameters() -> None:
    network = build_network("dual_branch", GREY)
    assert sum(weight.numel() for weight in network.parameters()) == 14_862
    assert count_cost(exported(network, GREY))[1] == 14_862


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_graphs_cost_is_what_its_torch_layers_multiply(name: str) -> None:
    network = build_network(name, GREY).eval()
    fused = network.fused() if isinstance(network, Reparameterised) else network
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        fused(torch.zeros(1, 1, 28, 28))
    # A multiplication and an addition count as two.
    assert count_cost(exported(network, GREY))[0] == counter.get_total_flops() // 2


def test_a_graphs_cost_is_counted_by_hand_for_convolution_and_matrix_products() -> None:
    network = torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3, padding=1),  # 4 * 9 multiplications at 8 * 8 places
        torch.nn.Flatten(),
        torch.nn.Linear(256, 5),
    )
    content = onnx_from_network(network.eval(), {"image": torch.zeros(1, 1, 8, 8)}, ("logits",))
    assert count_cost(content) == (4 * 9 * 64 + 256 * 5, (36 + 4) + (1280 + 5))


def test_a_fused_rep_vgg_computes_what_its_branches_compute() -> None:
    torch.manual_seed(1)
    network = RepVggNetwork(GREY, width=8)
    for layer in network.modules():  # statistics far from their initial values
        if isinstance(layer, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(layer.weight, 0.5, 2.0)
            torch.nn.init.normal_(layer.bias)
            layer.running_mean = torch.randn(layer.num_features)
            layer.running_var = torch.rand(layer.num_features) + 0.5
    images = torch.randn(4, 1, 28, 28)
    with torch.inference_mode():
        expected, fused = network.eval()(images)[0], network.fused()(images)[0]
    torch.testing.assert_close(fused, expected, rtol=1e-4, atol=1e-3)


def test_an_unknown_architecture_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"residual8.*Did you mean 'residual16'"):
        build_network("residual61", GREY)
