"""What every way of mixing tokens keeps, and what each of those that choose computes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.mixers.attention import HeadShape, SelfAttention
from models.mixers.dual_stream import DualStreamBlock, MixedHeads
from models.mixers.grassmann import OFFSETS, GrassmannMixing
from models.mixers.mixture_of_heads import MixtureOfHeads
from models.mixers.routing import Routes, chosen
from models.mixers.union_of_experts import SelectiveAttention, UnionOfExperts
from models.networks.capabilities import LossTerms
from models.networks.layers import ImageShape
from models.networks.mixed_transformer import BLOCKS, DUAL_STREAM, MixedTransformer

SHAPE = HeadShape(tokens=9, heads=6, width=24)
PICTURES = ImageShape(channels=1, height=12, width=12, classes=3)

#: Rounding differs with the size of a batch, and nothing else may.
ROUNDING = 1e-5

every_kind = pytest.mark.parametrize("kind", BLOCKS)
every_network = pytest.mark.parametrize("kind", [*BLOCKS, DUAL_STREAM])


def network(kind: str) -> MixedTransformer:
    torch.manual_seed(0)
    return MixedTransformer(PICTURES, kind=kind, width=24, heads=6, depth=2)


@every_kind
def test_it_maps_tokens_to_tokens_and_every_weight_learns(kind: str) -> None:
    torch.manual_seed(0)
    mixer, x = BLOCKS[kind].mixer(SHAPE), torch.randn(4, 9, 24)
    y = mixer(x)
    assert y.shape == x.shape
    (y * torch.randn_like(y)).sum().backward()
    for name, weight in mixer.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.abs().sum() > 0.0, name


@every_network
def test_an_answer_does_not_depend_on_who_else_is_in_the_batch(kind: str) -> None:
    answers, pictures = network(kind).eval(), torch.randn(7, 1, 12, 12)
    together = answers(pictures)
    for row in range(len(pictures)):
        for whole, alone in zip(together, answers(pictures[row : row + 1]), strict=True):
            torch.testing.assert_close(whole[row : row + 1], alone, atol=ROUNDING, rtol=0.0)


@every_kind
def test_what_chooses_says_so_and_has_a_term_that_keeps_its_experts_at_work(kind: str) -> None:
    trained = network(kind)
    assert isinstance(trained, LossTerms)
    logits, terms = trained.with_loss_terms(torch.randn(4, 1, 12, 12))
    assert logits.shape == (4, 3)
    assert sorted(terms) == (
        ["balance"] if kind in ("mixture_of_heads", "union_of_experts") else []
    )
    assert [name for name, _ in trained.extra_outputs] == (["routes"] if terms else [])
    if terms:
        *_, routes = trained.eval()(torch.randn(4, 1, 12, 12))
        assert routes.shape == (4, 2, 4)
        torch.testing.assert_close(routes.sum(dim=2), torch.full((4, 2), 2.0))


def test_the_balance_is_least_where_all_experts_have_the_same_load() -> None:
    even = Routes(wanted=torch.full((2, 4), 0.25), used=torch.full((2, 4), 0.5))
    uneven = Routes(
        wanted=torch.tensor([[0.7, 0.1, 0.1, 0.1]]), used=torch.tensor([[1.0, 0.4, 0.3, 0.3]])
    )
    assert even.imbalance() == pytest.approx(2.0)
    assert uneven.imbalance() > even.imbalance()


def test_chosen_are_the_largest_of_every_row() -> None:
    wanted = torch.tensor([[[0.1, 0.6, 0.3], [0.5, 0.2, 0.3]]])
    assert chosen(wanted, 2).tolist() == [[[0.0, 1.0, 1.0], [1.0, 0.0, 1.0]]]


def test_with_even_gates_a_mixture_of_all_heads_is_ordinary_attention() -> None:
    torch.manual_seed(0)
    mixture, x = MixtureOfHeads(SHAPE, shared=2, chosen=4), torch.randn(3, 9, 24)
    for router in (mixture.kinds, mixture.always, mixture.router):
        nn.init.zeros_(router.weight)
    ordinary = SelfAttention(SHAPE)
    ordinary.load_state_dict(mixture.state_dict(), strict=False)
    torch.testing.assert_close(mixture(x), ordinary(x))


def test_a_head_that_no_token_takes_says_nothing() -> None:
    torch.manual_seed(0)
    mixture, x = MixtureOfHeads(SHAPE, shared=2, chosen=2), torch.randn(3, 9, 24).abs()
    with torch.no_grad():
        mixture.router.weight[3] = -100.0  # the last of the six heads
        before, routes = mixture.routed(x)
        mixture.value.weight[-SHAPE.size :].normal_()
    assert routes.used[:, 3].tolist() == [0.0, 0.0, 0.0]
    assert torch.equal(mixture(x), before)


def test_a_selective_head_attends_among_its_half_of_the_tokens() -> None:
    torch.manual_seed(0)
    layer, x = SelectiveAttention(SHAPE), torch.randn(2, 9, 24)
    wanted = layer.router(x).softmax(dim=-1)
    expected = torch.zeros(2, 6, 9, 4)
    for picture in range(2):
        for head in range(6):
            share, index = wanted[picture, :, head].topk(5)
            queries, keys, values = (x[picture, index] @ layer.content[head]).chunk(3, dim=1)
            found = functional.scaled_dot_product_attention(queries, keys, values)
            expected[picture, head, index] = 6 * share[:, None] * found
    torch.testing.assert_close(layer(x), layer.output(SHAPE.join(expected)))


def test_a_union_of_which_every_picture_takes_all_is_two_dense_layers() -> None:
    torch.manual_seed(0)
    union, x = UnionOfExperts(24, 48, experts=4, chosen=4), torch.randn(3, 9, 24)
    nn.init.zeros_(union.router.weight)

    def joined(slices: Tensor) -> Tensor:
        """Put the experts' weights (experts, inputs, units) beside each other."""
        return slices.transpose(0, 1).flatten(1)

    hidden = functional.gelu(x @ joined(union.first) + joined(union.first_bias))
    expected = hidden @ union.second.flatten(0, 1) + union.bias
    torch.testing.assert_close(union(x), expected)


def test_planes_see_neighbours_and_nothing_beyond_the_border() -> None:
    torch.manual_seed(0)
    shape = HeadShape(tokens=49, heads=1, width=8)
    mixing, x = GrassmannMixing(shape), torch.randn(1, 49, 8)
    before = mixing(x)
    x[0, 0] += 1.0  # the corner
    changed = (mixing(x) - before).abs().sum(dim=2).reshape(7, 7) > 1e-6
    seen = {(0, 0)} | {(y, x) for y, x in OFFSETS if y >= 0 and x >= 0}
    assert {(int(y), int(x)) for y, x in changed.nonzero()} == seen


def test_two_parallel_patches_span_no_plane_and_a_plane_has_no_length() -> None:
    torch.manual_seed(0)
    mixing, x = GrassmannMixing(SHAPE), torch.randn(1, 1, 24).expand(1, 9, 24)
    kept = torch.sigmoid(mixing.gate(torch.cat([x, mixing.plane.bias.expand(1, 9, 24)], dim=2)))
    expected = kept * x + (1.0 - kept) * mixing.plane.bias
    torch.testing.assert_close(mixing(x), expected, atol=1e-4, rtol=0.0)


def test_attention_leaves_the_context_alone_and_the_dense_layer_the_tokens() -> None:
    torch.manual_seed(0)
    block, streams = DualStreamBlock(SHAPE, "dense"), torch.randn(2, 9, 48)
    tokens, context = block(streams).chunk(2, dim=2)
    grown = torch.autograd.grad(tokens.sum(), [*block.dense.parameters()], allow_unused=True)
    assert [one for one in grown if one is not None and one.any()] == []
    with torch.no_grad():
        for weight in block.dense.parameters():
            weight.zero_()
    torch.testing.assert_close(block(streams).chunk(2, dim=2)[1], streams.chunk(2, dim=2)[1])
    torch.testing.assert_close(block(streams).chunk(2, dim=2)[0], tokens)
    assert not torch.equal(context, streams.chunk(2, dim=2)[1])


def test_heads_that_take_nothing_of_each_other_are_independent() -> None:
    kronecker, independent = MixedHeads(SHAPE, "kronecker"), MixedHeads(SHAPE, "independent")
    with torch.no_grad():
        kronecker.weight.copy_(torch.eye(6))
        independent.weight.copy_(torch.eye(4).expand(6, 4, 4))
    x = torch.randn(2, 9, 24)
    torch.testing.assert_close(kronecker(x), x)
    torch.testing.assert_close(independent(x), x)
