"""Multi-head self-attention (Vaswani et al. 2017, 1706.03762), and how heads divide tokens."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadShape:
    """How attention divides its tokens; constants, so that no graph asks for a shape at run time.

    Attributes:
        tokens: Patches, and the class token where there is one.
        heads: Number of heads.
        width: Numbers per token, a multiple of `heads`.
        causal: Whether tokens are a text, in which none may see a later one.
    """

    tokens: int
    heads: int
    width: int
    causal: bool = False

    @property
    def size(self) -> int:
        """Numbers of a token that a head has."""
        return self.width // self.heads

    def split(self, x: Tensor, parts: int = 1) -> Tensor:
        """Map (N, tokens, parts * width) to (N, parts * heads, tokens, width / heads)."""
        return x.reshape(-1, self.tokens, parts * self.heads, self.size).transpose(1, 2)

    def content_attention(self, queries_and_keys: Tensor) -> Tensor:
        """Return softmax(q k / sqrt(d)), (N, heads, tokens, tokens), of (N, tokens, 2 width)."""
        split = self.split(queries_and_keys, 2)
        queries, keys = split[:, : self.heads], split[:, self.heads :]
        scale = math.sqrt(self.heads / self.width)
        scores = queries @ (keys * scale).transpose(2, 3)
        if self.causal:
            places = torch.arange(self.tokens)
            scores = scores.masked_fill(places > places[:, None], -math.inf)
        return scores.softmax(dim=-1)

    def gather(self, attention: Tensor, values: Tensor) -> Tensor:
        """Sum values (N, tokens, width) by an attention (N, heads, tokens, tokens)."""
        return self.join(attention @ self.split(values))

    def join(self, heads: Tensor) -> Tensor:
        """Map what the heads say (N, heads, tokens, width / heads) to (N, tokens, width)."""
        return heads.transpose(1, 2).reshape(-1, self.tokens, self.width)


class SelfAttention(nn.Module):
    """Ordinary multi-head self-attention."""

    def __init__(self, shape: HeadShape) -> None:
        super().__init__()
        self.shape = shape
        self.content = nn.Linear(shape.width, 2 * shape.width, bias=False)
        self.value = nn.Linear(shape.width, shape.width, bias=False)
        self.output = nn.Linear(shape.width, shape.width)

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens (N, tokens, width) to the same shape."""
        mixed: Tensor = self.output(self.shape.gather(self.attention(x), self.value(x)))
        return mixed

    def attention(self, x: Tensor) -> Tensor:
        """Return what each token takes from each, (N, heads, tokens, tokens); rows sum to 1."""
        return self.shape.content_attention(self.content(x))
