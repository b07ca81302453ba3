"""A vision transformer whose blocks mix their tokens, and treat them, in any of several ways.

The convolutions that embed patches are those of ConViT here; the mean over the patches stands for
the picture. With ordinary attention and dense layers it is the control of what chooses: the same
width, heads and depth.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from edge.sidecar import OutputMeaning
from models.mixers.attention import HeadShape, SelfAttention
from models.mixers.dual_stream import DualStreamBlock, HeadMixing
from models.mixers.grassmann import GrassmannMixing
from models.mixers.mixture_of_heads import MixtureOfHeads
from models.mixers.routing import Routes
from models.mixers.union_of_experts import SelectiveAttention, UnionOfExperts
from models.networks.layers import ImageShape, embed_patches, patch_grid

_EXPANSION = 2
_STD = 0.02  # of the embeddings of places at the beginning, as for ConViT

#: Weight of `Routes.imbalance`, mean over blocks. The .01 of MoH hardly acts at this size.
_BALANCE = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockKind:
    """How a block is made: what mixes the tokens, and what treats each of them (from a width)."""

    mixer: Callable[[HeadShape], nn.Module]
    dense: Callable[[int], nn.Module]


def _dense(width: int) -> nn.Module:
    hidden = _EXPANSION * width
    return nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))


def _union(width: int) -> nn.Module:
    return UnionOfExperts(width, _EXPANSION * width, experts=4, chosen=2)


def _mixture(shape: HeadShape) -> nn.Module:
    return MixtureOfHeads(shape, shared=2, chosen=(shape.heads - 2) // 2)


#: Every kind of block by name.
BLOCKS: dict[str, BlockKind] = {
    "attention": BlockKind(mixer=SelfAttention, dense=_dense),
    "mixture_of_heads": BlockKind(mixer=_mixture, dense=_dense),
    "union_of_experts": BlockKind(mixer=SelectiveAttention, dense=_union),
    "grassmann": BlockKind(mixer=GrassmannMixing, dense=_dense),
}

#: What `MixedTransformer` calls blocks of two streams, and how these mix their heads.
DUAL_STREAM = "dual_stream"
_HEAD_MIXING: HeadMixing = "kronecker"


class MixedBlock(nn.Module):
    """Tokens that see each other, then are treated alone, each with a shortcut around it."""

    def __init__(self, shape: HeadShape, kind: BlockKind) -> None:
        super().__init__()
        self.mixer_norm, self.mixer = nn.LayerNorm(shape.width), kind.mixer(shape)
        self.dense_norm, self.dense = nn.LayerNorm(shape.width), kind.dense(shape.width)

    def forward(self, x: Tensor) -> tuple[Tensor, Routes | None]:
        """Map tokens (N, tokens, width) to the same shape, and the routes of what chooses."""
        mixed, routes = _routed(self.mixer, self.mixer_norm(x))
        x = x + mixed
        treated, others = _routed(self.dense, self.dense_norm(x))
        return x + treated, routes or others


def _routed(layer: nn.Module, x: Tensor) -> tuple[Tensor, Routes | None]:
    if isinstance(layer, MixtureOfHeads | UnionOfExperts):
        return layer.routed(x)
    return layer(x), None


class MixedTransformer(nn.Module):
    """Patches of 4x4 pixels, blocks of one kind, the mean over the patches.

    Args:
        shape: Of the pictures, and the number of classes.
        kind: Name in `BLOCKS`, or `DUAL_STREAM`.
        width: Numbers per patch.
        heads: Heads of every block.
        depth: Number of blocks.
    """

    def __init__(
        self, shape: ImageShape, *, kind: str, width: int = 48, heads: int = 6, depth: int = 4
    ) -> None:
        super().__init__()
        patches = math.prod(patch_grid(shape))
        self.embedded_shape = (width, patches)
        self.embedding = embed_patches(shape.channels, width)
        self.places = nn.Parameter(nn.init.trunc_normal_(torch.empty(1, patches, width), std=_STD))
        head_shape = HeadShape(tokens=patches, heads=heads, width=width)
        self.streams = 2 if kind == DUAL_STREAM else 1
        self.blocks = nn.ModuleList(
            DualStreamBlock(head_shape, _HEAD_MIXING)
            if kind == DUAL_STREAM
            else MixedBlock(head_shape, BLOCKS[kind])
            for _ in range(depth)
        )
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, shape.classes)
        self._chooses = any(
            isinstance(one, MixtureOfHeads | UnionOfExperts) for one in self.modules()
        )

    @property
    def extra_outputs(self) -> tuple[tuple[str, OutputMeaning], ...]:
        """What a network that chooses says of its choice."""
        return (("routes", "routes"),) if self._chooses else ()

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Map images (N, channels, H, W) to logits (N, classes) and features (N, width).

        A network that chooses also returns which share of a picture's patches each expert of each
        block answered for, (N, depth, experts).
        """
        logits, features, routes = self._answer(x)
        if not routes:
            return logits, features
        return logits, features, torch.stack([one.used for one in routes], dim=1)

    def with_loss_terms(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return logits (N, classes), and what is added to their loss, by name."""
        logits, _, routes = self._answer(images)
        if not routes:
            return logits, {}
        imbalance = torch.stack([one.imbalance() for one in routes]).mean()
        return logits, {"balance": _BALANCE * imbalance}

    def _answer(self, x: Tensor) -> tuple[Tensor, Tensor, list[Routes]]:
        embedded: Tensor = self.embedding(x).reshape(-1, *self.embedded_shape)
        tokens, routes = embedded.transpose(1, 2) + self.places, []
        if self.streams == 2:
            streams = torch.cat([tokens, torch.zeros_like(tokens)], dim=2)
            for block in self.blocks:
                streams = block(streams)
            first, second = streams.chunk(2, dim=2)
            tokens = first + second
        else:
            for block in self.blocks:
                tokens, found = block(tokens)
                if found is not None:
                    routes.append(found)
        features = self.norm(tokens).mean(dim=1)
        return self.head(features), features, routes
