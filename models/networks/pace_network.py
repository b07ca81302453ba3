"""The dual-head network of the variant ``pace``: how fast others and lights let one drive."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.networks.driver_trunk import (
    FEATURES,
    HEAD,
    NetworkSettings,
    TrunkNetwork,
    convolution_stack,
    head,
    state_columns,
)
from models.networks.pace_classes import (
    FREE_MPS,
    LAMP_ROWS,
    LIGHTS,
    PACE_IMAGE,
    SPEED_CLASSES,
    SPEED_SCALE_MPS,
)
from models.networks.path_classes import LOG_SCALE_RANGE

#: (output channels, kernel, stride): the upper rows of a picture, 96x320, become 6x20.
_LAMP_CONVOLUTIONS = ((32, 5, 4), (48, 3, 2), (64, 3, 2))


class PaceNetwork(TrunkNetwork):
    """Two images, speed and command to how fast others and lights let one drive: ``pace``.

    The trunk sees both images at half their size. Lamps are too small for that: the upper part of
    the newer image, not reduced, has convolutions of its own, and what they find counts at any
    height in a tenth of the width, so that it need not be learnt anew for every place.
    """

    output_names = ("speeds", "scales", "logits", "reasons")

    def __init__(self, settings: NetworkSettings) -> None:
        """Build the network with fresh weights from torch's global generator."""
        super().__init__(settings)
        self.lamps = convolution_stack(3, _LAMP_CONVOLUTIONS)
        self.lit = nn.Linear(_LAMP_CONVOLUTIONS[-1][0] * PACE_IMAGE.width // 32, FEATURES)
        self.regression = head(HEAD, 2)
        self.classification = head(HEAD, SPEED_CLASSES)
        self.reasons = head(HEAD, 3 + len(LIGHTS))

    def forward(
        self, image: Tensor, earlier: Tensor, speed_mps: Tensor, command: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Compute all heads.

        Args:
            image: (N, 3, 160, 320) float32, scaled as `PACE_IMAGE` says.
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

        That is what the loss is made of. Images are (N, 6, 160, 320): the picture, and the earlier.
        """
        assert self.condition is not None  # noqa: S101 - only `paper` has none
        seen = self.reduce(self.convolutions(functional.avg_pool2d(images, 2)))
        lamps = self.lamps(images[:, :3, :LAMP_ROWS])
        lit = functional.max_pool2d(lamps, (LAMP_ROWS // 16, 2))
        features = self.read(seen.flatten(1)) + self.lit(lit.flatten(1))
        shared = self._modulate(features, self.condition(state_columns(speed_mps, command)))
        found = self.regression(shared)
        speed, log_scale = found[:, :1], found[:, 1:].clamp(*LOG_SCALE_RANGE)
        return speed, log_scale, self.classification(shared), self.reasons(shared)
