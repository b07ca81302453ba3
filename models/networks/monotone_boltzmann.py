"""A deep Boltzmann machine whose mean field is unique (Feng, Winston, Kolter 2023, 2307.04990).

Pixels, two hidden layers and the label are groups of variables of which exactly one is on, and one
energy couples them (`models.networks.monotone_energy`). Whatever is missing, pixels and label
alike, is answered by the same mean field, with what was observed clamped.

What differs from the paper: the mean field is found by `STEPS` damped steps, not by a proximal
operator with Anderson acceleration, and the gradient goes through the last of them only. A pixel is
a mixture of its two next grey levels. Temperatures for pixels and label are learned.
"""

from __future__ import annotations

import copy
import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from edge.sidecar import OutputMeaning
from models.networks.layers import ImageShape
from models.networks.monotone_energy import Coupling, Energy, Layer, Maps

#: Grey levels of a pixel, evenly spaced over what the training images have.
LEVELS = 4
#: Damped steps of an answer; those of training, and the last of these, which it differentiates.
STEPS, TRAINED, LEARNED = 16, 8, 3
_GROUP = 4  # hidden units of which one is on
_BIAS_STD = 0.5  # units that begin alike would stay alike

#: Power iterations at every step of training, and to answer.
_ITERATIONS, _ITERATIONS_TO_ANSWER = 1, 30

#: What training shows: at least so many pixels, or all but a block with sides up to so long.
_LEAST_SHOWN, _LONGEST_SIDE = 0.2, 0.75


class MonotoneBoltzmann(nn.Module):
    """Pixels, two hidden layers and the label.

    Args:
        shape: Of the pictures, and the number of classes.
        width: Channels of the first hidden layer; the second has twice as many.
    """

    #: What `forward` returns behind logits and features: name and meaning.
    extra_outputs: tuple[tuple[str, OutputMeaning], ...] = (("completed", "completed"),)

    low: Tensor
    high: Tensor

    def __init__(self, shape: ImageShape, *, width: int) -> None:
        super().__init__()
        rows, columns = shape.height // 2, shape.width // 2
        pixels = Layer(shape.channels * LEVELS, shape.height, shape.width, LEVELS)
        first = Layer(width, rows, columns, _GROUP)
        second = Layer(2 * width, rows // 2, columns // 2, _GROUP)
        label = Layer(shape.classes, 1, 1, shape.classes)
        self.couplings = nn.ModuleList(
            [
                Coupling(pixels, first, rows=width, stride=2),
                Coupling(first, second, rows=2 * width, stride=2),
                Coupling(second, label, rows=2 * width, stride=0),
                Coupling(pixels, label, rows=2 * width, stride=0),
            ]
        )
        with torch.no_grad():  # a pixel begins to matter by how bright it is
            grey = torch.linspace(-1.0, 1.0, LEVELS).repeat(shape.channels)
            for number in (0, 3):
                weight = cast(Coupling, self.couplings[number]).lower
                alike = weight[:, ::LEVELS].repeat_interleave(LEVELS, dim=1)
                weight.copy_(alike * grey[:, None, None])
        self.pixels = pixels
        self.layers = layers = (pixels, first, second, label)
        self.biases = nn.ParameterList()
        for layer in layers:
            bias = _BIAS_STD * torch.randn(1, layer.channels, 1, 1)
            bias = bias if layer in (first, second) else torch.zeros_like(bias)
            self.biases.append(nn.Parameter(bias.repeat(1, 1, layer.rows, layer.columns)))
        self.log_temperatures = nn.Parameter(torch.zeros(2))  # of pixels and label, upside down
        #: Grey levels of the darkest and the brightest pixel that training has seen.
        self.register_buffer("low", torch.tensor(math.inf))
        self.register_buffer("high", torch.tensor(-math.inf))
        self._fixed: Energy | None = None

    def fused(self) -> MonotoneBoltzmann:
        """Return a copy whose S and D are constants; see `capabilities.Reparameterised`."""
        other = copy.deepcopy(self)
        with torch.no_grad():
            other._fixed = other.energy()
        return other

    def energy(self) -> Energy:
        """Return Phi and b as they are now."""
        if self._fixed is not None:
            return self._fixed
        couplings = [cast(Coupling, one) for one in self.couplings]
        iterations = _ITERATIONS if self.training else _ITERATIONS_TO_ANSWER
        return Energy(self.layers, couplings, list(self.biases), iterations)

    def mean_field(self, energy: Energy, x: Tensor, observed: Tensor, steps: int) -> Maps:
        """Take steps from where the biases alone lead.

        Args:
            energy: What couples.
            x: Images (N, channels, H, W).
            observed: (N, 1, H, W) or (1, 1, H, W), 1 or 0.
            steps: Number of steps.
        """
        clamped = self.levels(x) * observed
        alike = clamped[:, :1, :1, :1] * 0.0  # one row for each image
        start = [one + alike for one in energy.softmax(energy.biases)]
        return energy.settle(start, clamped, 1.0 - observed, steps)

    def levels(self, x: Tensor) -> Tensor:
        """Return images as mixtures of the two next levels, (N, channels * LEVELS, H, W)."""
        place = (x - self.low) / (self.high - self.low) * (LEVELS - 1)
        level = torch.arange(LEVELS, dtype=x.dtype).reshape(1, 1, LEVELS, 1, 1)
        distance = torch.abs(place.clamp(0, LEVELS - 1).unsqueeze(2) - level)
        return self.pixels.join(functional.relu(1.0 - distance))

    def forward(self, x: Tensor, observed: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Map images (N, channels, H, W), seen where `observed` is 1 and not where it is 0.

        Args:
            x: The images.
            observed: (N, 1, H, W); None: everything.

        Returns:
            Logits (N, classes); features (N, channels), the mean of the second hidden layer; and
            the images with what was not observed filled in.
        """
        if observed is None:
            observed = x.new_ones(1, 1, *self.pixels.shape[1:])
        energy = self.energy()
        q = self.mean_field(energy, x, observed, STEPS)
        guesses, logits, features = self._read(energy, q)
        share = self.pixels.split(self.pixels.softmax(guesses))
        level = torch.linspace(0, 1, LEVELS, dtype=x.dtype).reshape(1, 1, LEVELS, 1, 1)
        filled = self.low + (self.high - self.low) * (share * level).sum(dim=2)
        return logits, features, x * observed + filled * (1.0 - observed)

    def loss(self, images: Tensor, labels: Tensor) -> Tensor:
        """Return half the cross-entropy of pixels that were not shown, and half the label's.

        Args:
            images: (N, channels, H, W).
            labels: (N,) int64.
        """
        with torch.no_grad():
            self.low.copy_(torch.minimum(self.low, images.min()))
            self.high.copy_(torch.maximum(self.high, images.max()))
        observed = draw_observed(len(images), *self.pixels.shape[1:])
        energy = self.energy()
        levels, hidden = self.levels(images), 1.0 - observed
        with torch.no_grad():
            q = self.mean_field(energy, images, observed, TRAINED - LEARNED)
        q = energy.settle(q, levels * observed, hidden, LEARNED)
        guesses, logits, _ = self._read(energy, q)
        surprise = -self.pixels.join(torch.log_softmax(self.pixels.split(guesses), dim=2))
        count = (hidden.sum() * images.shape[1]).clamp(min=1.0)
        of_pixels = (surprise * levels * hidden).sum() / count
        return 0.5 * of_pixels + 0.5 * functional.cross_entropy(logits, labels)

    def _read(self, energy: Energy, q: Maps) -> tuple[Tensor, Tensor, Tensor]:
        """Return logits of the pixels' levels and of the classes, and features."""
        guesses, fields = energy.fields(q, (0, 3))
        sharp = self.log_temperatures.exp()
        return guesses * sharp[0], fields.flatten(1) * sharp[1], q[2].mean(dim=(2, 3))


def draw_observed(count: int, height: int, width: int) -> Tensor:
    """Draw which pixels (count, 1, height, width) training shows: 1 or 0.

    Of every other picture some of the pixels, each by itself; of the others all but a block.
    """
    share = _LEAST_SHOWN + (1.0 - _LEAST_SHOWN) * torch.rand(count, 1, 1, 1)
    scattered = torch.rand(count, 1, height, width) < share
    within = []
    for size in (height, width):
        side = _LONGEST_SIDE * size * torch.rand(count, 1)
        first = (size - side) * torch.rand(count, 1)
        middle = torch.arange(size) + 0.5
        within.append((middle >= first) & (middle < first + side))
    block = within[0][:, None, :, None] & within[1][:, None, None, :]
    scatters = (torch.arange(count) % 2 == 0).reshape(-1, 1, 1, 1)
    return torch.where(scatters, scattered, ~block).float()
