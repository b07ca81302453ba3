"""Kernels on the unit sphere that infinitely wide networks compute (arXiv 2204.14126).

An infinitely wide layer turns the cosine z of two inputs into another cosine k(z), k(1) = 1; many
layers repeat it. What is left after infinitely many of them depends on k at two points only:

- k(0) > 0: all cosines meet, every training point has the same say: majority vote;
- k(0) = 0, k'(0) = 0: all but the nearest vanish at once: nearest neighbour;
- k(0) = 0, 0 < k'(0) < 1: they fall like a power of the distance, |x - x'|^-alpha with
  alpha = -2 ln k'(0) / ln k'(1): the singular kernel.

Everything here maps tensors elementwise and traces into ONNX.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from bicameral.errors import ConfigError

Limit = Literal["majority_vote", "nearest_neighbour", "singular"]

#: Maps cosines to kernel values, elementwise.
Kernel = Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerMap:
    """One layer, k(z) = a z + (1 - a) z^m: the simplest map with a chosen slope at 0 and at 1.

    Attributes:
        a: k'(0), 0..1, 1 excluded.
        m: Power, at least 2.
    """

    a: float
    m: int

    def __post_init__(self) -> None:
        if not (0.0 <= self.a < 1.0 and self.m >= 2):
            raise ConfigError(
                f"the map has a = {self.a} and m = {self.m}, expected 0 <= a < 1 and m of at "
                "least 2"
            )

    def __call__(self, z: Tensor) -> Tensor:
        """Map cosines elementwise."""
        power = z
        for _ in range(self.m - 1):  # a power of a tensor is slower in ONNX Runtime
            power = power * z
        return self.a * z + (1.0 - self.a) * power

    @property
    def alpha(self) -> float:
        """Exponent of the singular kernel.

        Raises:
            ConfigError: If k'(0) is 0, where the limit is the nearest neighbour.
        """
        if self.a == 0.0:
            raise ConfigError("a map with k'(0) = 0 has no singular limit: it is nearest neighbour")
        return -2.0 * math.log(self.a) / math.log(self.a + (1.0 - self.a) * self.m)


def limit_of(value_at_0: float, slope_at_0: float) -> Limit:
    """Return what infinitely many layers classify by.

    Args:
        value_at_0: k(0), 0..1.
        slope_at_0: k'(0), 0..1.
    """
    if value_at_0 > 0.0:
        return "majority_vote"
    return "singular" if slope_at_0 > 0.0 else "nearest_neighbour"


def singular_kernel(layer: PowerMap, depth: int) -> Kernel:
    """Return the kernel of `depth` layers over that of cosine 0's slope, a^depth.

    Off the diagonal it converges with the depth; a training point itself gets the weight a^-depth.
    """

    def kernel(z: Tensor) -> Tensor:
        return network_gaussian_process(layer, depth)(z) / layer.a**depth

    return kernel


def arc_cosine(z: Tensor) -> Tensor:
    """Return the map of a ReLU layer (Cho and Saul 2009), normalised to k(1) = 1."""
    z = z.clamp(-1.0, 1.0)
    return (torch.sqrt(1.0 - z * z) + z * (math.pi - torch.acos(z))) / math.pi


def arc_cosine_slope(z: Tensor) -> Tensor:
    """Return the derivative of `arc_cosine`."""
    return (math.pi - torch.acos(z.clamp(-1.0, 1.0))) / math.pi


def network_gaussian_process(layer: Kernel, depth: int) -> Kernel:
    """Return the kernel of a random network whose last layer alone is trained."""

    def kernel(z: Tensor) -> Tensor:
        for _ in range(depth):
            z = layer(z)
        return z

    return kernel


def neural_tangent(layer: Kernel, slope: Kernel, depth: int) -> Kernel:
    """Return the kernel of a network whose layers are all trained, over its value at cosine 1."""

    def kernel(z: Tensor) -> Tensor:
        tangent = z
        for _ in range(depth):
            tangent = layer(z) + tangent * slope(z)
            z = layer(z)
        return tangent

    one = float(kernel(torch.ones(1, dtype=torch.float64))[0])
    return lambda z: kernel(z) / one
