"""Gated positional self-attention: a convolution at one end of its gate, attention at the other."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from models.mixers.attention import HeadShape, SelfAttention
from models.networks.convit import (
    ConVitNetwork,
    GatedPositionalAttention,
    patch_offsets,
)
from models.networks.layers import ImageShape

GRID = (5, 6)
#: A patch with neighbours on all sides, in the third row and fourth column.
INSIDE = 2 * 6 + 3


def attention_layer(heads: int, *, gate: float, locality: float = 1.0) -> GatedPositionalAttention:
    torch.manual_seed(0)
    layer = GatedPositionalAttention(36, heads, GRID, locality=locality)
    with torch.no_grad():
        layer.gate.fill_(gate)
    return layer


def small_network() -> ConVitNetwork:
    torch.manual_seed(0)
    return ConVitNetwork(
        ImageShape(channels=1, height=12, width=16, classes=3), width=16, heads=4, depth=(2, 1)
    ).eval()


def test_offsets_lead_from_one_patch_to_the_other() -> None:
    offsets = patch_offsets(GRID)
    assert offsets.shape == (30, 30, 3)
    right_and_two_down = INSIDE + 1 + 2 * GRID[1]
    assert offsets[INSIDE, right_and_two_down].tolist() == [1.0, 2.0, 5.0]
    assert offsets[right_and_two_down, INSIDE].tolist() == [-1.0, -2.0, 5.0]


def test_with_its_gate_open_to_position_each_of_nine_heads_looks_at_one_neighbour() -> None:
    layer = attention_layer(9, gate=30.0, locality=30.0)
    found = layer.attention(torch.randn(2, 30, 36))[:, :, INSIDE]
    neighbours = [INSIDE + row * GRID[1] + column for row in (-1, 0, 1) for column in (-1, 0, 1)]
    expected = functional.one_hot(torch.tensor(neighbours), 30).float()
    torch.testing.assert_close(found, expected.expand(2, 9, 30), atol=1e-6, rtol=0.0)


def test_such_a_layer_is_a_3x3_convolution() -> None:
    layer = attention_layer(9, gate=30.0, locality=30.0)
    x = torch.randn(2, 36, *GRID)
    found = layer(x.flatten(2).transpose(1, 2)).transpose(1, 2).unflatten(2, GRID)
    # Head h passes on its 4 channels of the neighbour h, so these are the weights at that place.
    kernel = torch.zeros(36, 36, 3, 3)
    for head in range(9):
        channels = slice(4 * head, 4 * head + 4)
        kernel[:, channels, head // 3, head % 3] = layer.output.weight[:, channels]
    expected = functional.conv2d(x, kernel, layer.output.bias)
    torch.testing.assert_close(found[:, :, 1:-1, 1:-1], expected, atol=1e-4, rtol=1e-4)


def test_four_heads_begin_on_the_four_corners_of_a_patch() -> None:
    found = attention_layer(4, gate=1.0, locality=30.0).position_attention()[:, INSIDE]
    up, left = -GRID[1], -1
    for head, (row, column) in enumerate([(up, left), (up, 1), (GRID[1], left), (GRID[1], 1)]):
        around = [INSIDE, INSIDE + row, INSIDE + column, INSIDE + row + column]
        torch.testing.assert_close(found[head, around], torch.full((4,), 0.25))


def test_with_its_gate_closed_to_position_it_is_ordinary_self_attention() -> None:
    layer = attention_layer(4, gate=-30.0)
    ordinary = SelfAttention(HeadShape(tokens=30, heads=4, width=36))
    ordinary.load_state_dict(layer.state_dict(), strict=False)
    x = torch.randn(3, 30, 36)
    torch.testing.assert_close(layer(x), ordinary(x))


@pytest.mark.parametrize("gate", [-2.0, 0.0, 1.0])
def test_however_the_gate_stands_a_patch_shares_out_exactly_one(gate: float) -> None:
    shares = attention_layer(4, gate=gate).attention(torch.randn(2, 30, 36))
    assert (shares >= 0.0).all()
    torch.testing.assert_close(shares.sum(dim=3), torch.ones(2, 4, 30))


def test_ordinary_attention_is_what_torch_computes() -> None:
    shape = HeadShape(tokens=7, heads=2, width=8)
    torch.manual_seed(0)
    layer, x = SelfAttention(shape), torch.randn(3, 7, 8)
    queries, keys = layer.content(x).chunk(2, dim=2)
    split = [part.unflatten(2, (2, 4)).transpose(1, 2) for part in (queries, keys, layer.value(x))]
    expected = functional.scaled_dot_product_attention(*split).transpose(1, 2).flatten(2)
    torch.testing.assert_close(layer(x), layer.output(expected))


def test_the_class_token_joins_behind_the_local_blocks() -> None:
    network, seen = small_network(), []
    for block in (*network.local_blocks, *network.blocks):
        block.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].shape[1]))
    network(torch.randn(2, 1, 12, 16))
    assert seen == [12, 12, 13]


def test_offsets_are_no_part_of_a_checkpoint_and_gates_are() -> None:
    names = small_network().state_dict()
    assert "local_blocks.0.attention.gate" in names
    assert not any("offsets" in name for name in names)


def test_at_run_time_gates_and_positions_are_constants_and_the_answers_the_same() -> None:
    network = small_network()
    with torch.no_grad():
        for block in network.local_blocks:
            block.attention.gate.normal_()
            block.attention.position.weight.normal_()
    fused, images = network.fused(), torch.randn(4, 1, 12, 16)
    torch.testing.assert_close(fused(images), network(images))
    assert not any("gate" in name or "offsets" in name for name in fused.state_dict())
