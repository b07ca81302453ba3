"""NoProp-DT: blocks that learn alone, and answer one after another."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from models.networks.architectures import build_network
from models.networks.layers import ImageShape
from models.networks.noprop import BLOCKS, EMBEDDING, NoPropNetwork, cosine_schedule

SHAPE = ImageShape(channels=1, height=16, width=16, classes=3)


@pytest.fixture
def network() -> NoPropNetwork:
    torch.manual_seed(0)
    made = build_network("noprop", SHAPE)
    assert isinstance(made, NoPropNetwork)
    return made


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(6, 1, 16, 16, generator=torch.Generator().manual_seed(1))


def certain(label: int) -> torch.Tensor:
    """Logits of a block that has no doubt."""
    return torch.nn.functional.one_hot(torch.tensor([label]), SHAPE.classes) * 1e4


@pytest.mark.parametrize("t", range(1, BLOCKS + 1))
def test_no_gradient_goes_from_one_block_to_another(
    network: NoPropNetwork, images: torch.Tensor, t: int
) -> None:
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    network.block_loss(t, images, network.embedding[labels]).backward()
    moved = {
        number
        for number, block in enumerate(network.blocks, start=1)
        if any(weight.grad is not None for weight in block.parameters())
    }
    assert moved == {t}
    assert all(weight.grad is not None for weight in network.blocks[t - 1].parameters())


def test_a_blocks_loss_vanishes_for_the_true_embedding_and_grows_with_the_steps_gain(
    network: NoPropNetwork, images: torch.Tensor
) -> None:
    labels = torch.tensor([1] * len(images))
    for block in network.blocks:
        block.forward = lambda x, z: (certain(1).expand(len(x), -1), z)
    network.embedding.data = torch.eye(SHAPE.classes, EMBEDDING)
    right = [network.block_loss(t, images, network.embedding[labels]) for t in (1, BLOCKS)]
    wrong = [network.block_loss(t, images, network.embedding[labels - 1]) for t in (1, BLOCKS)]
    torch.testing.assert_close(torch.stack(right), torch.zeros(2))
    ratio = [abar / (1.0 - abar) for abar in cosine_schedule(BLOCKS)]
    # (T / 2) eta (SNR(t) - SNR(t-1)) times the squared distance of two orthonormal embeddings.
    expected = [0.5 * BLOCKS * 0.1 * (ratio[t] - ratio[t - 1]) * 2.0 for t in (1, BLOCKS)]
    torch.testing.assert_close(torch.stack(wrong), torch.tensor(expected))


def test_the_schedule_goes_from_noise_to_an_almost_clean_label() -> None:
    abar = cosine_schedule(BLOCKS)
    assert len(abar) == BLOCKS + 1
    assert abar[0] == 1e-4
    assert 0.999 < abar[-1] < 1.0
    assert np.all(np.diff(abar) > 0)


@pytest.mark.parametrize("t", [1, 5, BLOCKS])
def test_a_right_estimate_keeps_a_clean_label_on_its_way(network: NoPropNetwork, t: int) -> None:
    before, after = network.abar[t - 1], network.abar[t]
    label = network.embedding[2:3]
    moved = network.step(t, certain(2).softmax(dim=1), math.sqrt(before) * label)
    torch.testing.assert_close(moved, math.sqrt(after) * label)


def test_an_image_has_one_answer_bit_for_bit(network: NoPropNetwork, images: torch.Tensor) -> None:
    network.eval()
    torch.manual_seed(1)
    first = network(images)
    torch.manual_seed(2)
    second = network(images)
    for one, other in zip(first, second, strict=True):
        assert torch.equal(one, other)


def test_training_draws_noise_so_two_losses_differ(
    network: NoPropNetwork, images: torch.Tensor
) -> None:
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    network.eval()
    assert network.loss(images, labels) != network.loss(images, labels)


def test_the_stages_in_a_chain_are_the_whole_network(
    network: NoPropNetwork, images: torch.Tensor
) -> None:
    logits, _, stage_logits = network.eval()(images)
    assert stage_logits.shape == (len(images), BLOCKS, SHAPE.classes)
    assert torch.equal(stage_logits[:, -1], logits)
    first, *others = network.stages()
    answer, carried = first(images)
    answers = [answer]
    for stage in others:
        answer, carried = stage(images, carried)
        answers.append(answer)
    torch.testing.assert_close(torch.stack(answers, dim=1), stage_logits)


def test_a_single_label_does_for_all_images(network: NoPropNetwork, images: torch.Tensor) -> None:
    block = network.eval().blocks[0]
    z = torch.randn(1, EMBEDDING)
    one, many = block(images, z), block(images, z.expand(len(images), -1))
    torch.testing.assert_close(one[0], many[0])


def test_the_answer_is_the_mean_of_the_blocks_probabilities(
    network: NoPropNetwork, images: torch.Tensor
) -> None:
    network.eval()
    for number, block in enumerate(network.blocks):
        block.forward = lambda x, z, number=number: (certain(min(number, 1)).expand(len(x), -1), z)
    stage_logits = network(images)[2][0].exp()
    # The first block is sure of class 0, all others of class 1.
    torch.testing.assert_close(stage_logits[0], torch.tensor([1.0, 0.0, 0.0]), atol=2e-4, rtol=0)
    torch.testing.assert_close(stage_logits[3], torch.tensor([0.25, 0.75, 0.0]), atol=2e-4, rtol=0)


def test_the_features_are_those_of_the_first_block_which_knows_the_picture_alone(
    network: NoPropNetwork, images: torch.Tensor
) -> None:
    features = network.eval()(images)[1]
    assert torch.equal(features, network.blocks[0](images, torch.zeros(1, EMBEDDING))[1])
