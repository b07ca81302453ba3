"""A block with two streams (Dual-Stream Transformer, 2026, arXiv 2603.07461).

What flows past the blocks is split: only attention writes to the tokens' stream, and only the dense
layer to the stream of context. If both read the sum of the streams, this is the ordinary block,
rewritten; here queries, keys and the dense layer read the sum, and values the tokens' stream alone.
Which is read where was not found in the paper's abstract.

The heads of values and output may be kept apart: `dense` mixes all, `kronecker` only says how much
a head takes of each other, `independent` keeps every head to its own channels.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from models.mixers.attention import HeadShape

HeadMixing = Literal["dense", "kronecker", "independent"]
_EXPANSION = 2


class MixedHeads(nn.Module):
    """A linear layer (N, tokens, width) to the same shape that mixes heads in one of three ways."""

    def __init__(self, shape: HeadShape, mixing: HeadMixing) -> None:
        super().__init__()
        self.shape, self.mixing = shape, mixing
        heads, size = shape.heads, shape.size
        sizes = {
            "dense": (shape.width, shape.width),
            "kronecker": (heads, heads),
            "independent": (heads, size, size),
        }[mixing]
        bound = 1.0 / math.sqrt(sizes[-1])
        self.weight = nn.Parameter(torch.empty(sizes).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens (N, tokens, width) to the same shape."""
        if self.mixing == "dense":
            return x @ self.weight
        if self.mixing == "independent":
            return self.shape.join(self.shape.split(x) @ self.weight)
        apart = x.reshape(-1, self.shape.tokens, self.shape.heads, self.shape.size)
        mixed = (apart.transpose(2, 3) @ self.weight).transpose(2, 3)
        return mixed.reshape(-1, self.shape.tokens, self.shape.width)


class DualStreamBlock(nn.Module):
    """Attention that writes to one stream, and a dense layer that writes to the other.

    Args:
        shape: How attention divides the tokens.
        mixing: How values and output mix the heads.
    """

    def __init__(self, shape: HeadShape, mixing: HeadMixing) -> None:
        super().__init__()
        self.shape = shape
        width, hidden = shape.width, _EXPANSION * shape.width
        self.mixer_norm, self.token_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.dense_norm = nn.LayerNorm(width)
        self.content = nn.Linear(width, 2 * width, bias=False)
        self.value, self.output = MixedHeads(shape, mixing), MixedHeads(shape, mixing)
        self.dense = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))

    def forward(self, streams: Tensor) -> Tensor:
        """Map the streams of tokens and context, (N, tokens, 2 * width), to the same shape."""
        tokens, context = streams.chunk(2, dim=2)
        attention = self.shape.content_attention(self.content(self.mixer_norm(tokens + context)))
        values = self.value(self.token_norm(tokens))
        tokens = tokens + self.output(self.shape.gather(attention, values))
        context = context + self.dense(self.dense_norm(tokens + context))
        return torch.cat([tokens, context], dim=2)
