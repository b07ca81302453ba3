"""The large single reference: a wide residual network (Zagoruyko and Komodakis 2016, 1605.07146).

Its blocks are those of `residual` (activation after the sum, so that every batch normalisation
folds into its convolution at export); the later stages have two of them.
"""

from __future__ import annotations

from models.networks.residual import ResidualNetwork


class WideResidualNetwork(ResidualNetwork):
    """One, two and two blocks of `width`, 2 `width` and 4 `width` channels."""

    def __init__(self, channels: int, classes: int, *, width: int) -> None:
        super().__init__(channels, classes, width=width, blocks=(1, 2, 2))
