"""Residual networks (He et al. 2016, arXiv 1512.03385), narrow and shallow, or wide.

The wide ones are the large single references (Zagoruyko and Komodakis 2016, arXiv 1605.07146).
Their activation comes after the sum, so that every batch normalisation folds into its convolution
at export; the later stages have two blocks.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.networks.layers import ImageShape, PooledNetwork, conv_norm, conv_norm_relu


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


class ResidualNetwork(PooledNetwork):
    """Three stages of `width`, 2 `width` and 4 `width` channels; the size halves between them."""

    def __init__(self, shape: ImageShape, *, width: int, blocks: Sequence[int] = (1, 1, 1)) -> None:
        layers: list[nn.Module] = [conv_norm_relu(shape.channels, width)]
        inputs = width
        for stage, count in enumerate(blocks):
            for block in range(count):
                outputs = width << stage
                stride = 2 if stage > 0 and block == 0 else 1
                layers.append(ResidualBlock(inputs, outputs, stride))
                inputs = outputs
        super().__init__(*layers, features=inputs, classes=shape.classes)
