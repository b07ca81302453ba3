"""Plain stacks of 3x3 convolutions and max pooling (Simonyan and Zisserman 2015, 1409.1556)."""

from __future__ import annotations

from torch import Tensor, nn

from models.networks.convolution import conv_norm_relu


class VggNetwork(nn.Module):
    """Five convolutions: two, pool, two, pool, one; then the mean over the picture."""

    def __init__(self, channels: int, classes: int, *, width: int) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            conv_norm_relu(channels, width),
            conv_norm_relu(width, width),
            nn.MaxPool2d(2),
            conv_norm_relu(width, 2 * width),
            conv_norm_relu(2 * width, 2 * width),
            nn.MaxPool2d(2),
            conv_norm_relu(2 * width, 4 * width),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        self.head = nn.Linear(4 * width, classes)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map images (N, channels, H, W) to logits (N, classes) and features (N, 4 width)."""
        features = self.trunk(x)
        return self.head(features), features
