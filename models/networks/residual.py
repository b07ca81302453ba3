"""Residual networks (He et al. 2016, arXiv 1512.03385), narrow and shallow."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.networks.convolution import conv_norm, conv_norm_relu


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions around a shortcut, which is projected where the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            conv_norm_relu(inputs, outputs, stride=stride),
            conv_norm(outputs, outputs),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = conv_norm(inputs, outputs, 1, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""
        return torch.relu(self.body(x) + self.shortcut(x))


class ResidualNetwork(nn.Module):
    """Three stages of `width`, 2 `width` and 4 `width` channels; the size halves between them."""

    def __init__(
        self, channels: int, classes: int, *, width: int, blocks: Sequence[int] = (1, 1, 1)
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = [conv_norm_relu(channels, width)]
        inputs = width
        for stage, count in enumerate(blocks):
            for block in range(count):
                outputs = width << stage
                stride = 2 if stage > 0 and block == 0 else 1
                layers.append(ResidualBlock(inputs, outputs, stride))
                inputs = outputs
        self.trunk = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(inputs, classes)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map images (N, channels, H, W) to logits (N, classes) and features (N, 4 width)."""
        features = self.trunk(x)
        return self.head(features), features
