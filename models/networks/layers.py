"""What most families share: the shape that they are built for, and their commonest layers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

#: Pixels of a side of a patch.
_PATCH = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageShape:
    """What a network is built for: channels, rows and columns of its pictures, and classes."""

    channels: int
    height: int
    width: int
    classes: int


class PooledNetwork(nn.Module):
    """Layers, the mean over the picture, and one linear layer for the classes.

    Args:
        layers: What sees the picture, in order.
        features: Channels of what the last of them returns.
        classes: Number of classes.
    """

    def __init__(self, *layers: nn.Module, features: int, classes: int) -> None:
        super().__init__()
        self.trunk = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(features, classes)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map images (N, channels, H, W) to logits (N, classes) and features (N, features)."""
        features = self.trunk(x)
        return self.head(features), features


def conv_norm(
    inputs: int, outputs: int, kernel: int = 3, *, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    """Build a convolution that keeps the size (over stride), with batch normalisation.

    Args:
        inputs: Input channels.
        outputs: Output channels.
        kernel: Rows and columns of the kernel, odd.
        stride: Step in both directions.
        groups: Groups of channels; `inputs` for a depthwise convolution.
    """
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    )


def conv_norm_relu(
    inputs: int, outputs: int, kernel: int = 3, *, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    """Build `conv_norm` with a ReLU behind it."""
    return conv_norm(inputs, outputs, kernel, stride=stride, groups=groups).append(
        nn.ReLU(inplace=True)
    )


def patch_grid(shape: ImageShape) -> tuple[int, int]:
    """Return rows and columns of the patches of a picture, which the last ones may stand out of."""
    return -(-shape.height // _PATCH), -(-shape.width // _PATCH)


class Patches(nn.Module):
    """Cut pictures into patches of 4x4 pixels; a picture of another size is padded with zeros."""

    def __init__(self, shape: ImageShape) -> None:
        super().__init__()
        rows, columns = patch_grid(shape)
        self.channels, self.rows, self.columns = shape.channels, rows, columns
        self.padding = (0, columns * _PATCH - shape.width, 0, rows * _PATCH - shape.height)
        self.groups = (rows * columns, shape.channels * _PATCH * _PATCH)

    def forward(self, x: Tensor) -> Tensor:
        """Map images (N, channels, H, W) to patches (N, patches, numbers of a patch)."""
        if any(self.padding):
            x = functional.pad(x, self.padding)
        cut = x.reshape(-1, self.channels, self.rows, _PATCH, self.columns, _PATCH)
        return cut.permute(0, 2, 4, 1, 3, 5).reshape(-1, *self.groups)


def embed_patches(channels: int, width: int) -> nn.Sequential:
    """Build two convolutions that make `width` numbers of every patch of 4x4 pixels.

    Transformers learn better from these than from one linear map (Xiao et al. 2021, 2106.14881).
    """
    return nn.Sequential(
        conv_norm_relu(channels, width // 2, 3, stride=2),
        nn.Conv2d(width // 2, width, 3, stride=2, padding=1),
    )


def affine_of_norm(norm: nn.BatchNorm1d | nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Return gain and offset (C,) of a batch normalisation in evaluation mode."""
    assert norm.running_mean is not None  # noqa: S101 - it tracks its statistics
    assert norm.running_var is not None  # noqa: S101
    gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    return gain, norm.bias - norm.running_mean * gain
