"""Layers between groups of units, most of the blocks between them absent (arXiv 2508.14140).

G2GNet splits the hidden layers of a perceptron into groups; a group is fed by a few groups of the
layer before, so the weight matrix is W * M with a mask M of whole blocks. During training the
weakest blocks give way to blocks whose two sides fire together (Hebbian regrowth). The paper's
mask and schedule were not to be had, only its abstract; what is written here is our choice:

- The first layer's input groups are patches of 4x4 pixels, all channels of a patch together.
- Every group has the same number of sources, so the blocks pack into one batched product, and the
  exported network (`fused`) saves time and memory, not only multiplications by zero.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.networks.layers import ImageShape, Patches, affine_of_norm

Regrowth = Literal["hebbian", "random", "none"]

_GROUPS = 32
_WIDTH = 1024

#: Steps between two changes of the mask, and the share of the training in which it changes.
_REWIRE_EVERY = 100
_REWIRE_UNTIL = 0.75
#: Share of a group's sources that the first change may replace; half a cosine takes it to 0.
_REPLACED = 0.3


class BlockLinear(nn.Module):
    """A linear layer without bias of which each group of outputs sees a few groups of inputs."""

    mask: Tensor

    def __init__(self, inputs: tuple[int, int], outputs: tuple[int, int], *, sources: int) -> None:
        """Draw weights and mask.

        Args:
            inputs: Groups, and units of a group.
            outputs: Groups, and units of a group.
            sources: Groups of inputs that feed a group of outputs.
        """
        super().__init__()
        self.inputs, self.outputs, self.sources = inputs, outputs, sources
        bound = 1.0 / math.sqrt(sources * inputs[1])
        self.weight = nn.Parameter(torch.empty(math.prod(outputs), math.prod(inputs)))
        nn.init.uniform_(self.weight, -bound, bound)
        ranks = torch.rand(outputs[0], inputs[0]).argsort(dim=1)
        self.register_buffer("mask", ranks < sources)  # (output groups, input groups) bool

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs) to (N, outputs)."""
        return functional.linear(x, self.masked_weight())

    def masked_weight(self) -> Tensor:
        """Return W * M, (outputs, inputs)."""
        return (self._blocks() * self.mask[:, None, :, None]).reshape(self.weight.shape)

    def packed_weight(self) -> tuple[Tensor, Tensor]:
        """Return what is present only.

        Returns:
            (output groups, sources) int64, the source groups in ascending order, and the weights
            (output groups, sources * units of an input group, units of an output group).
        """
        index = self.mask.nonzero()[:, 1].reshape(self.outputs[0], self.sources)
        blocks = self._blocks().permute(0, 2, 3, 1)  # (output group, input group, unit, unit)
        chosen = blocks[torch.arange(len(index))[:, None], index]
        return index, chosen.reshape(len(index), -1, self.outputs[1])

    @torch.no_grad()
    def rewire(self, score: Tensor, count: int) -> None:
        """Replace each group's `count` weakest sources by the absent ones of highest score.

        A new block starts at zero, so the outputs change only by what is dropped. What was just
        dropped may not come back at once.

        Args:
            score: (output groups, input groups) float.
            count: At most the number of present and of absent sources of a group.
        """
        strength = self._blocks().square().sum(dim=(1, 3))
        weakest = strength.masked_fill(~self.mask, torch.inf).topk(count, largest=False).indices
        grown = score.masked_fill(self.mask, -torch.inf).topk(count).indices
        self.mask.scatter_(1, weakest, value=False)
        self.mask.scatter_(1, grown, value=True)
        fresh = torch.zeros_like(self.mask).scatter_(1, grown, value=True)
        self._blocks().masked_fill_(fresh[:, None, :, None], 0.0)

    def _blocks(self) -> Tensor:
        """View the weights as (output group, output unit, input group, input unit)."""
        return self.weight.view(*self.outputs, *self.inputs)


def hebbian_score(before: Tensor, after: Tensor, layer: BlockLinear) -> Tensor:
    """Return how much the units of two groups fire together.

    Args:
        before: (N, inputs), what the layer was given.
        after: (N, outputs), the activations that came of it.
        layer: Tells the groups.

    Returns:
        (output groups, input groups), the mean absolute Pearson correlation over the pairs of
        units; a unit that never changes correlates with nothing.
    """
    correlation = (_standardised(after).T @ _standardised(before)) / len(before)
    return correlation.abs().reshape(*layer.outputs, *layer.inputs).mean(dim=(1, 3))


def _standardised(x: Tensor) -> Tensor:
    centred = x - x.mean(dim=0)
    deviation = centred.square().mean(dim=0).sqrt()
    return centred * torch.where(deviation > 1e-6, 1.0 / deviation, 0.0)


class GroupToGroupNetwork(nn.Module):
    """Two hidden layers of 32 groups of 32 units, each group fed by a few of the layer before."""

    def __init__(self, shape: ImageShape, *, density: float, regrowth: Regrowth) -> None:
        """Draw weights and masks.

        Args:
            shape: Of the pictures, and the number of classes.
            density: Share of the blocks that is present, 0..1.
            regrowth: How new blocks are chosen: by correlation, at random, or never.
        """
        super().__init__()
        self.patches = Patches(shape)
        hidden = (_GROUPS, _WIDTH // _GROUPS)
        sizes = (self.patches.groups, hidden)
        self.layers = nn.ModuleList(
            BlockLinear(before, hidden, sources=max(1, round(density * before[0])))
            for before in sizes
        )
        self.norms = nn.ModuleList(nn.BatchNorm1d(_WIDTH) for _ in sizes)
        self.head = nn.Linear(_WIDTH, shape.classes)
        self.regrowth = regrowth
        self._activations: list[Tensor] = []

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map images (N, channels, H, W) to logits (N, classes) and features (N, 1024)."""
        values = self.patches(x).flatten(1)
        activations = [values]
        for layer, norm in self.stages():
            values = torch.relu(norm(layer(values)))
            activations.append(values)
        if self.training:  # for `after_step`, which follows at once: not part of the state
            # In one precision: under autocast the first layer's input is the only float32.
            self._activations = [one.detach().float() for one in activations]
        return self.head(values), values

    def after_step(self, step: int, steps: int) -> None:
        """Change the masks when it is time; what they are is in buffers, and so in checkpoints.

        Args:
            step: Steps done.
            steps: Steps of the whole training.
        """
        if self.regrowth == "none" or step % _REWIRE_EVERY or step >= _REWIRE_UNTIL * steps:
            return
        share = _REPLACED * 0.5 * (1.0 + math.cos(math.pi * step / (_REWIRE_UNTIL * steps)))
        pairs = zip(self._activations, self._activations[1:], strict=False)
        for (layer, _), (before, after) in zip(self.stages(), pairs, strict=True):
            absent = layer.inputs[0] - layer.sources
            if count := min(round(share * layer.sources), absent):
                score = (
                    hebbian_score(before, after, layer)
                    if self.regrowth == "hebbian"
                    else torch.rand(layer.mask.shape)
                )
                layer.rewire(score, count)

    def stages(self) -> Iterator[tuple[BlockLinear, nn.BatchNorm1d]]:
        """Yield each hidden layer with the normalisation behind it."""
        for layer, norm in zip(self.layers, self.norms, strict=True):
            assert isinstance(layer, BlockLinear)  # noqa: S101 - built above
            assert isinstance(norm, nn.BatchNorm1d)  # noqa: S101
            yield layer, norm

    def fused(self) -> nn.Module:
        """Return the network for run time, which holds and multiplies the present blocks only."""
        return PackedNetwork(self).eval()


class PackedNetwork(nn.Module):
    """A `GroupToGroupNetwork` for run time: one batched product of gathered groups a layer.

    Groups come first, (groups, N, units), so that the product's matrices have N rows each. That
    ran faster on ONNX Runtime than a grouped convolution or the products of single pictures.
    """

    def __init__(self, network: GroupToGroupNetwork) -> None:
        super().__init__()
        self.patches = copy.deepcopy(network.patches)
        self.layers = nn.Sequential(*(PackedLayer(*stage) for stage in network.stages()))
        self.head = copy.deepcopy(network.head)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map images (N, channels, H, W) to logits (N, classes) and features (N, 1024)."""
        groups = self.layers(self.patches(x).transpose(0, 1))
        features = groups.transpose(0, 1).flatten(1)
        return self.head(features), features


class PackedLayer(nn.Module):
    """The present blocks of a `BlockLinear`, with batch normalisation folded in, and a ReLU."""

    index: Tensor
    weight: Tensor
    bias: Tensor

    def __init__(self, layer: BlockLinear, norm: nn.BatchNorm1d) -> None:
        super().__init__()
        index, weight = layer.packed_weight()
        gain, offset = affine_of_norm(norm)
        self.register_buffer("index", index)
        self.register_buffer("weight", weight * gain.reshape(layer.outputs[0], 1, -1))
        self.register_buffer("bias", offset.reshape(layer.outputs[0], 1, -1))

    def forward(self, x: Tensor) -> Tensor:
        """Map (input groups, N, units) to (output groups, N, units)."""
        gathered = x[self.index].transpose(1, 2)  # (output groups, N, sources, units)
        rows = gathered.reshape(self.weight.shape[0], -1, self.weight.shape[1])
        return torch.relu(rows @ self.weight + self.bias)
