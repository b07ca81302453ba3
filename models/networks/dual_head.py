"""The dual-head network: one small convolutional trunk, a steering value and a steering class.

Five convolutions shrink 160x64 to 10x4, a 1x1 convolution thins the channels, a dense layer
reads the road. In the variant ``conditional`` command and speed scale and shift that layer's
features (FiLM, Perez et al. 2018), so one trunk serves every command.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from models.networks.steering_classes import (
    NETWORK_IMAGE,
    STEERING_CLASSES,
    STEERING_SCALE,
    Variant,
)

Contrast = Literal["none", "standardise"]

#: (output channels, kernel, stride) of each convolution; the product of the strides is 16.
_CONVOLUTIONS = ((16, 5, 2), (32, 3, 2), (64, 3, 2), (96, 3, 2), (96, 3, 1))
_REDUCED_CHANNELS = 48
_FEATURES = 192
_SHARED = 128
_HEAD = 64
_DROPOUT = 0.2
#: Speeds are divided by this, so that the input is near 1 (m/s).
_SPEED_SCALE_MPS = 10.0
_COMMANDS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSettings:
    """What distinguishes one network from another.

    Attributes:
        variant: ``paper`` (image only) or ``conditional`` (image, speed, command).
        contrast: ``standardise`` subtracts each picture's mean and divides by its standard
            deviation inside the graph: a view in which a dark street looks like a bright one.
    """

    variant: Variant = "conditional"
    contrast: Contrast = "none"


class DualHeadNetwork(nn.Module):
    """Image (and speed and command) to steering and class logits."""

    def __init__(self, settings: NetworkSettings) -> None:
        """Build the network with fresh weights from torch's global generator."""
        super().__init__()
        self.settings = settings
        layers: list[nn.Module] = []
        channels = 3
        for width, kernel, stride in _CONVOLUTIONS:
            layers += [
                nn.Conv2d(channels, width, kernel, stride, kernel // 2, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(inplace=True),
            ]
            channels = width
        self.convolutions = nn.Sequential(*layers)
        self.reduce = nn.Sequential(nn.Conv2d(channels, _REDUCED_CHANNELS, 1), nn.ReLU())
        cells = (NETWORK_IMAGE.height // 16) * (NETWORK_IMAGE.width // 16)
        self.read = nn.Linear(_REDUCED_CHANNELS * cells, _FEATURES)
        self.condition: nn.Module | None = None
        if settings.variant == "conditional":
            self.condition = nn.Sequential(
                nn.Linear(_COMMANDS + 1, 32), nn.ReLU(), nn.Linear(32, 2 * _FEATURES)
            )
        self.shared = nn.Sequential(nn.Dropout(_DROPOUT), nn.Linear(_FEATURES, _SHARED), nn.ReLU())
        classes = STEERING_CLASSES[settings.variant].count
        self.regression = nn.Sequential(nn.Linear(_SHARED, _HEAD), nn.ReLU(), nn.Linear(_HEAD, 1))
        self.classification = nn.Sequential(
            nn.Linear(_SHARED, _HEAD), nn.ReLU(), nn.Linear(_HEAD, classes)
        )

    def forward(
        self, image: Tensor, speed_mps: Tensor | None = None, command: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Compute both heads.

        Args:
            image: (N, 3, 64, 160) float32, scaled as `NETWORK_IMAGE` says.
            speed_mps: (N, 1) float32; None for ``paper``.
            command: (N, 4) float32 one-hot, columns `edge.dual_head.COMMANDS`; None for ``paper``.

        Returns:
            Raw steer (N, 1), not bounded, and class logits (N, 11).
        """
        if self.settings.contrast == "standardise":
            image = _standardise(image)
        features = self.read(self.reduce(self.convolutions(image)).flatten(1))
        if self.condition is not None:
            if speed_mps is None or command is None:
                raise TypeError("the conditional variant needs speed_mps and command")
            gain, shift = self.condition(
                torch.cat([command, speed_mps / _SPEED_SCALE_MPS], dim=1)
            ).split(_FEATURES, dim=1)
            features = features * (1.0 + gain) + shift
        shared = self.shared(torch.relu(features))
        return self.regression(shared) / STEERING_SCALE, self.classification(shared)


def _standardise(image: Tensor) -> Tensor:
    """Give every picture mean 0 and standard deviation 1 over all pixels and channels."""
    centred = image - _picture_mean(image)
    variance = _picture_mean(centred * centred)
    # The floor is a hundredth of the scaled range: a black picture must not become noise.
    return centred / (variance.sqrt() + 0.02)


def _picture_mean(image: Tensor) -> Tensor:
    """Return the mean (N, 1, 1, 1) in short sums.

    One sum over 30,000 float32 values errs by 1e-5, differently in every runtime, and a dark
    picture's small standard deviation would enlarge that a hundredfold.
    """
    by_row = image.mean(dim=3, keepdim=True)
    by_channel = by_row.mean(dim=2, keepdim=True)
    return by_channel.mean(dim=1, keepdim=True)
