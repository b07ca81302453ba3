"""Two small branches on the same picture (Isong 2025, arXiv 2501.15547): 14,862 parameters.

The merged network of the paper's released notebook: each branch ends in ten values, once a class
head of its own and here a 5x5 convolution with ReLU, and a small classifier joins both.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.networks.layers import ImageShape

_BRANCH_OUTPUTS = 10
_HIDDEN = 32


class DualBranchNetwork(nn.Module):
    """Exactly 14,862 parameters for pictures of 28 x 28 x 1 and ten classes."""

    def __init__(self, shape: ImageShape) -> None:
        super().__init__()
        self.first = _branch(shape.channels)
        self.second = _branch(shape.channels)
        self.join = nn.Sequential(nn.Linear(2 * _BRANCH_OUTPUTS, _HIDDEN), nn.ReLU())
        self.head = nn.Sequential(nn.Dropout(0.5), nn.Linear(_HIDDEN, shape.classes))
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):  # he_normal, as in the notebook
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map images (N, channels, H, W) to logits (N, classes) and features (N, 32)."""
        features = self.join(torch.cat([self.first(x), self.second(x)], dim=1))
        return self.head(features), features


def _branch(channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, 10, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(10, 20, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(20, _BRANCH_OUTPUTS, 5),
        nn.ReLU(),
        # One place is left of 28 x 28 pixels; of a larger picture, the strongest answer counts.
        nn.AdaptiveMaxPool2d(1),
        nn.Flatten(),
    )
