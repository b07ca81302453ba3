"""Branches in training, one convolution at run time (RepVGG, Ding et al. 2021, 2101.03697)."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.networks.layers import ImageShape, PooledNetwork, affine_of_norm, conv_norm


class RepVggBlock(nn.Module):
    """The sum of a 3x3, a 1x1 and, where the shape allows, an identity branch, then a ReLU."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.wide = conv_norm(inputs, outputs, 3, stride=stride)
        self.narrow = conv_norm(inputs, outputs, 1, stride=stride)
        self.identity = nn.BatchNorm2d(inputs) if inputs == outputs and stride == 1 else None

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""
        y = self.wide(x) + self.narrow(x)
        if self.identity is not None:
            y = y + self.identity(x)
        return torch.relu(y)

    def fused(self) -> nn.Sequential:
        """Return one 3x3 convolution with bias, and the ReLU, that compute the same."""
        kernel, bias = _fold(self.wide)
        narrow, narrow_bias = _fold(self.narrow)
        kernel, bias = kernel + functional.pad(narrow, [1] * 4), bias + narrow_bias
        if self.identity is not None:
            gain, offset = affine_of_norm(self.identity)
            unit = torch.diag(gain)[:, :, None, None]
            kernel, bias = kernel + functional.pad(unit, [1] * 4), bias + offset
        layer = nn.Conv2d(kernel.shape[1], kernel.shape[0], 3, self.stride, padding=1)
        layer.weight, layer.bias = nn.Parameter(kernel.detach()), nn.Parameter(bias.detach())
        return nn.Sequential(layer, nn.ReLU())


class RepVggNetwork(PooledNetwork):
    """Three stages of blocks; the first block of the second and third stage halves the size."""

    def __init__(self, shape: ImageShape, *, width: int) -> None:
        super().__init__(
            RepVggBlock(shape.channels, width, 1),
            RepVggBlock(width, width, 1),
            RepVggBlock(width, 2 * width, 2),
            RepVggBlock(2 * width, 2 * width, 1),
            RepVggBlock(2 * width, 2 * width, 1),
            RepVggBlock(2 * width, 4 * width, 2),
            RepVggBlock(4 * width, 4 * width, 1),
            features=4 * width,
            classes=shape.classes,
        )

    def fused(self) -> RepVggNetwork:
        """Return a copy for run time whose blocks are single convolutions."""
        network = copy.deepcopy(self)
        for index, layer in enumerate(network.trunk):
            if isinstance(layer, RepVggBlock):
                network.trunk[index] = layer.fused()
        return network.eval()


def _fold(layer: nn.Sequential) -> tuple[Tensor, Tensor]:
    """Fold the batch normalisation of a `conv_norm` into its convolution: kernel and bias."""
    convolution, norm = layer
    assert isinstance(convolution, nn.Conv2d)  # noqa: S101 - built by conv_norm
    assert isinstance(norm, nn.BatchNorm2d)  # noqa: S101
    gain, offset = affine_of_norm(norm)
    return convolution.weight * gain[:, None, None, None], offset
