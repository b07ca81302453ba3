"""A model of bytes looks back only, however its tokens are mixed."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from edge.session import OnnxSession
from models.mixers.attention import HeadShape
from models.mixers.grassmann import BACK, GrassmannMixing
from models.mixers.kernel_attention import KernelAttention, RandomFeatures, elu_features
from models.mixers.union_of_experts import SelectiveAttention
from models.networks.byte_model import BYTE_BLOCKS, DUAL_BLOCKS, ByteModel
from models.onnx_export import onnx_from_network

#: More than a chunk of linear attention, and no multiple of one.
CONTEXT = 40

every_kind = pytest.mark.parametrize("kind", [*BYTE_BLOCKS, *DUAL_BLOCKS])

#: Running sums of later tokens leave rounding behind.
ROUNDING = 1e-5


def byte_model(kind: str) -> ByteModel:
    torch.manual_seed(0)
    return ByteModel(kind, context=CONTEXT, width=24, heads=4, depth=2).eval()


def texts(count: int) -> torch.Tensor:
    return torch.randint(256, (count, CONTEXT), generator=torch.Generator().manual_seed(0))


@every_kind
def test_a_later_byte_changes_no_earlier_answer_and_an_earlier_one_does(kind: str) -> None:
    model, text = byte_model(kind), texts(2)
    before = model(text)
    assert before.shape == (2, CONTEXT, 256)
    text[:, 20] = (text[:, 20] + 1) % 256
    change = (model(text) - before).abs().amax(dim=(0, 2))
    assert change[:20].max() <= ROUNDING
    assert change[20] > ROUNDING
    assert change[21:].max() > ROUNDING


@every_kind
def test_an_answer_does_not_depend_on_who_else_is_in_the_batch(kind: str) -> None:
    model, several = byte_model(kind), texts(5)
    together = model(several)
    for row in range(len(several)):
        alone = model(several[row : row + 1])
        torch.testing.assert_close(together[row : row + 1], alone, atol=ROUNDING, rtol=0.0)


@every_kind
def test_every_weight_learns(kind: str) -> None:
    model = byte_model(kind)
    model(texts(4)).square().sum().backward()
    for name, weight in model.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.abs().sum() > 0.0, name


@every_kind
def test_its_onnx_graph_computes_the_same(kind: str) -> None:
    model, several = byte_model(kind), texts(3)
    graph = onnx_from_network(model, {"text": several[:1]}, ("logits",))
    found = OnnxSession(graph, name=kind).run({"text": several.numpy()})["logits"]
    np.testing.assert_allclose(found, model(several).detach().numpy(), atol=1e-4)


def test_linear_attention_by_running_sums_is_that_pair_by_pair() -> None:
    torch.manual_seed(0)
    shape = HeadShape(tokens=70, heads=2, width=8, causal=True)
    layer, x = KernelAttention(shape, elu_features), torch.randn(3, 70, 8)
    queries, keys = (elu_features(one) for one in shape.split(layer.content(x), 2).chunk(2, dim=1))
    weights = (queries @ keys.transpose(2, 3)).tril()
    weights = weights / weights.sum(dim=3, keepdim=True)
    expected = layer.output(shape.gather(weights, layer.value(x)))
    torch.testing.assert_close(layer(x), expected)


def test_random_features_multiply_to_what_softmax_takes_on_average() -> None:
    torch.manual_seed(0)
    query, key = 0.5 * torch.randn(2, 16)
    found = []
    for _ in range(200):
        features = RandomFeatures(16)
        found.append(float(features(query) @ features(key)) / features.directions.shape[1])
    expected = math.exp(float(query @ key) / 4.0)
    assert np.mean(found) == pytest.approx(expected, rel=0.05)


def test_the_mean_of_planes_in_a_text_is_that_of_each_plane_by_itself() -> None:
    torch.manual_seed(0)
    shape = HeadShape(tokens=20, heads=1, width=8, causal=True)
    mixing, x = GrassmannMixing(shape), torch.randn(1, 20, 8)
    points = mixing.reduce(x)[0]
    means = []
    for place in range(20):
        planes = [torch.zeros(120)]
        for _, back in BACK:
            if place + back >= 0:
                one, other = points[place], points[place + back]
                plane = torch.outer(one, other) - torch.outer(other, one)
                planes.append(functional.normalize(plane[mixing.first, mixing.second], dim=0))
        means.append(torch.stack(planes).sum(dim=0) / max(len(planes) - 1, 1))
    relation = mixing.plane(torch.stack(means)[None])
    kept = torch.sigmoid(mixing.gate(torch.cat([x, relation], dim=2)))
    torch.testing.assert_close(mixing(x), kept * x + (1 - kept) * relation, atol=1e-4, rtol=0.0)


def test_what_cannot_look_back_only_says_so() -> None:
    shape = HeadShape(tokens=9, heads=2, width=8, causal=True)
    with pytest.raises(ValueError, match="see later ones"):
        SelectiveAttention(shape)
    with pytest.raises(ValueError, match="causal"):
        KernelAttention(HeadShape(tokens=9, heads=2, width=8), elu_features)
