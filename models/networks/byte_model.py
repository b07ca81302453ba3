"""A causal model of text as bytes, from the blocks of the vision transformer."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from models.mixers.attention import HeadShape
from models.mixers.dual_stream import DualStreamBlock
from models.mixers.kernel_attention import linear_attention, random_feature_attention
from models.networks.mixed_transformer import BLOCKS, BlockKind, MixedBlock

_BYTES = 256
_STD = 0.02  # of the embeddings of bytes and places at the beginning

_DENSE = BLOCKS["attention"].dense

#: Blocks with one stream, by name.
BYTE_BLOCKS: dict[str, BlockKind] = {
    "attention": BLOCKS["attention"],
    "grassmann": BLOCKS["grassmann"],
    "linear": BlockKind(mixer=linear_attention, dense=_DENSE),
    "random_features": BlockKind(mixer=random_feature_attention, dense=_DENSE),
}

#: Blocks with two streams, by name, which says how they mix their heads.
DUAL_BLOCKS: dict[str, Callable[[HeadShape], DualStreamBlock]] = {
    "dual_dense": partial(DualStreamBlock, mixing="dense"),
    "dual_kronecker": partial(DualStreamBlock, mixing="kronecker"),
    "dual_independent": partial(DualStreamBlock, mixing="independent"),
}


class ByteModel(nn.Module):
    """Says which byte comes next, after each byte of a text.

    Args:
        kind: Name in `BYTE_BLOCKS` or `DUAL_BLOCKS`.
        context: Bytes of a text.
        width: Numbers per byte.
        heads: Heads of every block.
        depth: Number of blocks.
    """

    def __init__(self, kind: str, *, context: int, width: int, heads: int, depth: int) -> None:
        super().__init__()
        shape = HeadShape(tokens=context, heads=heads, width=width, causal=True)
        self.bytes = nn.Embedding(_BYTES, width)
        self.places = nn.Parameter(nn.init.trunc_normal_(torch.empty(context, width), std=_STD))
        nn.init.normal_(self.bytes.weight, std=_STD)
        self.dual = kind in DUAL_BLOCKS
        self.blocks = nn.ModuleList(
            DUAL_BLOCKS[kind](shape) if self.dual else MixedBlock(shape, BYTE_BLOCKS[kind])
            for _ in range(depth)
        )
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, _BYTES)

    def forward(self, text: Tensor) -> Tensor:
        """Return logits of the byte after each of texts (N, context) int64: (N, context, 256).

        No answer depends on a later byte.
        """
        x: Tensor = self.bytes(text) + self.places
        if self.dual:
            x = torch.cat([x, torch.zeros_like(x)], dim=2)
        for block in self.blocks:
            x = block(x) if self.dual else block(x)[0]
        if self.dual:
            tokens, context = x.chunk(2, dim=2)
            x = tokens + context
        logits: Tensor = self.head(self.norm(x))
        return logits
