"""The dual-head networks: one small convolutional trunk, a regression and a classification head.

Five convolutions shrink 160x64 to 10x4, a 1x1 convolution thins the channels, a dense layer
reads the road. But for the variant ``paper``, command and speed scale and shift that layer's
features (FiLM, Perez et al. 2018), so one trunk serves every command. The heads of ``paper`` and
``conditional`` answer with steering, those of ``path`` with the road ahead, and those of ``pace``,
which sees two larger pictures, with how fast others and lights let one drive.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from edge.sidecar import ImageSpec
from models.networks.pace_classes import (
    FREE_MPS,
    LIGHTS,
    PACE_IMAGE,
    SPEED_CLASSES,
    SPEED_SCALE_MPS,
)
from models.networks.path_classes import (
    INTENT_COLUMNS,
    LOG_SCALE_RANGE,
    OFFSET_BINS,
    OFFSET_SCALES_M,
    PATH_DISTANCES_M,
)
from models.networks.steering_classes import (
    NETWORK_IMAGE,
    STEERING_CLASSES,
    STEERING_SCALE,
    SteeringVariant,
)

#: What a driver's network answers with, and what it sees.
Variant = Literal[SteeringVariant, "path", "pace"]
Contrast = Literal["none", "standardise"]

#: (output channels, kernel, stride) of each convolution; the product of the strides is 16.
_CONVOLUTIONS = ((16, 5, 2), (32, 3, 2), (64, 3, 2), (96, 3, 2), (96, 3, 1))
#: After the 1x1 convolution. The path network's 32 keep its file below 2 MB.
_REDUCED_CHANNELS: dict[Variant, int] = {"paper": 48, "conditional": 48, "path": 32, "pace": 32}
_FEATURES = 192
_SHARED = 128
_HEAD = 64
_PATH_CLASSIFICATION_HEAD = 96
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


class _TrunkNetwork(nn.Module):
    """What all variants share: from the inputs to the features that both heads read."""

    def __init__(self, settings: NetworkSettings) -> None:
        """Build the trunk with fresh weights from torch's global generator."""
        super().__init__()
        self.settings = settings
        layers: list[nn.Module] = []
        image = image_of(settings.variant)
        channels = 6 if settings.variant == "pace" else 3
        for width, kernel, stride in _CONVOLUTIONS:
            layers += [
                nn.Conv2d(channels, width, kernel, stride, kernel // 2, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(inplace=True),
            ]
            channels = width
        self.convolutions = nn.Sequential(*layers)
        reduced = _REDUCED_CHANNELS[settings.variant]
        self.reduce = nn.Sequential(nn.Conv2d(channels, reduced, 1), nn.ReLU())
        cells = (image.height // 16) * (image.width // 16)
        self.read = nn.Linear(reduced * cells, _FEATURES)
        self.condition: nn.Module | None = None
        if settings.variant != "paper":
            self.condition = _modulation(_COMMANDS + 1)
        self.shared = nn.Sequential(nn.Dropout(_DROPOUT), nn.Linear(_FEATURES, _SHARED), nn.ReLU())

    def _road(self, image: Tensor) -> Tensor:
        """Return the features (N, 192) of an image (N, 3, 64, 160)."""
        if self.settings.contrast == "standardise":
            image = _standardise(image)
        features: Tensor = self.read(self.reduce(self.convolutions(image)).flatten(1))
        return features

    def _modulate(self, features: Tensor, modulation: Tensor) -> Tensor:
        """Return what the heads read, (N, 128), of features (N, 192) scaled and shifted."""
        gain, shift = modulation.split(_FEATURES, dim=1)  # type: ignore[no-untyped-call]
        return self._share(features * (1.0 + gain) + shift)

    def _share(self, features: Tensor) -> Tensor:
        shared: Tensor = self.shared(torch.relu(features))
        return shared


class DualHeadNetwork(_TrunkNetwork):
    """Image (and speed and command) to steering and class logits: ``paper``, ``conditional``."""

    output_names = ("steer", "logits")

    def __init__(self, settings: NetworkSettings) -> None:
        """Build the network with fresh weights from torch's global generator."""
        super().__init__(settings)
        if settings.variant == "path" or settings.variant == "pace":
            raise ValueError(f"the variant {settings.variant!r} has a network of its own")
        self.variant: SteeringVariant = settings.variant
        classes = STEERING_CLASSES[self.variant].count
        self.regression = _head(_HEAD, 1)
        self.classification = _head(_HEAD, classes)

    def forward(
        self, image: Tensor, speed_mps: Tensor | None = None, command: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Compute both heads.

        Args:
            image: (N, 3, 64, 160) float32, scaled as `NETWORK_IMAGE` says.
            speed_mps: (N, 1) float32; ``paper`` does not look at it.
            command: (N, 4) float32 one-hot, columns `edge.driver_model.COMMANDS`; likewise.

        Returns:
            Raw steer (N, 1), not bounded, and class logits (N, 11).
        """
        features = self._road(image)
        if self.condition is None:
            shared = self._share(features)
        elif speed_mps is None or command is None:
            raise TypeError("the conditional variant needs speed_mps and command")
        else:
            shared = self._modulate(features, self.condition(_state(speed_mps, command)))
        return self.regression(shared) / STEERING_SCALE, self.classification(shared)


class PathNetwork(_TrunkNetwork):
    """Image, speed, command and lane intent to the offsets of the path ahead: ``path``."""

    output_names = ("offsets", "scales", "logits")
    _unit_m: Tensor

    def __init__(self, settings: NetworkSettings) -> None:
        """Build the network with fresh weights from torch's global generator."""
        super().__init__(settings)
        distances = len(PATH_DISTANCES_M)
        classes = sum(bins.count for bins in OFFSET_BINS)
        self.regression = _head(_HEAD, 2 * distances)
        self.classification = _head(_PATH_CLASSIFICATION_HEAD, classes)
        # The intent begins without a say, so that training decides whether it has any.
        self.intent = _modulation(INTENT_COLUMNS)
        for parameter in self.intent[2].parameters():
            nn.init.zeros_(parameter)
        self.register_buffer("_unit_m", torch.tensor(OFFSET_SCALES_M), persistent=False)

    def forward(
        self, image: Tensor, speed_mps: Tensor, command: Tensor, intent: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Compute both heads.

        Args:
            image: (N, 3, 64, 160) float32, scaled as `NETWORK_IMAGE` says.
            speed_mps: (N, 1) float32.
            command: (N, 4) float32 one-hot, columns `edge.driver_model.COMMANDS`.
            intent: (N, 5) float32, as `models.networks.path_classes.intent_input` makes it.

        Returns:
            Offsets (N, 5) and the scales (N, 5) of their Laplace distributions, metres, at
            `PATH_DISTANCES_M`, and class logits (N, 3, 13) at the distances of `OFFSET_BINS`.
        """
        offset, log_scale, logits = self.normalised(image, speed_mps, command, intent)
        return offset * self._unit_m, torch.exp(log_scale) * self._unit_m, logits

    def normalised(
        self, image: Tensor, speed_mps: Tensor, command: Tensor, intent: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return what `forward` does with offsets, and logarithms of scales, in `OFFSET_SCALES_M`.

        That is what the loss is made of.
        """
        assert self.condition is not None  # noqa: S101 - only `paper` has none
        modulation = self.condition(_state(speed_mps, command)) + self.intent(intent)
        shared = self._modulate(self._road(image), modulation)
        offset, log_scale = self.regression(shared).split(len(PATH_DISTANCES_M), dim=1)
        logits = self.classification(shared).reshape(-1, len(OFFSET_BINS), OFFSET_BINS[0].count)
        return offset, log_scale.clamp(*LOG_SCALE_RANGE), logits


class PaceNetwork(_TrunkNetwork):
    """Two images, speed and command to how fast others and lights let one drive: ``pace``.

    What is seen anywhere in the picture, such as a red lamp, goes to the heads beside what is seen
    where: it need not be learnt anew for every place.
    """

    output_names = ("speeds", "scales", "logits", "reasons")

    def __init__(self, settings: NetworkSettings) -> None:
        """Build the network with fresh weights from torch's global generator."""
        super().__init__(settings)
        self.anywhere = nn.Linear(_CONVOLUTIONS[-1][0], _FEATURES)
        self.regression = _head(_HEAD, 2)
        self.classification = _head(_HEAD, SPEED_CLASSES)
        self.reasons = _head(_HEAD, 3 + len(LIGHTS))

    def forward(
        self, image: Tensor, earlier: Tensor, speed_mps: Tensor, command: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Compute all heads.

        Args:
            image: (N, 3, 96, 256) float32, scaled as `PACE_IMAGE` says.
            earlier: Likewise, the picture of `EARLIER_TICKS` before.
            speed_mps: (N, 1) float32.
            command: (N, 4) float32 one-hot, columns `edge.driver_model.COMMANDS`.

        Returns:
            Speed (N, 1) in m/s and the scale (N, 1) of its Laplace distribution, class logits
            (N, 7), and the reasons (N, 7): distance and speed of the vehicle ahead, distance of the
            stop line, in the units of `PaceLabels`, and four logits of `LIGHTS`.
        """
        speed, log_scale, logits, reasons = self.normalised(
            torch.cat([image, earlier], dim=1), speed_mps, command
        )
        believed_mps = (speed * SPEED_SCALE_MPS).clamp(0.0, FREE_MPS)
        return believed_mps, torch.exp(log_scale) * SPEED_SCALE_MPS, logits, reasons

    def normalised(
        self, images: Tensor, speed_mps: Tensor, command: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return speed and logarithm of its scale (N, 1) in `SPEED_SCALE_MPS`, and the other heads.

        That is what the loss is made of. Images are (N, 6, 96, 256): the picture, and the earlier.
        """
        assert self.condition is not None  # noqa: S101 - only `paper` has none
        seen = self.convolutions(images)
        features = self.read(self.reduce(seen).flatten(1)) + self.anywhere(seen.amax(dim=(2, 3)))
        shared = self._modulate(features, self.condition(_state(speed_mps, command)))
        found = self.regression(shared)
        speed, log_scale = found[:, :1], found[:, 1:].clamp(*LOG_SCALE_RANGE)
        return speed, log_scale, self.classification(shared), self.reasons(shared)


DriverNetwork = DualHeadNetwork | PathNetwork | PaceNetwork


def build_network(settings: NetworkSettings) -> DriverNetwork:
    """Build the network of a variant with fresh weights from torch's global generator."""
    if settings.variant == "path":
        return PathNetwork(settings)
    return PaceNetwork(settings) if settings.variant == "pace" else DualHeadNetwork(settings)


def image_of(variant: Variant) -> ImageSpec:
    """Return how a variant's network sees pictures."""
    return PACE_IMAGE if variant == "pace" else NETWORK_IMAGE


def _head(width: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(_SHARED, width), nn.ReLU(), nn.Linear(width, outputs))


def _modulation(inputs: int) -> nn.Sequential:
    """Return the layers that turn an input into gains and shifts of the features."""
    return nn.Sequential(nn.Linear(inputs, 32), nn.ReLU(), nn.Linear(32, 2 * _FEATURES))


def _state(speed_mps: Tensor, command: Tensor) -> Tensor:
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
