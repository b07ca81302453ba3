"""A network that is told which pixels were observed, by one more channel, and trains so."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.networks.layers import ImageShape
from models.networks.monotone_boltzmann import draw_observed
from models.networks.squeeze import SqueezeNetwork


class MaskedNetwork(nn.Module):
    """`SqueezeNetwork` for pictures of which a part is missing: the control of what infers it.

    Args:
        shape: Of the pictures, and the number of classes.
        width: Of the network.
    """

    def __init__(self, shape: ImageShape, *, width: int) -> None:
        super().__init__()
        wider = ImageShape(
            channels=shape.channels + 1,
            height=shape.height,
            width=shape.width,
            classes=shape.classes,
        )
        self.network = SqueezeNetwork(wider, width=width)

    def forward(self, x: Tensor, observed: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map images (N, channels, H, W) to logits (N, classes) and features.

        Args:
            x: The images; their mean is 0.
            observed: (N, 1, H, W), 1 or 0; None: all of them as a whole.
        """
        if observed is None:
            observed = torch.ones_like(x[:, :1])
        found: tuple[Tensor, Tensor] = self.network(torch.cat([x * observed, observed], dim=1))
        return found

    def loss(self, images: Tensor, labels: Tensor) -> Tensor:
        """Return the cross-entropy of images that are shown in part; see `draw_observed`."""
        observed = draw_observed(len(images), *images.shape[2:])
        return functional.cross_entropy(self(images, observed)[0], labels)
