"""Networks that are used both ways, and that learn from changed pictures."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from models.networks.hybrid_adversarial import Backward, HybridAdversarialNetwork
from models.networks.layers import ImageShape
from models.networks.perturbed import PerturbedNetwork, by_attack, by_noise

SHAPE = ImageShape(channels=1, height=14, width=11, classes=3)
both_kinds = pytest.mark.parametrize("backward", ["reconstruction", "adversarial"])


def network(backward: Backward) -> HybridAdversarialNetwork:
    torch.manual_seed(0)
    return HybridAdversarialNetwork(SHAPE, backward=backward)


def batch() -> tuple[Tensor, Tensor]:
    """Return a bright third for each class, by which a code can be told from another."""
    labels = torch.arange(24) % 3
    images = torch.zeros(24, 1, 14, 11)
    for image, label in zip(images, labels.tolist(), strict=True):
        image[0, 4 * label : 4 * label + 4] = 1.0
    return images, labels


def trained(one: HybridAdversarialNetwork, steps: int) -> HybridAdversarialNetwork:
    optimizer = torch.optim.SGD(one.parameters(), lr=0.01)
    torch.manual_seed(1)
    for _ in range(steps):
        loss = one.loss(*batch())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    return one


@both_kinds
def test_it_makes_pictures_of_its_size_with_the_classifiers_weights(backward: Backward) -> None:
    one = network(backward).eval()
    codes = one.codes(4)
    before = one.generate(codes)
    assert before.shape == (4, 1, 14, 11)
    assert before.min() >= 0.0
    assert before.max() <= 1.0
    with torch.no_grad():
        one.head.weight.mul_(-2.0)
    assert not torch.equal(one.generate(codes), before)


@both_kinds
def test_the_classifiers_step_finds_its_own_gradient_alone(backward: Backward) -> None:
    one = network(backward)
    loss = one.loss(*batch())
    assert all(weight.grad is None for weight in one.parameters())
    loss.backward()
    assert one.dense.weight.grad is not None
    others = [*one.back_norms.parameters(), *one.back_biases]
    if one.discriminator is not None:
        others += one.discriminator.parameters()
    assert all(weight.grad is None for weight in others)


@both_kinds
def test_the_steps_backwards_do_not_heed_what_the_classifiers_step_left(backward: Backward) -> None:
    clean, marked = network(backward), network(backward)
    for weight in marked.parameters():
        weight.grad = torch.ones_like(weight)
    for one in (clean, marked):
        torch.manual_seed(1)
        one.loss(*batch())
    for expected, found in zip(clean.parameters(), marked.parameters(), strict=True):
        assert torch.equal(found, expected)


@both_kinds
def test_a_training_that_goes_on_from_its_state_ends_as_one_that_was_not_killed(
    backward: Backward,
) -> None:
    killed = trained(network(backward), steps=2)
    going_on = network(backward)
    going_on.load_state_dict(deepcopy(killed.state_dict()))
    expected, found = (trained(one, steps=2).state_dict() for one in (killed, going_on))
    for name, value in expected.items():
        if isinstance(value, Tensor):
            assert torch.equal(found[name], value), name


def test_backwards_a_class_becomes_its_picture() -> None:
    one = trained(network("reconstruction"), steps=60).eval()
    images, labels = batch()
    codes = functional.one_hot(labels, 3).float()
    with torch.no_grad():
        error = functional.mse_loss(one.generate(codes), images)
    assert error < 0.5 * images.var()


def test_a_network_learns_from_what_its_pictures_were_changed_to() -> None:
    torch.manual_seed(0)
    one = PerturbedNetwork(SHAPE, perturb=lambda _network, images, _labels: 0.0 * images)
    images, labels = batch()
    expected = functional.cross_entropy(one(torch.zeros_like(images))[0], labels)
    torch.testing.assert_close(one.loss(images, labels), expected)


def test_an_attack_finds_a_larger_loss_than_noise_and_leaves_the_training_as_it_was() -> None:
    torch.manual_seed(0)
    one = PerturbedNetwork(SHAPE, perturb=by_attack)
    images, labels = batch()
    attacked, noisy = (change(one, images, labels) for change in (by_attack, by_noise))
    assert one.training
    losses = [functional.cross_entropy(one.eval()(x)[0], labels) for x in (attacked, noisy)]
    assert losses[0] > losses[1]
    for changed in (attacked, noisy):
        assert (changed - images).abs().max() <= 0.1 + 1e-6
