"""A dense block cut into experts that choose or are chosen (Union of Experts, 2503.02495).

Cut as tensor parallelism cuts it: an expert is an attention head with its columns of the output
matrix, or a slice of the hidden units of the two dense layers. There are two ways to choose:

* `SelectiveAttention`: every head takes the half of the tokens that it likes best and attends among
  them alone. A fixed number, so shapes are constants, and no head can be idle. A token that no
  head takes goes on by the shortcut around the block.
* `UnionOfExperts`: every picture takes the slices of hidden units that it likes best.

The released gate divides by a sum over the batch, and its router reads the flattened sequence. Here
a picture's routes depend on that picture alone and its size on nothing: heads choose by softmax
over the heads of a token, pictures by the mean of their tokens.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.mixers.attention import HeadShape
from models.mixers.routing import Routes


class SelectiveAttention(nn.Module):
    """Attention in which each head sees only the half of the tokens that it chose.

    Queries, keys and values are computed for chosen tokens alone, so they cost half and the
    attention a quarter of what ordinary attention does.

    Raises:
        ValueError: If tokens are causal: heads choose among all of them.
    """

    positions: Tensor

    def __init__(self, shape: HeadShape) -> None:
        super().__init__()
        if shape.causal:
            raise ValueError(
                "heads that choose among all tokens see later ones; take another mixer"
            )
        self.shape = shape
        self.chosen = (shape.tokens + 1) // 2
        self.router = nn.Linear(shape.width, shape.heads, bias=False)
        # Of each head: queries, keys and values beside each other.
        self.content = nn.Parameter(torch.empty(shape.heads, shape.width, 3 * shape.size))
        self.output = nn.Linear(shape.width, shape.width)
        positions = torch.arange(shape.tokens).reshape(1, 1, -1, 1)
        self.register_buffer("positions", positions, persistent=False)
        bound = 1.0 / math.sqrt(shape.width)  # as a linear layer without bias begins
        nn.init.uniform_(self.content, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens (N, tokens, width) to the same shape."""
        wanted = self.router(x).softmax(dim=-1).transpose(1, 2)
        share, index = wanted.topk(self.chosen, dim=2)
        # (N, heads, chosen, width): the tokens of each head.
        tokens = x.unsqueeze(1).expand(-1, self.shape.heads, -1, -1)
        taken = tokens.gather(2, index.unsqueeze(3).expand(-1, -1, -1, self.shape.width))
        queries, keys, values = (taken @ self.content).chunk(3, dim=3)
        scale = 1.0 / math.sqrt(self.shape.size)
        attention = (queries @ (keys * scale).transpose(2, 3)).softmax(dim=-1)
        found = (self.shape.heads * share).unsqueeze(3) * (attention @ values)
        # Back to their places; a product puts zeros elsewhere and asks for no shape.
        places = (self.positions == index.unsqueeze(2)).to(found.dtype)
        mixed: Tensor = self.output(self.shape.join(places @ found))
        return mixed


class UnionOfExperts(nn.Module):
    """Two dense layers of which every picture takes some slices of the hidden units.

    Args:
        width: Numbers per token.
        hidden: Hidden units of all experts together.
        experts: Slices.
        chosen: How many of them a picture takes.
    """

    def __init__(self, width: int, hidden: int, *, experts: int, chosen: int) -> None:
        super().__init__()
        self.chosen = chosen
        size = hidden // experts
        self.router = nn.Linear(width, experts, bias=False)
        self.first = nn.Parameter(torch.empty(experts, width, size))
        self.first_bias = nn.Parameter(torch.empty(experts, 1, size))
        self.second = nn.Parameter(torch.empty(experts, size, width))
        self.bias = nn.Parameter(torch.empty(width))
        # As the two linear layers begin that they are slices of.
        for weights, inputs in (
            (self.first, width),
            (self.first_bias, width),
            (self.second, hidden),
            (self.bias, hidden),
        ):
            nn.init.uniform_(weights, -1.0 / math.sqrt(inputs), 1.0 / math.sqrt(inputs))

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens (N, tokens, width) to the same shape."""
        return self.routed(x)[0]

    def routed(self, x: Tensor) -> tuple[Tensor, Routes]:
        """Return what `forward` does, and which experts each picture took."""
        wanted = self.router(x.mean(dim=1)).softmax(dim=-1)
        share, index = wanted.topk(self.chosen, dim=1)
        weight = self.chosen * share / share.sum(dim=1, keepdim=True)
        hidden = functional.gelu(x.unsqueeze(1) @ self.first[index] + self.first_bias[index])
        found = (hidden @ self.second[index]) * weight[:, :, None, None]
        numbers = torch.arange(wanted.shape[1], device=x.device)
        used = (index.unsqueeze(2) == numbers).to(x.dtype).sum(dim=1)
        return found.sum(dim=1) + self.bias, Routes(wanted=wanted, used=used)
