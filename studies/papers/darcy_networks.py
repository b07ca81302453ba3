"""What MgNO is measured against: a U-Net, and a Fourier neural operator, of about its size."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional


class UNet(nn.Module):
    """A small U-Net (Ronneberger et al. 2015, arXiv 1505.04597): three grids, joined by sums."""

    def __init__(self, width: int) -> None:
        super().__init__()
        widths = (width, 2 * width, 2 * width)
        self.lift = nn.Conv2d(1, width, 1)
        self.down = nn.ModuleList(
            nn.Conv2d(one, other, 4, stride=2, padding=1) for one, other in pairwise(widths)
        )
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(other, one, 4, stride=2, padding=1)
            for one, other in pairwise(widths)
        )
        self.blocks = nn.ModuleList(_twice(one) for one in (*widths, *widths[-2::-1]))
        self.read = nn.Conv2d(width, 1, 1, bias=False)

    def forward(self, values: Tensor) -> Tensor:
        """Map (N, 1, H, W) to the same shape; H and W are multiples of 4."""
        hidden, passed = self.lift(values), []
        for block, down in zip(self.blocks, self.down, strict=False):
            passed.append(block(hidden))
            hidden = functional.gelu(down(passed[-1]))
        hidden = self.blocks[len(self.down)](hidden)
        for block, up in zip(self.blocks[len(self.down) + 1 :], reversed(self.up), strict=True):
            hidden = block(functional.gelu(up(hidden)) + passed.pop())
        answer: Tensor = self.read(hidden)
        return answer


def _twice(width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(width, width, 3, padding=1),
        nn.GELU(),
        nn.Conv2d(width, width, 3, padding=1),
        nn.GELU(),
    )


class _FourierLayer(nn.Module):
    """Multiplies the lowest waves by learned complex matrices, and adds a pointwise map."""

    def __init__(self, width: int, modes: int) -> None:
        super().__init__()
        self.modes = modes
        shape = (2, width, width, modes, modes)
        self.weight = nn.Parameter(torch.randn(*shape, dtype=torch.complex64) / width)
        self.points = nn.Conv2d(width, width, 1)

    def forward(self, hidden: Tensor) -> Tensor:
        spectrum, low = torch.fft.rfft2(hidden, norm="forward"), self.modes
        kept = torch.zeros_like(spectrum)
        for part, rows in enumerate((slice(0, low), slice(-low, None))):
            kept[:, :, rows, :low] = torch.einsum(
                "nixy,ioxy->noxy", spectrum[:, :, rows, :low], self.weight[part]
            )
        waves = torch.fft.irfft2(kept, s=hidden.shape[-2:], norm="forward")
        answer: Tensor = waves + self.points(hidden)
        return answer


class FourierOperator(nn.Module):
    """FNO (Li et al. 2021, arXiv 2010.08895): layers on the lowest waves of the whole square."""

    def __init__(self, width: int, modes: int, layers: int = 4) -> None:
        super().__init__()
        self.lift = nn.Conv2d(3, width, 1)
        self.layers = nn.ModuleList(_FourierLayer(width, modes) for _ in range(layers))
        self.read = nn.Sequential(
            nn.Conv2d(width, 4 * width, 1), nn.GELU(), nn.Conv2d(4 * width, 1, 1, bias=False)
        )

    def forward(self, values: Tensor) -> Tensor:
        """Map (N, 1, H, W) to the same shape; places are inputs, as waves know no border."""
        height, width = values.shape[-2:]
        down, across = torch.meshgrid(
            torch.linspace(0.0, 1.0, height), torch.linspace(0.0, 1.0, width), indexing="ij"
        )
        places = torch.stack([down, across]).expand(len(values), -1, -1, -1)
        hidden = self.lift(torch.cat([values, places], dim=1))
        for layer in self.layers[:-1]:
            hidden = functional.gelu(layer(hidden))
        answer: Tensor = self.read(self.layers[-1](hidden))
        return answer
