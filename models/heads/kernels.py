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

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from bicameral.errors import ConfigError

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


def singular_kernel(layer: PowerMap, depth: int) -> Kernel:
    """Return the kernel of `depth` layers over that of cosine 0's slope, a^depth.

    Off the diagonal it converges with the depth; a training point itself gets the weight a^-depth.
    """

    def kernel(z: Tensor) -> Tensor:
        return network_gaussian_process(layer, depth)(z) / layer.a**depth

    return kernel


def network_gaussian_process(layer: Kernel, depth: int) -> Kernel:
    """Return the kernel of a random network whose last layer alone is trained."""

    def kernel(z: Tensor) -> Tensor:
        for _ in range(depth):
            z = layer(z)
        return z

    return kernel
