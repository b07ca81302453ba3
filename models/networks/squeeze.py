"""Fire modules (SqueezeNet, Iandola et al. 2016, arXiv 1602.07360), with batch normalisation."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.networks.layers import ImageShape, PooledNetwork, conv_norm_relu


class FireModule(nn.Module):
    """Squeeze with 1x1, then expand with 1x1 and 3x3 side by side."""

    def __init__(self, inputs: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze = conv_norm_relu(inputs, squeezed, 1)
        self.narrow = conv_norm_relu(squeezed, expanded, 1)
        self.wide = conv_norm_relu(squeezed, expanded, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs, H, W) to (N, 2 expanded, H, W)."""
        squeezed = self.squeeze(x)
        return torch.cat([self.narrow(squeezed), self.wide(squeezed)], dim=1)


class SqueezeNetwork(PooledNetwork):
    """A 5x5 stem and pairs of fire modules between max pooling."""

    def __init__(self, shape: ImageShape, *, width: int) -> None:
        super().__init__(
            conv_norm_relu(shape.channels, 2 * width, 5),
            nn.MaxPool2d(2),
            FireModule(2 * width, width, 2 * width),
            FireModule(4 * width, width, 2 * width),
            nn.MaxPool2d(2),
            FireModule(4 * width, 2 * width, 4 * width),
            FireModule(8 * width, 2 * width, 4 * width),
            features=8 * width,
            classes=shape.classes,
        )
