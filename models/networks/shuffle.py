"""Channel split and shuffle (ShuffleNet V2, Ma et al. 2018, arXiv 1807.11164)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.networks.layers import ImageShape, PooledNetwork, conv_norm, conv_norm_relu


class ShuffleUnit(nn.Module):
    """Work on one half of the channels, pass the other half on, then mix both by a shuffle.

    With `downsample` both halves see all channels, the size halves, and the channels double.
    """

    def __init__(self, channels: int, *, downsample: bool) -> None:
        super().__init__()
        self.downsample = downsample
        inputs = channels if downsample else channels // 2
        half, stride = inputs, 2 if downsample else 1
        self.body = nn.Sequential(
            conv_norm_relu(inputs, half, 1),
            conv_norm(half, half, stride=stride, groups=half),
            conv_norm_relu(half, half, 1),
        )
        self.bypass: nn.Module = nn.Identity()
        if downsample:
            self.bypass = nn.Sequential(
                conv_norm(inputs, inputs, stride=2, groups=inputs),
                conv_norm_relu(inputs, half, 1),
            )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape, or to (N, 2 C, H / 2, W / 2)."""
        if self.downsample:
            left, right = x, x
        else:
            left, right = x.chunk(2, dim=1)
        joined = torch.cat([self.bypass(left), self.body(right)], dim=1)
        # Interleave the halves: channel k of the left stands beside channel k of the right.
        _, count, rows, columns = joined.shape
        pairs = joined.reshape(-1, 2, count // 2, rows, columns)
        return pairs.transpose(1, 2).reshape(-1, count, rows, columns)


class ShuffleNetwork(PooledNetwork):
    """A full-size stem, then two stages of one halving and two plain units each."""

    def __init__(self, shape: ImageShape, *, width: int) -> None:
        layers: list[nn.Module] = [conv_norm_relu(shape.channels, width)]
        for stage in range(2):
            layers.append(ShuffleUnit(width << stage, downsample=True))
            layers += [ShuffleUnit(width << (stage + 1), downsample=False) for _ in range(2)]
        last = 4 * width
        layers.append(conv_norm_relu(last, 2 * last, 1))
        super().__init__(*layers, features=2 * last, classes=shape.classes)
