"""Plain stacks of 3x3 convolutions and max pooling (Simonyan and Zisserman 2015, 1409.1556)."""

from __future__ import annotations

from torch import nn

from models.networks.layers import ImageShape, PooledNetwork, conv_norm_relu


class VggNetwork(PooledNetwork):
    """Five convolutions: two, pool, two, pool, one; then the mean over the picture."""

    def __init__(self, shape: ImageShape, *, width: int) -> None:
        super().__init__(
            conv_norm_relu(shape.channels, width),
            conv_norm_relu(width, width),
            nn.MaxPool2d(2),
            conv_norm_relu(width, 2 * width),
            conv_norm_relu(2 * width, 2 * width),
            nn.MaxPool2d(2),
            conv_norm_relu(2 * width, 4 * width),
            features=4 * width,
            classes=shape.classes,
        )
