"""What all driver's networks share: a small convolutional trunk, and the layers of their heads.

Five convolutions shrink 160x64 to 10x4, a 1x1 convolution thins the channels, a dense layer
reads the road. But for the variant ``paper``, command and speed scale and shift that layer's
features (FiLM, Perez et al. 2018), so one trunk serves every command.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from edge.sidecar import ImageSpec
from models.networks.pace_classes import PACE_IMAGE
from models.networks.steering_classes import NETWORK_IMAGE, SteeringVariant

#: What a driver's network answers with, and what it sees.
Variant = Literal[SteeringVariant, "path", "pace"]
Contrast = Literal["none", "standardise"]

#: Features that the trunk gives, and the width of a head.
FEATURES = 192
HEAD = 64
#: (output channels, kernel, stride) of each convolution; the product of the strides is 16.
_CONVOLUTIONS = ((16, 5, 2), (32, 3, 2), (64, 3, 2), (96, 3, 2), (96, 3, 1))
#: After the 1x1 convolution. The path network's 32 keep its file below 2 MB.
_REDUCED_CHANNELS: dict[Variant, int] = {"paper": 48, "conditional": 48, "path": 32, "pace": 32}
_SHARED = 128
_DROPOUT = 0.2
#: Speeds are divided by this, so that the input is near 1 (m/s).
_SPEED_SCALE_MPS = 10.0
_COMMANDS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSettings:
    """What distinguishes one network from another.

    Attributes:
        variant: ``paper`` (image only), ``conditional`` (image, speed, command), ``path`` (these
            and the lane intent) or ``pace`` (these and an earlier image).
        contrast: ``standardise`` subtracts each picture's mean and divides by its standard
            deviation inside the graph: a view in which a dark street looks like a bright one.
    """

    variant: Variant = "conditional"
    contrast: Contrast = "none"


class TrunkNetwork(nn.Module):
    """What all variants share: from the inputs to the features that both heads read."""

    def __init__(self, settings: NetworkSettings) -> None:
        """Build the trunk with fresh weights from torch's global generator."""
        super().__init__()
        self.settings = settings
        # The pace network's larger pictures are halved first.
        image, pixels = image_of(settings.variant), 32 if settings.variant == "pace" else 16
        self.convolutions = convolution_stack(6 if settings.variant == "pace" else 3, _CONVOLUTIONS)
        reduced = _REDUCED_CHANNELS[settings.variant]
        self.reduce = nn.Sequential(nn.Conv2d(_CONVOLUTIONS[-1][0], reduced, 1), nn.ReLU())
        cells = (image.height // pixels) * (image.width // pixels)
        self.read = nn.Linear(reduced * cells, FEATURES)
        self.condition: nn.Module | None = None
        if settings.variant != "paper":
            self.condition = modulation_layers(_COMMANDS + 1)
        self.shared = nn.Sequential(nn.Dropout(_DROPOUT), nn.Linear(FEATURES, _SHARED), nn.ReLU())

    def _road(self, image: Tensor) -> Tensor:
        """Return the features (N, 192) of an image (N, 3, 64, 160)."""
        if self.settings.contrast == "standardise":
            image = _standardise(image)
        features: Tensor = self.read(self.reduce(self.convolutions(image)).flatten(1))
        return features

    def _modulate(self, features: Tensor, modulation: Tensor) -> Tensor:
        """Return what the heads read, (N, 128), of features (N, 192) scaled and shifted."""
        gain, shift = modulation.split(FEATURES, dim=1)  # type: ignore[no-untyped-call]
        return self._share(features * (1.0 + gain) + shift)

    def _share(self, features: Tensor) -> Tensor:
        shared: Tensor = self.shared(torch.relu(features))
        return shared


def image_of(variant: Variant) -> ImageSpec:
    """Return how a variant's network sees pictures."""
    return PACE_IMAGE if variant == "pace" else NETWORK_IMAGE


def convolution_stack(channels: int, shapes: Sequence[tuple[int, int, int]]) -> nn.Sequential:
    """Return convolutions of (output channels, kernel, stride), each normalised and rectified."""
    layers: list[nn.Module] = []
    for width, kernel, stride in shapes:
        layers += [
            nn.Conv2d(channels, width, kernel, stride, kernel // 2, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
        ]
        channels = width
    return nn.Sequential(*layers)


def head(width: int, outputs: int) -> nn.Sequential:
    """Return the layers from what the trunk shares to some outputs."""
    return nn.Sequential(nn.Linear(_SHARED, width), nn.ReLU(), nn.Linear(width, outputs))


def modulation_layers(inputs: int) -> nn.Sequential:
    """Return the layers that turn an input into gains and shifts of the features."""
    return nn.Sequential(nn.Linear(inputs, 32), nn.ReLU(), nn.Linear(32, 2 * FEATURES))


def state_columns(speed_mps: Tensor, command: Tensor) -> Tensor:
    """Return (N, 5): the commands' columns, and the speed in a unit near 1."""
    return torch.cat([command, speed_mps / _SPEED_SCALE_MPS], dim=1)


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
