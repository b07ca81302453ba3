"""Planes instead of attention (Attention Is Not What You Need, 2025, arXiv 2512.19428).

A patch and one at a fixed offset from it span a plane in a space of few dimensions. The plane's
Pluecker coordinates say how the two patches relate; their mean over all offsets is mixed into the
patch. The paper's offsets point back in a text; here they point in all directions of the picture's
grid, and those that leave it count as none (a rolled grid would join opposite borders).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.mixers.attention import HeadShape

#: Dimensions of the space; planes have 120 coordinates there.
_RANK = 16
_REACH = 2
#: Rows and columns to the other patch; each is also taken the other way round.
_HALF = ((0, 1), (0, 2), (1, 0), (2, 0), (1, 1), (1, -1))
OFFSETS = (*_HALF, *((-down, -right) for down, right in _HALF))
_EPS = 1e-6  # of a squared length: planes of two parallel vectors have none


class GrassmannMixing(nn.Module):
    """Planes through a patch and its neighbours on a square grid.

    Args:
        shape: Its tokens are the patches of a square; heads there are none.

    Raises:
        ValueError: If the tokens make no square.
    """

    share: Tensor

    def __init__(self, shape: HeadShape) -> None:
        super().__init__()
        self.shape, self.side = shape, math.isqrt(shape.tokens)
        if self.side**2 != shape.tokens:
            raise ValueError(f"{shape.tokens} tokens make no square grid")
        self.first, self.second = (one.tolist() for one in torch.triu_indices(_RANK, _RANK, 1))
        self.reduce = nn.Linear(shape.width, _RANK)
        self.plane = nn.Linear(len(self.first), shape.width)
        self.gate = nn.Linear(2 * shape.width, shape.width)
        inside = sum(self._shifted(torch.ones(1, 1, self.side, self.side), *d) for d in OFFSETS)
        self.register_buffer("share", 1.0 / torch.as_tensor(inside).clamp(min=1.0), False)

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens (N, tokens, width) to the same shape."""
        grid = self.reduce(x).transpose(1, 2).reshape(-1, _RANK, self.side, self.side)
        one, other = grid[:, self.first], grid[:, self.second]
        planes = []
        for down, right in OFFSETS:
            there = self._shifted(grid, down, right)
            plane = one * there[:, self.second] - other * there[:, self.first]
            planes.append(plane * torch.rsqrt(plane.square().sum(dim=1, keepdim=True) + _EPS))
        mean = torch.stack(planes).sum(dim=0) * self.share
        relation = self.plane(mean.reshape(-1, len(self.first), self.shape.tokens).transpose(1, 2))
        kept = torch.sigmoid(self.gate(torch.cat([x, relation], dim=2)))
        mixed: Tensor = kept * x + (1.0 - kept) * relation
        return mixed

    def _shifted(self, grid: Tensor, down: int, right: int) -> Tensor:
        """Return what is that many rows below and columns beside every place, 0 outside."""
        padded = functional.pad(grid, [_REACH] * 4)
        rows = slice(_REACH + down, _REACH + down + self.side)
        columns = slice(_REACH + right, _REACH + right + self.side)
        return padded[:, :, rows, columns]
