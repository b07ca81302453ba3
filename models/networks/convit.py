"""A vision transformer that begins as a convolution (ConViT, d'Ascoli et al. 2021, 2103.10697).

The first blocks use gated positional self-attention (GPSA). Each of its heads mixes what a patch
contains with where it lies,

    A = (1 - sigmoid(g)) softmax(q k / sqrt(d)) + sigmoid(g) softmax(v . r),

where r = (dx, dy, dx^2 + dy^2) is the offset of two patches, and starts out looking at one place
beside each patch, like one weight of a convolution. Training decides by the gate g, head by head,
how much of that it keeps. The last blocks are ordinary self-attention, and only there the class
token joins. The rows of both softmaxes sum to one and so do those of A; the renormalisation in the
authors' code changes nothing but rounding and is left out.
"""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.mixers.attention import HeadShape, SelfAttention
from models.networks.layers import ImageShape, embed_patches, patch_grid

_EXPANSION = 2
_INITIAL_STD = 0.02  # of the embeddings of places and class, as in the authors' code


class GatedPositionalAttention(nn.Module):
    """GPSA over a grid of patches, initialised to be local.

    Args:
        width: Numbers per patch.
        heads: A square number: the heads begin on the places of a square grid, as the weights of
            a convolution do.
        grid: Rows and columns of patches.
        locality: How sharply a head looks at its place at the beginning; the paper's alpha.
    """

    offsets: Tensor

    def __init__(
        self, width: int, heads: int, grid: tuple[int, int], *, locality: float = 1.0
    ) -> None:
        super().__init__()
        self.shape = HeadShape(tokens=grid[0] * grid[1], heads=heads, width=width)
        self.content = nn.Linear(width, 2 * width, bias=False)
        self.value = nn.Linear(width, width, bias=False)
        self.output = nn.Linear(width, width)
        self.position = nn.Linear(3, heads)
        self.gate = nn.Parameter(torch.ones(heads))
        # Follows from the shape of the network, so no checkpoint keeps it.
        self.register_buffer("offsets", patch_offsets(grid), persistent=False)
        self._begin_local(locality)

    def forward(self, x: Tensor) -> Tensor:
        """Map patches (N, patches, width) to the same shape."""
        mixed: Tensor = self.output(self.shape.gather(self.attention(x), self.value(x)))
        return mixed

    def attention(self, x: Tensor) -> Tensor:
        """Return what each patch takes from each, (N, heads, patches, patches); rows sum to 1."""
        content = self.shape.content_attention(self.content(x))
        gate = torch.sigmoid(self.gate)[:, None, None]
        return (1.0 - gate) * content + gate * self.position_attention()

    def position_attention(self) -> Tensor:
        """Return the part of the attention that no image changes, (heads, patches, patches)."""
        scores: Tensor = self.position(self.offsets)
        return scores.permute(2, 0, 1).softmax(dim=-1)

    @torch.no_grad()
    def _begin_local(self, locality: float) -> None:
        """Set the heads on a grid of places one patch apart, centred on the patch itself.

        The score -locality |offset - place|^2 is, up to a constant that the softmax removes,
        locality (2 place . offset - |offset|^2). With an even number of heads per side the places
        lie between patches, and a head begins with the four around its place.
        """
        nn.init.eye_(self.value.weight)
        nn.init.zeros_(self.position.bias)
        side = math.isqrt(self.shape.heads)
        for head in range(side * side):
            row, column = (index - (side - 1) / 2.0 for index in divmod(head, side))
            self.position.weight[head] = locality * torch.tensor([2.0 * column, 2.0 * row, -1.0])


class FixedPositionAttention(nn.Module):
    """A trained GPSA at run time: nothing that no image changes is computed again."""

    positions: Tensor
    content_share: Tensor

    def __init__(self, trained: GatedPositionalAttention) -> None:
        super().__init__()
        self.shape = trained.shape
        self.content, self.value, self.output = trained.content, trained.value, trained.output
        gate = torch.sigmoid(trained.gate.detach())[:, None, None]
        self.register_buffer("content_share", 1.0 - gate)
        self.register_buffer("positions", gate * trained.position_attention().detach())

    def forward(self, x: Tensor) -> Tensor:
        """Map patches (N, patches, width) to the same shape."""
        content = self.shape.content_attention(self.content(x))
        attention = self.content_share * content + self.positions
        mixed: Tensor = self.output(self.shape.gather(attention, self.value(x)))
        return mixed


class ConVitBlock(nn.Module):
    """Attention, then two dense layers, each with a shortcut around it."""

    def __init__(self, attention: GatedPositionalAttention | SelfAttention) -> None:
        super().__init__()
        width = attention.shape.width
        self.attention_norm = nn.LayerNorm(width)
        self.attention: nn.Module = attention
        self.dense_norm = nn.LayerNorm(width)
        self.dense = nn.Sequential(
            nn.Linear(width, _EXPANSION * width), nn.GELU(), nn.Linear(_EXPANSION * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens (N, tokens, width) to the same shape."""
        x = x + self.attention(self.attention_norm(x))
        y: Tensor = x + self.dense(self.dense_norm(x))
        return y


class ConVitNetwork(nn.Module):
    """Patches of 4x4 pixels, blocks with GPSA, then blocks with self-attention and a class token.

    Two convolutions embed the patches where the paper has a linear map. The embedding of the places
    fixes the number of patches, so the picture's size is part of the network.

    Args:
        shape: Of the pictures, and the number of classes.
        width: Numbers per patch.
        heads: Heads of every block.
        depth: Blocks with GPSA, and blocks with self-attention after them.
    """

    def __init__(
        self, shape: ImageShape, *, width: int, heads: int, depth: tuple[int, int]
    ) -> None:
        super().__init__()
        grid = patch_grid(shape)
        patches = grid[0] * grid[1]
        self.embedded_shape = (width, patches)
        self.embedding = embed_patches(shape.channels, width)
        self.places = nn.Parameter(torch.empty(1, patches, width))
        self.class_token = nn.Parameter(torch.empty(1, 1, width))
        self.local_blocks = nn.Sequential(
            *(ConVitBlock(GatedPositionalAttention(width, heads, grid)) for _ in range(depth[0]))
        )
        tokens = HeadShape(tokens=patches + 1, heads=heads, width=width)
        self.blocks = nn.Sequential(*(ConVitBlock(SelfAttention(tokens)) for _ in range(depth[1])))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, shape.classes)
        for embedding in (self.places, self.class_token):
            nn.init.trunc_normal_(embedding, std=_INITIAL_STD)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map images (N, channels, H, W) to logits (N, classes) and features (N, width)."""
        tokens = self.blocks(self._with_class_token(self.local_blocks(self._embedded(x))))
        features = self.norm(tokens[:, 0])
        return self.head(features), features

    def fused(self) -> ConVitNetwork:
        """Return a copy for run time whose gates and positions are constants."""
        network = copy.deepcopy(self)
        for block in network.local_blocks:
            trained = block.attention
            assert isinstance(trained, GatedPositionalAttention)  # noqa: S101 - built so
            block.attention = FixedPositionAttention(trained)
        return network.eval()

    def _embedded(self, x: Tensor) -> Tensor:
        embedded: Tensor = self.embedding(x).reshape(-1, *self.embedded_shape)
        return embedded.transpose(1, 2) + self.places

    def _with_class_token(self, tokens: Tensor) -> Tensor:
        """Put the class token before the others; a padding and a sum ask for no shape."""
        token = functional.pad(self.class_token, (0, 0, 0, self.embedded_shape[1]))
        return functional.pad(tokens, (0, 0, 1, 0)) + token


def patch_offsets(grid: tuple[int, int]) -> Tensor:
    """Return (patches, patches, 3): dx, dy and squared distance from a patch to another.

    In patches; x to the right and y down.
    """
    rows, columns = torch.meshgrid(torch.arange(grid[0]), torch.arange(grid[1]), indexing="ij")
    places = torch.stack([columns.flatten(), rows.flatten()], dim=1).float()
    offsets = places[None, :, :] - places[:, None, :]
    return torch.cat([offsets, offsets.square().sum(dim=2, keepdim=True)], dim=2)
