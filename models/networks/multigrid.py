"""MgNO (He, Liu and Xu 2023, arXiv 2310.19809): a network whose linear layers are V-cycles.

A V-cycle solves A u = f on a hierarchy of grids: it smooths the error on the fine grid, solves for
what is left on a coarser one, and adds that correction. Here all of its operators are learned
convolutions of several channels, so one cycle is a linear map between functions whose reach is the
whole grid at the cost of a few convolutions. It says what such a layer is, not the released code:
corrections start from zero on every grid.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class _Level(nn.Module):
    """What one grid has: its operator A and its smoothers before and after the correction."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.operator = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.before = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.after = nn.Conv2d(channels, channels, 3, padding=1, bias=False)


class VCycle(nn.Module):
    """A linear map of functions on a grid; zero beyond the border."""

    def __init__(self, channels: int, *, levels: int) -> None:
        """Make a cycle over grids of which each has half the side of the one before."""
        super().__init__()
        self.levels = nn.ModuleList(_Level(channels) for _ in range(levels))
        self.restrict = nn.ModuleList(
            nn.Conv2d(channels, channels, 3, stride=2, padding=1, bias=False)
            for _ in range(levels - 1)
        )
        self.prolong = nn.ModuleList(
            nn.ConvTranspose2d(channels, channels, 4, stride=2, padding=1, bias=False)
            for _ in range(levels - 1)
        )

    def forward(self, f: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape; H and W are multiples of 2^(levels - 1)."""
        return self._solve(f, 0)

    def _solve(self, f: Tensor, grid: int) -> Tensor:
        level = self.levels[grid]
        assert isinstance(level, _Level)  # noqa: S101 - for the type checker
        u = level.before(f)
        if grid + 1 < len(self.levels):
            left = self.restrict[grid](f - level.operator(u))
            u = u + self.prolong[grid](self._solve(left, grid + 1))
        smoothed: Tensor = u + level.after(f - level.operator(u))
        return smoothed


class MultigridOperator(nn.Module):
    """Maps a function on a grid to another one, such as a coefficient to a solution."""

    def __init__(self, *, channels: int = 12, layers: int = 3, levels: int = 4) -> None:
        """Make layers that add a V-cycle and a pointwise map, with GELU between them."""
        super().__init__()
        self.lift = nn.Conv2d(1, channels, 1)
        self.cycles = nn.ModuleList(VCycle(channels, levels=levels) for _ in range(layers))
        self.points = nn.ModuleList(nn.Conv2d(channels, channels, 1) for _ in range(layers))
        self.read = nn.Conv2d(channels, 1, 1, bias=False)

    def forward(self, values: Tensor) -> Tensor:
        """Map (N, 1, H, W) to the same shape; H and W are multiples of 2^(levels - 1)."""
        hidden = self.lift(values)
        for cycle, point in zip(self.cycles, self.points, strict=True):
            hidden = functional.gelu(cycle(hidden) + point(hidden))
        answer: Tensor = self.read(hidden)
        return answer
