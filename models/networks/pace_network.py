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

#: Red over green, green over red, red over blue, green over blue: strong in lamps.
_OPPONENTS = ((1.0, -1.0, 0.0), (-1.0, 1.0, 0.0), (1.0, 0.0, -1.0), (0.0, 1.0, -1.0))
#: (output channels, kernel, stride): the upper rows of a picture, 96x320, become 24x80, then 6x20.
_SHAPE_CONVOLUTION = (24, 5, 4)
_LAMP_CONVOLUTIONS = ((48, 3, 2), (64, 3, 2))
_LIT = 128


class PaceNetwork(TrunkNetwork):
    """Two images, speed and command to how fast others and lights let one drive: ``pace``.

    The trunk sees both images at half their size. Lamps are too small for that, and are seen in the
    upper part of the newer image as it is. Of every 4x4 pixels the strongest colours go on, so that
    a lamp of two pixels is not averaged away. What is found counts at any height in a tenth of the
    width: it need not be learnt anew for every place. Lights have a head there, which learns
    without the rest.
    """

    output_names = ("speeds", "scales", "logits", "reasons")
    _opponents: Tensor

    def __init__(self, settings: NetworkSettings) -> None:
        """Build the network with fresh weights from torch's global generator."""
        super().__init__(settings)
        opponents = torch.tensor(_OPPONENTS)[:, :, None, None]
        self.register_buffer("_opponents", opponents, persistent=False)
        self.shapes = convolution_stack(3, (_SHAPE_CONVOLUTION,))
        self.lamps = convolution_stack(_SHAPE_CONVOLUTION[0] + len(_OPPONENTS), _LAMP_CONVOLUTIONS)
        columns = PACE_IMAGE.width // 32
        self.lit = nn.Sequential(nn.Linear(_LAMP_CONVOLUTIONS[-1][0] * columns, _LIT), nn.ReLU())
        self.light = nn.Linear(_LIT, 1 + len(LIGHTS))
        self.tell = nn.Linear(_LIT, FEATURES)
        self.regression = head(HEAD, 2)
        self.classification = head(HEAD, SPEED_CLASSES)
        self.lead = head(HEAD, 2)

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

    def see_lamps(self, upper: Tensor) -> tuple[Tensor, Tensor]:
        """Return what lamps tell the other heads (N, 128), and what they show (N, 5).

        The latter are the last five columns of the reasons. The argument is the upper part of
        images, (N, 3, 96, 320).
        """
        colours = functional.max_pool2d(functional.conv2d(upper, self._opponents), 4)
        found = self.lamps(torch.cat([self.shapes(upper), colours], dim=1))
        lit = self.lit(functional.max_pool2d(found, (LAMP_ROWS // 16, 2)).flatten(1))
        return lit, self.light(lit)

    def normalised(
        self, images: Tensor, speed_mps: Tensor, command: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return speed and logarithm of its scale (N, 1) in `SPEED_SCALE_MPS`, and the other heads.

        That is what the loss is made of. Images are (N, 6, 160, 320): the picture, and the earlier.
        """
        assert self.condition is not None  # noqa: S101 - only `paper` has none
        seen = self.reduce(self.convolutions(functional.avg_pool2d(images, 2)))
        lit, light = self.see_lamps(images[:, :3, :LAMP_ROWS])
        features = self.read(seen.flatten(1)) + self.tell(lit)
        shared = self._modulate(features, self.condition(state_columns(speed_mps, command)))
        found = self.regression(shared)
        speed, log_scale = found[:, :1], found[:, 1:].clamp(*LOG_SCALE_RANGE)
        reasons = torch.cat([self.lead(shared), light], dim=1)
        return speed, log_scale, self.classification(shared), reasons
