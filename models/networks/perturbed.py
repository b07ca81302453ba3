"""A small network, and the same one trained on pictures that were changed to deceive it.

Training on what projected gradient descent makes of each batch is the method of Madry et al. 2018
(arXiv 1706.06083). It costs as many passes more as the attack has steps.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.attacks import Ball, projected_gradient
from models.networks.layers import ImageShape

#: Slope of the leaky ReLUs, as in the code of the hybrid adversarial networks.
SLOPE = 0.2

#: Takes a network, images (B, C, H, W) and labels (B,); returns the images to learn from.
Perturbation = Callable[[nn.Module, Tensor, Tensor], Tensor]


class StridedNetwork(nn.Module):
    """Two convolutions of 4x4 pixels that each halve the picture, and two dense layers.

    Args:
        shape: Of the pictures.
        outputs: Numbers that it answers with; None: one for each class.
        width: Channels of the first convolution; the second has twice as many.
        hidden: Units of the first dense layer.
    """

    def __init__(
        self, shape: ImageShape, *, outputs: int | None = None, width: int = 16, hidden: int = 128
    ) -> None:
        super().__init__()
        left = (shape.height // 4) * (shape.width // 4)
        self.first = nn.Conv2d(shape.channels, width, 4, stride=2, padding=1)
        self.second = nn.Conv2d(width, 2 * width, 4, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(2 * width)
        self.dense = nn.Linear(2 * width * left, hidden)
        self.head = nn.Linear(hidden, shape.classes if outputs is None else outputs)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map images (N, channels, H, W) to logits (N, outputs) and features (N, hidden)."""
        x = functional.leaky_relu(self.first(x), SLOPE)
        x = functional.leaky_relu(self.norm(self.second(x)), SLOPE)
        features = torch.relu(self.dense(x.flatten(1)))
        return self.head(features), features


class PerturbedNetwork(StridedNetwork):
    """A `StridedNetwork` that learns from changed images alone."""

    def __init__(self, shape: ImageShape, *, perturb: Perturbation) -> None:
        super().__init__(shape)
        self._perturb = perturb

    def loss(self, images: Tensor, labels: Tensor) -> Tensor:
        """Return the cross-entropy of images (B, C, H, W) after they were changed."""
        changed = self._perturb(self, images, labels)
        return functional.cross_entropy(self(changed)[0], labels)


def by_attack(network: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Change a tenth of the range at most, in five steps along the gradient.

    The attacked network is in evaluation mode, so that its statistics are those of the images it
    learns from, and an image's attack does not depend on the others of its batch.
    """
    network.eval()
    changed = projected_gradient(network, images, labels, 0.1, steps=5)
    network.train()
    return changed


def by_noise(_network: nn.Module, images: Tensor, _labels: Tensor) -> Tensor:
    """Change as much at random; what `by_attack` is held against."""
    return Ball.around(images, 0.1).anywhere()
