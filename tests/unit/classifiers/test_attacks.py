"""What each attack makes of pictures, on networks whose gradient is known."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from models.attacks import (
    Ball,
    fast_gradient_sign,
    loss_gradient,
    margins,
    projected_gradient,
    square_search,
)

RADIUS = 0.1


class Linear(nn.Module):
    """Two classes; the second one's logit falls with each pixel of the left half, rises elsewhere.

    Args:
        scale: Of the logits.
    """

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.signs = torch.ones(1, 1, 4, 4)
        self.signs[..., :2] = -1.0
        self.scale = scale

    def forward(self, x: Tensor) -> tuple[Tensor]:
        second = self.scale * ((x - 0.5) * self.signs).sum(dim=(1, 2, 3))
        return (torch.stack([-second, second], dim=1),)


@pytest.fixture
def images() -> Tensor:
    torch.manual_seed(0)
    images = torch.rand(6, 1, 4, 4)
    images[0, 0, 0, 0], images[0, 0, 0, 3] = 0.0, 1.0  # the range of the pixels
    return images


@pytest.fixture
def labels(images: Tensor) -> Tensor:
    return Linear()(images)[0].argmax(dim=1)


def assert_within(found: Tensor, images: Tensor) -> None:
    assert (found - images).abs().max() <= RADIUS + 1e-6
    assert found.min() >= 0.0
    assert found.max() <= 1.0


def test_one_signed_step_moves_every_pixel_by_the_radius_against_the_label(
    images: Tensor, labels: Tensor
) -> None:
    found = fast_gradient_sign(Linear(), images, labels, RADIUS)
    against = torch.where(labels == 1, -1.0, 1.0)[:, None, None, None] * Linear().signs
    torch.testing.assert_close(found, (images + RADIUS * against).clamp(0.0, 1.0))


def test_many_steps_come_as_far_as_one_where_the_gradient_never_turns(
    images: Tensor, labels: Tensor
) -> None:
    one = fast_gradient_sign(Linear(), images, labels, RADIUS)
    many = projected_gradient(Linear(), images, labels, RADIUS, steps=10)
    torch.testing.assert_close(many, one)


def test_a_search_stays_within_the_radius_and_never_makes_the_label_surer(
    images: Tensor, labels: Tensor
) -> None:
    network = Linear()
    found = square_search(network, images, labels, RADIUS, queries=40)
    assert_within(found, images)
    torch.manual_seed(1)
    few = square_search(network, images, labels, RADIUS, queries=1)
    assert margins(network(found)[0], labels).mean() < margins(network(few)[0], labels).mean()


def test_a_masked_gradient_withstands_steps_and_not_a_search_or_transferred_images(
    images: Tensor, labels: Tensor
) -> None:
    masked = Linear(scale=1e4)
    assert loss_gradient(masked, images, labels).abs().max() == 0.0
    stepped = fast_gradient_sign(masked, images, labels, RADIUS)
    torch.testing.assert_close(stepped, images)
    transferred = fast_gradient_sign(Linear(), images, labels, RADIUS)
    searched = square_search(masked, images, labels, RADIUS, queries=60)
    for found in (transferred, searched):
        assert (masked(found)[0].argmax(dim=1) != labels).any()


def test_the_radius_is_a_share_of_the_range_of_each_channel() -> None:
    images = torch.zeros(2, 2, 3, 3)
    images[0, 0, 0, 0], images[0, 1, 0, 0] = 1.0, 10.0
    ball = Ball.around(images, 0.5)
    assert ball.radius.flatten().tolist() == [0.5, 5.0]
    drawn = ball.anywhere()
    assert torch.equal(ball.project(drawn), drawn)
    assert ball.project(images + 100.0)[1, 1, 0, 0] == 5.0


def test_a_margin_is_what_the_label_is_ahead_of_the_best_other_class() -> None:
    logits = torch.tensor([[3.0, 1.0, 2.0], [0.0, 5.0, 1.0]])
    assert margins(logits, torch.tensor([0, 2])).tolist() == [1.0, -4.0]
