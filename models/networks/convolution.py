"""The layers that most families share: convolution and batch normalisation, and ReLU."""

from __future__ import annotations

from torch import nn


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
