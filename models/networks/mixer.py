"""No convolution over the picture: patches mixed by matrices (MLP-Mixer, 2021, 2105.01601)."""

from __future__ import annotations

from torch import Tensor, nn

from models.networks.layers import ImageShape

_PATCH = 4


class MixerBlock(nn.Module):
    """Mix along the patches, then along the channels, each with a shortcut around it."""

    def __init__(self, patches: int, width: int) -> None:
        super().__init__()
        self.patch_norm = nn.LayerNorm(width)
        self.patch_mixing = nn.Sequential(
            nn.Linear(patches, 2 * patches), nn.ReLU(), nn.Linear(2 * patches, patches)
        )
        self.channel_norm = nn.LayerNorm(width)
        self.channel_mixing = nn.Sequential(
            nn.Linear(width, 2 * width), nn.ReLU(), nn.Linear(2 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens (N, patches, width) to the same shape."""
        mixed = self.patch_mixing(self.patch_norm(x).transpose(1, 2)).transpose(1, 2)
        x = x + mixed
        y: Tensor = x + self.channel_mixing(self.channel_norm(x))
        return y


class MixerNetwork(nn.Module):
    """Patches of 4x4 pixels, `depth` mixer blocks, the mean over the patches.

    The mixing matrices fix the number of patches, so the picture's size is part of the network.
    """

    def __init__(self, shape: ImageShape, *, width: int, depth: int) -> None:
        super().__init__()
        patches = (shape.height // _PATCH) * (shape.width // _PATCH)
        self.token_shape = (width, patches)
        self.embedding = nn.Conv2d(shape.channels, width, _PATCH, _PATCH)
        self.blocks = nn.Sequential(*(MixerBlock(patches, width) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, shape.classes)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map images (N, channels, H, W) to logits (N, classes) and features (N, width)."""
        tokens = self.embedding(x).reshape(-1, *self.token_shape).transpose(1, 2)
        features = self.norm(self.blocks(tokens)).mean(dim=1)
        return self.head(features), features
