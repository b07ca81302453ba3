"""The energy of a monotone deep Boltzmann machine: layers of groups, and convolutions between them.

Phi = S (D - A'A) S. A are convolutions, each of which sees two layers; D is the block diagonal of
A'A, so that no group couples with itself; S shrinks every group so that S D S <= (1 - m) I. So
I - Phi >= m I whatever A is, the free energy F(q) = -1/2 q'Phi q - b'q + sum q log q has a single
minimum, and q = softmax_in_groups(Phi q + b) is solved by it alone. D is computed for every site,
with its borders, so that Phi is the energy of pairs that it claims to be.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

#: m, by which the free energy is convex.
MARGIN = 0.1

#: Largest eigenvalue of A'A, and the damped step that it allows: along d = softmax(Phi q + b) - q
#: the entropy gains at least |d|^2 (Pinsker), and the quadratic part loses at most
#: STEP / 2 * REACH |d|^2, so F never rises. A layer has at most two couplings of half of it each.
REACH = 4.0
STEP = 2.0 / REACH

#: What power iterations may be short of the largest eigenvalue.
_UNDERESTIMATE = 1.02

#: Of the weights at the beginning, from tap to tap.
_ROUGHNESS = 0.3

Maps = list[Tensor]


@dataclass(frozen=True, slots=True)
class Layer:
    """Maps (channels, rows, columns); of every `group` channels at a site exactly one is on."""

    channels: int
    rows: int
    columns: int
    group: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of the layer's maps."""
        return self.channels, self.rows, self.columns

    def split(self, maps: Tensor) -> Tensor:
        """Turn maps (N, channels, rows, columns) into (N, groups, group, rows, columns)."""
        return maps.reshape(-1, self.channels // self.group, self.group, self.rows, self.columns)

    def join(self, groups: Tensor) -> Tensor:
        """Undo `split`."""
        return groups.reshape(-1, *self.shape)

    def softmax(self, maps: Tensor) -> Tensor:
        """Return the softmax within every group of maps."""
        return self.join(torch.softmax(self.split(maps), dim=2))


class Coupling(nn.Module):
    """Rows of A: a convolution of a lower layer and a 1x1 convolution of an upper one, added.

    Args:
        lower: The layer whose maps are larger.
        upper: The layer whose maps are smaller.
        rows: Channels of the result.
        stride: Of the lower layer's convolution, whose kernel is twice as wide; 0: the kernel is as
            large as the layer, and the upper layer has one site.
    """

    def __init__(self, lower: Layer, upper: Layer, *, rows: int, stride: int) -> None:
        super().__init__()
        self.layers = (lower, upper)
        self.stride, self.padding = max(stride, 1), stride // 2
        size = (2 * stride, 2 * stride) if stride else (lower.rows, lower.columns)
        sites = ((lower.rows, upper.rows), (lower.columns, upper.columns))
        #: Rows and columns that the kernel does not come to.
        self.spare = tuple(
            below - ((above - 1) * self.stride - 2 * self.padding + kernel)
            for (below, above), kernel in zip(sites, size, strict=True)
        )
        self.lower = nn.Parameter(_smooth_weights(rows, lower, size))
        self.upper = nn.Parameter(nn.init.orthogonal_(torch.empty(rows, upper.channels, 1, 1)))
        #: Where the last power iterations ended.
        self.register_buffer("below", torch.rand(1, *lower.shape))
        self.register_buffer("above", torch.rand(1, *upper.shape))

    def forward(self, lower: Tensor, upper: Tensor) -> Tensor:
        """Return A q, (N, rows, rows and columns of the upper layer)."""
        seen = functional.conv2d(lower, self.lower, stride=self.stride, padding=self.padding)
        return seen + functional.conv2d(upper, self.upper)

    def back(self, rows: Tensor, *, upper: bool) -> Tensor:
        """Return A' of such rows, for the upper layer or for the lower one."""
        if upper:
            return functional.conv_transpose2d(rows, self.upper)
        return self._spread(rows, self.lower)

    def gain(self, iterations: int) -> Tensor:
        """Return the factor that makes these rows' share of A'A at most half of `REACH`.

        Args:
            iterations: Power iterations, at least 1, from where those of the last step of training
                ended.
        """
        probe = self.get_buffer("below"), self.get_buffer("above")
        with torch.no_grad():
            for _ in range(iterations):
                rows = self(*probe)
                below, above = self.back(rows, upper=False), self.back(rows, upper=True)
                norm = torch.sqrt(below.square().sum() + above.square().sum())
                probe = below / norm, above / norm
            if self.training:
                self.get_buffer("below").copy_(probe[0])
                self.get_buffer("above").copy_(probe[1])
        largest = _UNDERESTIMATE * self(*probe).square().sum()
        return torch.sqrt(torch.clamp(REACH / 2.0 / largest, max=1.0))

    def blocks(self, factor: Tensor) -> tuple[Tensor, Tensor]:
        """Return the block diagonals of A'A, (groups, group, group, rows, columns) each.

        Args:
            factor: Multiplies them.
        """
        lower, upper = self.layers
        ones = factor * self.lower.new_ones(1, 1, upper.rows, upper.columns)
        below = self._spread(ones, _squares(self.lower, lower))
        above = functional.conv_transpose2d(ones, _squares(self.upper, upper))
        return _by_group(below, lower), _by_group(above, upper)

    def _spread(self, rows: Tensor, weight: Tensor) -> Tensor:
        return functional.conv_transpose2d(
            rows, weight, stride=self.stride, padding=self.padding, output_padding=self.spare
        )


class Energy:
    """Phi and b for one setting of the weights; q is a list of the layers' maps, (N, ...) each."""

    def __init__(
        self,
        layers: Sequence[Layer],
        couplings: Sequence[Coupling],
        biases: Sequence[Tensor],
        iterations: int,
    ) -> None:
        """Compute S and D.

        Args:
            layers: The first is that of the pixels; none has more than two couplings.
            couplings: Between any two of them.
            biases: b, (1, channels, rows, columns) for each layer.
            iterations: See `Coupling.gain`.
        """
        self.layers, self.couplings, self.biases = tuple(layers), tuple(couplings), tuple(biases)
        self._ends = [
            (self.layers.index(one.layers[0]), self.layers.index(one.layers[1]))
            for one in self.couplings
        ]
        self.gains = [one.gain(iterations) for one in self.couplings]
        self.blocks: dict[int, Tensor] = {}
        for coupling, gain, ends in zip(self.couplings, self.gains, self._ends, strict=True):
            for number, block in zip(ends, coupling.blocks(gain * gain), strict=True):
                _add(self.blocks, number, block)
        numbered = enumerate(self.layers)
        self.scales = [_shrink(self.blocks[number], layer) for number, layer in numbered]

    def coupled(self, q: Maps, wanted: Sequence[int] | None = None) -> Maps:
        """Return Phi q, of all layers or of those with these numbers."""
        numbers = range(len(self.layers)) if wanted is None else wanted
        scaled = [one * scale for one, scale in zip(q, self.scales, strict=True)]
        sums: dict[int, Tensor] = {}
        for coupling, gain, ends in zip(self.couplings, self.gains, self._ends, strict=True):
            if not set(ends) & set(numbers):
                continue
            rows = gain * gain * coupling(scaled[ends[0]], scaled[ends[1]])
            for number, upper in zip(ends, (False, True), strict=True):
                if number in numbers:
                    _add(sums, number, coupling.back(rows, upper=upper))
        found = []
        for number in numbers:
            layer, scale = self.layers[number], self.scales[number]
            own = layer.split(scaled[number]).unsqueeze(2) * self.blocks[number]
            found.append((layer.join(own.sum(dim=3)) - sums[number]) * scale)
        return found

    def fields(self, q: Maps, wanted: Sequence[int] | None = None) -> Maps:
        """Return Phi q + b, of all layers or of those with these numbers."""
        biases = self.biases if wanted is None else [self.biases[number] for number in wanted]
        return [one + bias for one, bias in zip(self.coupled(q, wanted), biases, strict=True)]

    def softmax(self, fields: Sequence[Tensor]) -> Maps:
        """Return the softmax within every group."""
        return [layer.softmax(one) for layer, one in zip(self.layers, fields, strict=True)]

    def settle(self, q: Maps, clamped: Tensor, free: Tensor, steps: int) -> Maps:
        """Take damped steps towards the fixed point.

        Args:
            q: Where to begin.
            clamped: Maps of the first layer, as far as it is observed, 0 elsewhere.
            free: 1 where it is not observed, else 0.
            steps: Number of steps.
        """
        q = [clamped + q[0] * free, *q[1:]]
        for _ in range(steps):
            aim = self.softmax(self.fields(q))
            aim[0] = clamped + aim[0] * free
            q = [one + STEP * (other - one) for one, other in zip(q, aim, strict=True)]
        return q


def _add(sums: dict[int, Tensor], number: int, part: Tensor) -> None:
    sums[number] = sums[number] + part if number in sums else part


def _squares(weight: Tensor, layer: Layer) -> Tensor:
    """Return for every tap the products of a group's weights, (1, groups * group ** 2, h, w)."""
    split = weight.reshape(len(weight), -1, layer.group, *weight.shape[2:])
    return torch.einsum("rgihw,rgjhw->gijhw", split, split).flatten(0, 2).unsqueeze(0)


def _by_group(maps: Tensor, layer: Layer) -> Tensor:
    return maps.reshape(-1, layer.group, layer.group, layer.rows, layer.columns)


def _shrink(block: Tensor, layer: Layer) -> Tensor:
    """Return S, (1, channels, rows, columns), alike within a group."""
    # The largest sum of a row bounds the largest eigenvalue of a symmetric block.
    norm = block.abs().sum(dim=2).amax(dim=1, keepdim=True)
    scale = torch.sqrt(torch.clamp((1.0 - MARGIN) / norm, max=1.0))
    return layer.join(scale.expand(-1, layer.group, -1, -1))


def _smooth_weights(rows: int, layer: Layer, size: tuple[int, int]) -> Tensor:
    """Draw weights (rows, channels, *size) that hardly vary from tap to tap, as pictures do.

    Couplings are bounded by what the most coherent input does to them: white noise would use up the
    bound for inputs that no picture has.
    """
    even = nn.init.orthogonal_(torch.empty(rows, layer.channels))[:, :, None, None]
    weights = even + _ROUGHNESS * torch.randn(rows, layer.channels, *size) / math.sqrt(rows)
    return weights / math.sqrt(size[0] * size[1])
