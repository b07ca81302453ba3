"""Causal attention whose weights are products of features, at a cost linear in the length.

With weights phi(q) . phi(k) instead of exp(q . k), what a token takes of all earlier ones is

    phi(q) S / phi(q) z,    S = sum phi(k) v',    z = sum phi(k),

and S and z are running sums. Two ways to make features:

* `elu_features`: elu + 1 of every number (Katharopoulos et al. 2020, 2006.16236);
* `RandomFeatures`: positive random features, whose products are exp(q . k) on average (Choromanski
  et al. 2021, 2009.14794). Drawn once; nothing is subtracted before the exponential, since the
  largest key of a text is known only at its end, and |w| bounds it anyway.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.mixers.attention import HeadShape

#: Tokens that are compared pair by pair; earlier ones come as sums.
_CHUNK = 32
#: Random features of a number of a head.
_FEATURES_PER_NUMBER = 2
_EPS = 1e-6  # of a feature: the sum of weights is never 0


def elu_features(x: Tensor) -> Tensor:
    """Map queries or keys to as many positive numbers."""
    return functional.elu(x) + 1.0


class RandomFeatures(nn.Module):
    """Maps queries or keys (..., size) to positive random features (..., 2 size)."""

    directions: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        # Orthogonal directions with the lengths of Gaussian ones.
        blocks = [torch.linalg.qr(torch.randn(size, size))[0] for _ in range(_FEATURES_PER_NUMBER)]
        lengths = torch.randn(_FEATURES_PER_NUMBER * size, size).norm(dim=1)
        self.register_buffer("directions", (torch.cat(blocks) * lengths[:, None]).T)

    def forward(self, x: Tensor) -> Tensor:
        """Return exp(w . x' - |x'|^2 / 2), x' = x / size^(1/4), for each direction w."""
        x = x * x.shape[-1] ** -0.25
        half = x.square().sum(dim=-1, keepdim=True) / 2.0
        return torch.exp(x @ self.directions - half) + _EPS


class KernelAttention(nn.Module):
    """Multi-head attention of a text by features instead of softmax.

    Args:
        shape: How tokens are divided; causal.
        features: Maps queries and keys (N, heads, tokens, size) to positive (..., features).

    Raises:
        ValueError: If the tokens are not causal, which nobody has needed.
    """

    def __init__(self, shape: HeadShape, features: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        if not shape.causal:
            raise ValueError("attention by features is for causal tokens; set `causal`")
        self.shape, self.features = shape, features
        self.chunk = min(_CHUNK, shape.tokens)
        self.chunks = math.ceil(shape.tokens / self.chunk)
        self.content = nn.Linear(shape.width, 2 * shape.width, bias=False)
        self.value = nn.Linear(shape.width, shape.width, bias=False)
        self.output = nn.Linear(shape.width, shape.width)

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens (N, tokens, width) to the same shape."""
        split = self.shape.split(self.content(x), 2)
        queries, keys = (self._chunked(self.features(one)) for one in split.chunk(2, dim=1))
        # A column of ones beside the values: their sum by the same weights is what divides.
        values = self._chunked(functional.pad(self.shape.split(self.value(x)), (0, 1), value=1.0))
        sums = keys.transpose(3, 4) @ values
        earlier = sums.cumsum(dim=2) - sums
        places = torch.arange(self.chunk)
        pairs = (queries @ keys.transpose(3, 4)).masked_fill(places > places[:, None], 0.0)
        taken = (queries @ earlier + pairs @ values).flatten(2, 3)[:, :, : self.shape.tokens]
        mixed: Tensor = self.output(self.shape.join(taken[..., :-1] / taken[..., -1:]))
        return mixed

    def _chunked(self, x: Tensor) -> Tensor:
        """Map (N, heads, tokens, D) to (N, heads, chunks, tokens of each, D), the last filled."""
        x = functional.pad(x, (0, 0, 0, self.chunks * self.chunk - self.shape.tokens))
        return x.reshape(-1, self.shape.heads, self.chunks, self.chunk, x.shape[-1])


def linear_attention(shape: HeadShape) -> KernelAttention:
    """Return attention by the features `elu_features`."""
    return KernelAttention(shape, elu_features)


def random_feature_attention(shape: HeadShape) -> KernelAttention:
    """Return attention by random features drawn now."""
    return KernelAttention(shape, RandomFeatures(shape.size))
