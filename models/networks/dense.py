"""Dense connections (DenseNet, Huang et al. 2017, arXiv 1608.06993): layers see all before them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.networks.layers import ImageShape, PooledNetwork, conv_norm_relu


class DenseLayer(nn.Module):
    """Append `growth` new channels to those that came in."""

    def __init__(self, inputs: int, growth: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            conv_norm_relu(inputs, 2 * growth, 1), conv_norm_relu(2 * growth, growth, 3)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs, H, W) to (N, inputs + growth, H, W)."""
        return torch.cat([x, self.body(x)], dim=1)


class DenseNetwork(PooledNetwork):
    """A stride-2 stem and two dense blocks; a transition halves channels and size between them."""

    def __init__(self, shape: ImageShape, *, growth: int, depth: int) -> None:
        count = 2 * growth
        layers: list[nn.Module] = [conv_norm_relu(shape.channels, count, 5, stride=2)]
        for block in range(2):
            for _ in range(depth):
                layers.append(DenseLayer(count, growth))
                count += growth
            if block == 0:
                layers += [conv_norm_relu(count, count // 2, 1), nn.AvgPool2d(2)]
                count //= 2
        super().__init__(*layers, features=count, classes=shape.classes)
