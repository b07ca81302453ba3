"""Changes of a picture that make a classifier answer wrong, each pixel changed by so much at most.

The strongest of several tries is what a network can stand. One signed step (`fast_gradient_sign`)
says little: a network whose logits are so large that its gradient is 0 withstands it, and nothing
else. So every attack that follows the gradient stands beside one that does not: a random search, or
pictures made for another network.

Images are as a network takes them, (N, C, H, W) float32. Their darkest and brightest pixel, channel
by channel, bound what an attack may make of them, and a radius is a share of that range.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

#: Goldstein's rule of thumb of Madry et al. 2018 (arXiv 1706.06083): steps reach 2.5 radii in all.
_REACH = 2.5

#: Share of the pixels that the first square of a random search covers (Andriushchenko et al. 2020,
#: arXiv 1912.00049, for this kind of data), and after which share of its queries it is halved.
_FIRST_SQUARE = 0.8
_HALVED_AFTER = (0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)


@dataclass(frozen=True, slots=True)
class Ball:
    """What an attack may make of images: bounds of each pixel, and the radius of each channel."""

    low: Tensor
    high: Tensor
    radius: Tensor

    @classmethod
    def around(cls, images: Tensor, radius: float) -> Ball:
        """Return the images within a radius, a share of the range of the pixels, of these."""
        darkest = images.amin(dim=(0, 2, 3), keepdim=True)
        brightest = images.amax(dim=(0, 2, 3), keepdim=True)
        reach = radius * (brightest - darkest)
        low, high = images - reach, images + reach
        return cls(torch.maximum(low, darkest), torch.minimum(high, brightest), reach)

    def project(self, images: Tensor) -> Tensor:
        """Return the images of the ball that are nearest to these."""
        return torch.minimum(torch.maximum(images, self.low), self.high)

    def anywhere(self) -> Tensor:
        """Draw images of the ball, each pixel evenly."""
        return self.low + torch.rand_like(self.low) * (self.high - self.low)


def loss_gradient(network: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Return how the sum of the images' cross-entropies changes with their pixels."""
    with torch.enable_grad():
        asked = images.detach().requires_grad_()
        loss = functional.cross_entropy(network(asked)[0], labels, reduction="sum")
        return torch.autograd.grad(loss, asked)[0]


def fast_gradient_sign(network: nn.Module, images: Tensor, labels: Tensor, radius: float) -> Tensor:
    """Make one step of a whole radius (FGSM; Goodfellow et al. 2015, arXiv 1412.6572)."""
    ball = Ball.around(images, radius)
    gradient = loss_gradient(network, images, labels)
    return ball.project(images + ball.radius * gradient.sign())


def projected_gradient(
    network: nn.Module, images: Tensor, labels: Tensor, radius: float, *, steps: int
) -> Tensor:
    """Make steps along the sign of the gradient from a random place (PGD; Madry et al. 2018)."""
    ball = Ball.around(images, radius)
    found = ball.anywhere()
    for _ in range(steps):
        gradient = loss_gradient(network, found, labels)
        found = ball.project(found + _REACH / steps * ball.radius * gradient.sign())
    return found


@torch.no_grad()
def square_search(
    network: nn.Module, images: Tensor, labels: Tensor, radius: float, *, queries: int
) -> Tensor:
    """Try squares of changed pixels and keep what helps (Square Attack); no gradient is asked for.

    Args:
        network: In evaluation mode.
        images: (N, C, H, W).
        labels: (N,) int64.
        radius: Share of the range of the pixels.
        queries: How often the network is asked about each image.

    Returns:
        The images for which the network was least sure of the label.
    """
    ball = Ball.around(images, radius)
    count, channels, height, width = images.shape
    stripes = torch.randint(0, 2, (count, channels, 1, width)) * 2 - 1
    best = ball.project(images + ball.radius * stripes)
    margin = margins(network(best)[0], labels)
    for query in range(1, queries):
        halvings = sum(query > share * queries for share in _HALVED_AFTER)
        share = _FIRST_SQUARE / 2**halvings
        side = max(1, min(round(math.sqrt(share * height * width)), height, width))
        row = int(torch.randint(0, height - side + 1, ()))
        column = int(torch.randint(0, width - side + 1, ()))
        signs = torch.randint(0, 2, (count, channels, 1, 1)) * 2 - 1
        window = (..., slice(row, row + side), slice(column, column + side))
        tried = best.clone()
        tried[window] = (images + ball.radius * signs)[window]
        tried = ball.project(tried)
        found = margins(network(tried)[0], labels)
        better = found < margin
        best[better], margin[better] = tried[better], found[better]
    return best


def margins(logits: Tensor, labels: Tensor) -> Tensor:
    """Return by how much (N,) the label's logit is above the largest other one."""
    own = logits.gather(1, labels[:, None])
    others = logits.scatter(1, labels[:, None], -torch.inf)
    return own[:, 0] - others.amax(dim=1)
