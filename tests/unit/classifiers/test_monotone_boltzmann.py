"""The monotone deep Boltzmann machine: one fixed point, reached by few steps that never climb."""

from __future__ import annotations

import pytest
import torch

from models.networks.layers import ImageShape
from models.networks.monotone_boltzmann import STEPS, MonotoneBoltzmann, draw_observed
from models.networks.monotone_energy import MARGIN, REACH, Energy, Maps

SHAPE = ImageShape(channels=1, height=12, width=12, classes=3)


def machine(scale: float = 1.0) -> MonotoneBoltzmann:
    """Return a machine whose weights are drawn, and so many times as large."""
    torch.manual_seed(0)
    network = MonotoneBoltzmann(SHAPE, width=8)
    network.loss(torch.rand(4, 1, 12, 12), torch.tensor([0, 1, 2, 0]))  # learns the grey levels
    with torch.no_grad():
        for coupling in network.couplings:
            for weight in coupling.parameters():
                weight.copy_(scale * torch.randn_like(weight))
    return network.eval()


def picture() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    return torch.rand(3, 1, 12, 12), draw_observed(3, 12, 12)


def product(a: Maps, b: Maps) -> float:
    return sum(float((one * other).sum()) for one, other in zip(a, b, strict=True))


def drawn(energy: Energy, rows: int = 1) -> Maps:
    return [torch.randn(rows, *layer.shape) for layer in energy.layers]


def free_energy(energy: Energy, q: Maps) -> torch.Tensor:
    """Return -1/2 q'Phi q - b'q + sum q log q of each row."""
    parts = zip(q, energy.coupled(q), energy.biases, strict=True)
    terms = [-0.5 * one * phi - bias * one + torch.xlogy(one, one) for one, phi, bias in parts]
    return torch.stack([one.flatten(1).sum(dim=1) for one in terms]).sum(dim=0)


every_scale = pytest.mark.parametrize("scale", [0.1, 1.0, 30.0])


@every_scale
@torch.no_grad()
def test_couplings_are_symmetric_and_bounded_whatever_the_weights(scale: float) -> None:
    energy = machine(scale).energy()
    for _ in range(5):
        a, b = drawn(energy), drawn(energy)
        assert product(a, energy.coupled(b)) == pytest.approx(
            product(energy.coupled(a), b), rel=1e-3, abs=1e-3
        )
        square = product(a, a)
        assert -REACH * square <= product(a, energy.coupled(a)) <= (1.0 - MARGIN + 1e-4) * square


@torch.no_grad()
def test_no_group_couples_with_itself() -> None:
    energy = machine().energy()
    for number, layer in enumerate(energy.layers):
        for site in ((0, 0), (layer.rows // 2, layer.columns // 2)):
            q = [torch.zeros(1, *one.shape) for one in energy.layers]
            q[number][0, : layer.group, site[0], site[1]] = torch.rand(layer.group)
            answered = energy.coupled(q)[number][0, : layer.group, site[0], site[1]]
            torch.testing.assert_close(answered, torch.zeros(layer.group), atol=1e-5, rtol=0.0)


@every_scale
@torch.no_grad()
def test_the_free_energy_never_rises(scale: float) -> None:
    network = machine(scale)
    energy, (x, observed) = network.energy(), picture()
    clamped = network.levels(x) * observed
    q = network.mean_field(energy, x, observed, 0)
    before = free_energy(energy, q)
    for _ in range(STEPS):
        q = energy.settle(q, clamped, 1.0 - observed, 1)
        after = free_energy(energy, q)
        assert (after <= before + 1e-4 * before.abs()).all()
        before = after


@every_scale
@torch.no_grad()
def test_two_starts_end_at_the_same_point_and_stay_there(scale: float) -> None:
    network = machine(scale)
    energy, (x, observed) = network.energy(), picture()
    clamped, hidden = network.levels(x) * observed, 1.0 - observed
    one = network.mean_field(energy, x, observed, STEPS)
    other = energy.settle(
        energy.softmax([5.0 * one for one in drawn(energy, 3)]), clamped, hidden, STEPS
    )
    further = energy.settle(one, clamped, hidden, 1)
    for a, b, c in zip(one, other, further, strict=True):
        assert (a - b).abs().max() <= 1e-3
        assert (a - c).abs().max() <= 1e-3


@torch.no_grad()
def test_what_is_not_observed_makes_no_difference_and_what_is_stays() -> None:
    network, (x, observed) = machine(), picture()
    logits, _, completed = network(x, observed)
    others = x * observed + torch.rand_like(x) * (1.0 - observed)
    again, _, completed_again = network(others, observed)
    torch.testing.assert_close(logits, again)
    torch.testing.assert_close(completed, completed_again)
    assert torch.equal(completed * observed, x * observed)
    filled = completed[observed == 0.0]
    assert filled.min() >= network.low
    assert filled.max() <= network.high


def test_every_weight_learns() -> None:
    network = machine().train()
    network.loss(torch.rand(4, 1, 12, 12), torch.tensor([0, 1, 2, 0])).backward()
    for name, weight in network.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.abs().sum() > 0.0, name


def test_training_shows_a_fifth_of_the_pixels_at_least_or_hides_one_block() -> None:
    torch.manual_seed(0)
    observed = draw_observed(200, 20, 20)
    assert set(observed.unique().tolist()) == {0.0, 1.0}
    assert observed[0::2].mean(dim=(1, 2, 3)).min() > 0.1
    hidden = 1.0 - observed[1::2, 0]
    rows, columns = hidden.amax(dim=2), hidden.amax(dim=1)
    torch.testing.assert_close(rows[:, :, None] * columns[:, None], hidden)
