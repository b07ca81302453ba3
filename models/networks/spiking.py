"""A convolutional network of leaky integrate-and-fire neurons, trained with surrogate gradients.

A neuron keeps a potential v, to which every step adds its input; when v exceeds the threshold 1
it sends a spike, and the next step takes the threshold off again:

    v[t] = beta v[t-1] + input[t] - s[t-1],    s[t] = 1 if v[t] > 1 else 0.

That step has no useful derivative; training uses the one of an arc tangent instead (Neftci et al.
2019, arXiv 1901.09948; the arc tangent is snnTorch's). The picture itself is the input of every
step (direct coding), and the classes are read from how often the last neurons fired (rate coding).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

import torch
from snntorch import surrogate
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_linear_bn_eval

from edge.sidecar import OutputMeaning
from models.networks.layers import ImageShape, conv_norm

#: Simulated time steps per image.
STEPS = 4

_BETA = 0.5
_THRESHOLD = 1.0

#: Steepness of the arc tangent whose derivative, alpha/2 / (1 + (pi/2 alpha x)^2), is used.
_ALPHA = 2.0


class LeakyNeurons(nn.Module):
    """Leaky integrate-and-fire neurons, one for every number of an input, that begin at rest.

    Args:
        beta: What is left of a potential after a step, 0..1; 1 never leaks.
    """

    def __init__(self, beta: float = _BETA) -> None:
        super().__init__()
        self.beta = beta
        self._fire = surrogate.atan(_ALPHA)

    def forward(self, currents: Sequence[Tensor]) -> Tensor:
        """Map the inputs of every step, each (N, ...), to spikes (steps * N, ...), each 0 or 1."""
        spikes: list[Tensor] = []
        potential: Tensor | float = 0.0
        for current in currents:
            potential = current + self.beta * potential
            if spikes:
                # Without a gradient, which would be that of the arc tangent twice.
                potential = potential - _THRESHOLD * spikes[-1].detach()
            spikes.append(self._fire(potential - _THRESHOLD))
        return torch.cat(spikes)


class SpikingNetwork(nn.Module):
    """Two convolutions and a dense layer of leaky neurons; a linear read-out of firing rates.

    Whatever has no state sees all steps as one batch, and the first convolution, whose input is
    the same at every step, is computed once. Pooling comes before the neurons, so that the next
    layer gets every spike that is sent. The dense layer fixes the picture's size.

    Args:
        shape: Of the pictures, and the number of classes.
        width: Channels of the first convolution; the second has twice as many.
        hidden: Neurons of the dense layer.
    """

    extra_outputs: tuple[tuple[str, OutputMeaning], ...] = (("spikes", "spikes"),)

    def __init__(self, shape: ImageShape, *, width: int, hidden: int) -> None:
        super().__init__()
        rows, columns = shape.height // 4, shape.width // 4
        #: Shapes of what the three layers of neurons get per image and step.
        self.shapes = (
            (width, shape.height // 2, shape.width // 2),
            (2 * width, rows, columns),
            (hidden,),
        )
        self.first = nn.Sequential(conv_norm(shape.channels, width, 3), nn.MaxPool2d(2))
        self.second = nn.Sequential(conv_norm(width, 2 * width, 3), nn.MaxPool2d(2))
        self.dense = nn.Sequential(
            nn.Flatten(),
            nn.Linear(2 * width * rows * columns, hidden, bias=False),
            nn.BatchNorm1d(hidden),
        )
        self.neurons = LeakyNeurons()
        self.head = nn.Linear(hidden, shape.classes)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map images to logits, features and spikes.

        Args:
            x: (N, channels, H, W).

        Returns:
            Logits (N, classes); firing rates of the last neurons, (N, hidden) in 0..1; the spikes
            that each of the three layers sent in all steps together, (N, 3).
        """
        first = self.neurons([self.first(x)] * STEPS)
        second = self.neurons(_by_step(self.second(first), self.shapes[1]))
        last = self.neurons(_by_step(self.dense(second), self.shapes[2]))
        rates = last.reshape(STEPS, -1, *self.shapes[2]).mean(dim=0)
        layers = zip((first, second, last), self.shapes, strict=True)
        spikes = torch.stack([_count(layer, shape) for layer, shape in layers], dim=1)
        return self.head(rates), rates, spikes

    def fused(self) -> SpikingNetwork:
        """Return a copy for run time whose dense layer holds its normalisation."""
        network = copy.deepcopy(self).eval()
        flatten, linear, norm = network.dense
        assert isinstance(linear, nn.Linear)  # noqa: S101 - built so
        assert isinstance(norm, nn.BatchNorm1d)  # noqa: S101
        network.dense = nn.Sequential(flatten, fuse_linear_bn_eval(linear, norm))
        return network


def _by_step(merged: Tensor, shape: tuple[int, ...]) -> tuple[Tensor, ...]:
    """Split (STEPS * N, *shape) into one tensor (N, *shape) per step."""
    return merged.reshape(STEPS, -1, *shape).unbind(0)


def _count(spikes: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return how many spikes (N,) there are per image in (STEPS * N, *shape)."""
    return spikes.reshape(STEPS, -1, math.prod(shape)).sum(dim=(0, 2))
