"""The dual-head networks: a regression and a classification head on one small trunk.

The heads of ``paper`` and ``conditional`` answer with steering, those of ``path`` with the road
ahead, and those of ``pace``, which sees two larger pictures, with how fast others and lights let
one drive.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.networks.driver_trunk import (
    HEAD,
    NetworkSettings,
    TrunkNetwork,
    head,
    modulation_layers,
    state_columns,
)
from models.networks.pace_network import PaceNetwork
from models.networks.path_classes import (
    INTENT_COLUMNS,
    LOG_SCALE_RANGE,
    OFFSET_BINS,
    OFFSET_SCALES_M,
    PATH_DISTANCES_M,
)
from models.networks.steering_classes import STEERING_CLASSES, STEERING_SCALE, SteeringVariant

_PATH_CLASSIFICATION_HEAD = 96


class DualHeadNetwork(TrunkNetwork):
    """Image (and speed and command) to steering and class logits: ``paper``, ``conditional``."""

    output_names = ("steer", "logits")

    def __init__(self, settings: NetworkSettings) -> None:
        """Build the network with fresh weights from torch's global generator."""
        super().__init__(settings)
        if settings.variant == "path" or settings.variant == "pace":
            raise ValueError(f"the variant {settings.variant!r} has a network of its own")
        self.variant: SteeringVariant = settings.variant
        classes = STEERING_CLASSES[self.variant].count
        self.regression = head(HEAD, 1)
        self.classification = head(HEAD, classes)

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
            shared = self._modulate(features, self.condition(state_columns(speed_mps, command)))
        return self.regression(shared) / STEERING_SCALE, self.classification(shared)


class PathNetwork(TrunkNetwork):
    """Image, speed, command and lane intent to the offsets of the path ahead: ``path``."""

    output_names = ("offsets", "scales", "logits")
    _unit_m: Tensor

    def __init__(self, settings: NetworkSettings) -> None:
        """Build the network with fresh weights from torch's global generator."""
        super().__init__(settings)
        distances = len(PATH_DISTANCES_M)
        classes = sum(bins.count for bins in OFFSET_BINS)
        self.regression = head(HEAD, 2 * distances)
        self.classification = head(_PATH_CLASSIFICATION_HEAD, classes)
        # The intent begins without a say, so that training decides whether it has any.
        self.intent = modulation_layers(INTENT_COLUMNS)
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
        modulation = self.condition(state_columns(speed_mps, command)) + self.intent(intent)
        shared = self._modulate(self._road(image), modulation)
        offset, log_scale = self.regression(shared).split(len(PATH_DISTANCES_M), dim=1)
        logits = self.classification(shared).reshape(-1, len(OFFSET_BINS), OFFSET_BINS[0].count)
        return offset, log_scale.clamp(*LOG_SCALE_RANGE), logits


DriverNetwork = DualHeadNetwork | PathNetwork | PaceNetwork


def build_network(settings: NetworkSettings) -> DriverNetwork:
    """Build the network of a variant with fresh weights from torch's global generator."""
    if settings.variant == "path":
        return PathNetwork(settings)
    return PaceNetwork(settings) if settings.variant == "pace" else DualHeadNetwork(settings)
