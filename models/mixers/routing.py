"""What experts were asked for, and the loss that keeps them all at work."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Routes:
    """What a router did with the pictures of a batch.

    Attributes:
        wanted: (N, experts): what it gave to each, 0..1, mean over a picture's tokens; sums to 1.
        used: (N, experts): share of a picture's tokens that each answered for.
    """

    wanted: Tensor
    used: Tensor

    def imbalance(self) -> Tensor:
        """Return experts * sum(wanted * used), least where all experts have the same load.

        The load-balance loss of Switch Transformers (Fedus et al. 2021, 2101.03961), over the
        batch; `used` has no gradient, `wanted` has.
        """
        wanted, used = self.wanted.mean(dim=0), self.used.detach().mean(dim=0)
        return self.used.shape[1] * (wanted * used).sum()


def chosen(wanted: Tensor, count: int) -> Tensor:
    """Return 1 for the `count` largest numbers of the last axis and 0 for the others.

    Every row decides for itself; of equal ones at the edge all are chosen.
    """
    least = wanted.topk(count, dim=-1).values[..., -1:]
    return (wanted >= least).to(wanted.dtype)
