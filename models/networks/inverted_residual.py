"""Inverted residuals with depthwise convolutions (MobileNetV2, Sandler et al. 2018, 1801.04381)."""

from __future__ import annotations

from torch import Tensor, nn

from models.networks.layers import ImageShape, PooledNetwork, conv_norm, conv_norm_relu

_EXPANSION = 4


class InvertedResidual(nn.Module):
    """Widen with 1x1, filter each channel with 3x3, narrow with 1x1 and no activation."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        hidden = _EXPANSION * inputs
        self.body = nn.Sequential(
            conv_norm_relu(inputs, hidden, 1),
            conv_norm_relu(hidden, hidden, stride=stride, groups=hidden),
            conv_norm(hidden, outputs, 1),
        )
        self.has_shortcut = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""
        y: Tensor = self.body(x)
        return x + y if self.has_shortcut else y


class InvertedResidualNetwork(PooledNetwork):
    """A stride-2 stem, then six inverted residuals; the size halves once more after two."""

    def __init__(self, shape: ImageShape, *, width: int) -> None:
        super().__init__(
            conv_norm_relu(shape.channels, width, stride=2),
            InvertedResidual(width, width, 1),
            InvertedResidual(width, width, 1),
            InvertedResidual(width, 2 * width, 2),
            InvertedResidual(2 * width, 2 * width, 1),
            InvertedResidual(2 * width, 2 * width, 1),
            InvertedResidual(2 * width, 3 * width, 1),
            conv_norm_relu(3 * width, 6 * width, 1),
            features=6 * width,
            classes=shape.classes,
        )
