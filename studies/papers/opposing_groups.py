"""Which samples pull a network in opposite directions, found by the course of their losses.

The finder of opposing signals (2311.04163): the samples whose losses move most are parted into
those that rise and those that fall at the largest jump of the mean loss, each side is grouped by
features, and two groups of different sides oppose each other if their gradients do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from scipy.cluster.hierarchy import fcluster, linkage
from torch import Tensor

#: Share of the samples that is looked at, and how far apart, 1 - cosine of features, groups are.
_MOVING = 0.05
_APART = 0.1
#: Gradients oppose each other whose cosine is lower.
_OPPOSITE = -0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Opposing:
    """Two groups of samples, by their numbers, and the cosine of their gradients."""

    rising: Tensor
    falling: Tensor
    cosine: float

    @property
    def samples(self) -> Tensor:
        """The numbers of both."""
        return torch.cat([self.rising, self.falling])


def strongest_opposing(
    losses: Tensor, features: Tensor, gradient: Callable[[Tensor], Tensor]
) -> Opposing | None:
    """Return the opposing groups with the largest product of what one rises and the other falls.

    Args:
        losses: (steps, N), of every sample before each step.
        features: (N, units), by which samples are grouped.
        gradient: Returns that of the mean loss of some samples, as one vector.
    """
    change = losses.diff(dim=0)
    movers = change.abs().sum(dim=0).topk(max(2, int(_MOVING * len(features)))).indices
    jump = change[change.mean(dim=1).argmax()]
    up = list(_grouped(movers[jump[movers] > 0.0], features))
    down = list(_grouped(movers[jump[movers] <= 0.0], features))
    best, size = None, 0.0
    for rising, falling in product(up, down):
        strength = float(-jump[rising].sum() * jump[falling].sum())
        if strength > size:
            slopes = gradient(rising), gradient(falling)
            cosine = float(torch.nn.functional.cosine_similarity(*slopes, dim=0))
            if cosine < _OPPOSITE:
                best, size = Opposing(rising=rising, falling=falling, cosine=cosine), strength
    return best


def _grouped(members: Tensor, features: Tensor) -> Iterator[Tensor]:
    """Yield the groups of some samples (n,) by the mean angle between their features."""
    if len(members) < 2:
        if len(members):
            yield members
        return
    tree = linkage(features[members].double().numpy(), "average", metric="cosine")
    names = fcluster(tree, _APART, "distance")
    for name in np.unique(names):
        yield members[torch.from_numpy(names == name)]
