"""Planes instead of attention (Attention Is Not What You Need, 2025, arXiv 2512.19428).

A patch and one at a fixed offset from it span a plane in a space of few dimensions. The plane's
Pluecker coordinates say how the two patches relate; their mean over all offsets is mixed into the
patch. The paper's offsets point back in a text. In a picture they point in all directions of its
grid. Those that leave the text or the grid count as none (a rolled grid would join opposite
borders).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.mixers.attention import HeadShape

#: Dimensions of the space; planes have 120 coordinates there.
_RANK = 16
#: Rows and columns to the other patch; each is also taken the other way round.
_HALF = ((0, 1), (0, 2), (1, 0), (2, 0), (1, 1), (1, -1))
OFFSETS = (*_HALF, *((-down, -right) for down, right in _HALF))
#: The paper's, in a text, which is a grid of one row.
BACK = tuple((0, -far) for far in (1, 2, 4, 8, 12, 16))
_EPS = 1e-6  # of a squared length: planes of two parallel vectors have none


class GrassmannMixing(nn.Module):
    """Planes through a token and its neighbours, on a square grid or back in a text.

    Args:
        shape: Its tokens are the patches of a square, or causal; heads there are none.

    Raises:
        ValueError: If the tokens make no square.
    """

    first: Tensor
    second: Tensor
    share: Tensor

    def __init__(self, shape: HeadShape) -> None:
        super().__init__()
        self.shape, side = shape, math.isqrt(shape.tokens)
        if not shape.causal and side**2 != shape.tokens:
            raise ValueError(f"{shape.tokens} tokens make no square grid")
        self.grid = (1, shape.tokens) if shape.causal else (side, side)
        self.offsets = BACK if shape.causal else OFFSETS
        self.reach = tuple(max(abs(one[axis]) for one in self.offsets) for axis in (0, 1))
        first, second = torch.triu_indices(_RANK, _RANK, 1)
        self.register_buffer("first", first, False)
        self.register_buffer("second", second, False)
        self.reduce = nn.Linear(shape.width, _RANK)
        self.plane = nn.Linear(self.first.numel(), shape.width)
        self.gate = nn.Linear(2 * shape.width, shape.width)
        inside = sum(self._shifted(torch.ones(1, 1, *self.grid), *d) for d in self.offsets)
        self.register_buffer("share", 1.0 / torch.as_tensor(inside).clamp(min=1.0), False)

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens (N, tokens, width) to the same shape."""
        grid = self.reduce(x).transpose(1, 2).reshape(-1, _RANK, *self.grid)
        squared = grid.square().sum(dim=1, keepdim=True)
        # All planes share a vector, so the sum of unit planes is the plane of that vector and of
        # the neighbours' sum, each weighed by 1 / |plane|; |plane|^2 by Lagrange's identity.
        others = torch.zeros_like(grid)
        for down, right in self.offsets:
            there = self._shifted(grid, down, right)
            product = (grid * there).sum(dim=1, keepdim=True)
            area = squared * there.square().sum(dim=1, keepdim=True) - product.square()
            others = others + there * torch.rsqrt(area.clamp(min=0.0) + _EPS)
        mean = self.share * (
            grid.index_select(1, self.first) * others.index_select(1, self.second)
            - grid.index_select(1, self.second) * others.index_select(1, self.first)
        )
        relation = self.plane(
            mean.reshape(-1, self.first.numel(), self.shape.tokens).transpose(1, 2)
        )
        kept = torch.sigmoid(self.gate(torch.cat([x, relation], dim=2)))
        mixed: Tensor = kept * x + (1.0 - kept) * relation
        return mixed

    def _shifted(self, grid: Tensor, down: int, right: int) -> Tensor:
        """Return what is that many rows below and columns beside every place, 0 outside."""
        reach_down, reach_right = self.reach
        padded = functional.pad(grid, (reach_right, reach_right, reach_down, reach_down))
        rows = slice(reach_down + down, reach_down + down + self.grid[0])
        columns = slice(reach_right + right, reach_right + right + self.grid[1])
        return padded[:, :, rows, columns]
