"""What a ConViT made of its local beginning: gates and attention distances, before and after.

The gate of a head is how much of its attention goes by position alone, sigmoid(g). Its attention
distance is how far from a patch lies what it takes in, the paper's measure of non-locality:

    D = mean over patches i of sum over patches j of A_ij |offset_ij|.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from markupsafe import Markup
from torch import Tensor

from models.cascade.report.axes import Axis, linear_axis
from models.cascade.report.charts import Chart, Point, Series, draw_chart
from models.classifiers.networks.convit import ConVitNetwork, GatedPositionalAttention

_BATCH = 250

#: Of a block, so that its heads stand beside each other.
_HEAD_SPACING = 0.12

Heads = tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionProfile:
    """Gates and distances of one network.

    Attributes:
        gates: Per block with gated attention and head: the share of position, 0..1.
        distances: Per block and head: the attention distance in patches, mean over the images.
            Behind the gated blocks the class token is left out and its share given to the patches.
    """

    gates: tuple[Heads, ...]
    distances: tuple[Heads, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionRecord:
    """The same network before and after its training.

    Attributes:
        images: How many images the distances are means over.
        even_distance: Distance in patches of attention that is spread evenly over the picture.
        before: As it was initialised.
        after: As it was trained.
    """

    images: int
    even_distance: float
    before: AttentionProfile
    after: AttentionProfile


def record_attention(
    before: ConVitNetwork, after: ConVitNetwork, images: Tensor
) -> AttentionRecord:
    """Profile a network before and after its training on images (N, channels, H, W)."""
    return AttentionRecord(
        images=len(images),
        even_distance=float(_distances_between_patches(after).mean()),
        before=attention_profile(before, images),
        after=attention_profile(after, images),
    )


@torch.inference_mode()
def attention_profile(network: ConVitNetwork, images: Tensor) -> AttentionProfile:
    """Return the gates of a network, and how far it looks on images (N, channels, H, W)."""
    gates = tuple(tuple(torch.sigmoid(layer.gate).tolist()) for layer in _gated_attentions(network))
    between = _distances_between_patches(network)
    sums: list[Tensor] = []
    for batch in torch.split(images, _BATCH):
        found = [
            _attention_distances(attention, between).sum(dim=0)
            for attention in network.attentions(batch)
        ]
        sums = [a + b for a, b in zip(sums, found, strict=True)] if sums else found
    distances = tuple(tuple((total / len(images)).tolist()) for total in sums)
    return AttentionProfile(gates=gates, distances=distances)


def draw_gates(record: AttentionRecord) -> Markup:
    """Draw the gates by block: rings before the training, discs after it."""
    return draw_chart(
        Chart(
            name="convit-gates",
            title="Gates of the heads, before and after training",
            description=(
                "The share of position in each head's attention by block; rings before the "
                "training, discs after it."
            ),
            x=_block_axis(len(record.after.gates)),
            y=Axis(label="share of position", low=0.0, high=1.0),
            series=_before_and_after(record.before.gates, record.after.gates, "share of position"),
        )
    )


def draw_distances(record: AttentionRecord) -> Markup:
    """Draw the attention distances by block, and the one of even attention as a dashed line."""
    before, after = record.before.distances, record.after.distances
    x = _block_axis(len(after))
    even = tuple(Point(x=end, y=record.even_distance) for end in (x.low, x.high))
    values = [0.0, record.even_distance, *(one for heads in (*before, *after) for one in heads)]
    return draw_chart(
        Chart(
            name="convit-distances",
            title="Attention distances of the heads, before and after training",
            description=(
                "How many patches away lies what each head takes in, by block; rings before the "
                "training, discs after it, dashed the distance of even attention."
            ),
            x=x,
            y=linear_axis("attention distance in patches", values, bounds=(0.0, float("inf"))),
            series=(
                Series(name="even attention", ink="soft", points=even, line="dashed"),
                *_before_and_after(before, after, "distance"),
            ),
        )
    )


def _gated_attentions(network: ConVitNetwork) -> list[GatedPositionalAttention]:
    layers = network.local_blocks.modules()
    return [layer for layer in layers if isinstance(layer, GatedPositionalAttention)]


def _distances_between_patches(network: ConVitNetwork) -> Tensor:
    """Return (patches, patches), in patches."""
    return _gated_attentions(network)[0].offsets[:, :, 2].sqrt()


def _attention_distances(attention: Tensor, between: Tensor) -> Tensor:
    """Return the distances (N, heads) of an attention (N, heads, tokens, tokens)."""
    patches = attention[:, :, -len(between) :, -len(between) :]
    shares = patches / patches.sum(dim=3, keepdim=True)
    return (shares * between).sum(dim=3).mean(dim=2)


def _block_axis(blocks: int) -> Axis:
    return Axis(label="block", low=0.5, high=blocks + 0.5)


def _before_and_after(
    before: tuple[Heads, ...], after: tuple[Heads, ...], quantity: str
) -> tuple[Series, Series]:
    def points(blocks: tuple[Heads, ...], when: str) -> tuple[Point, ...]:
        return tuple(
            Point(
                x=block + _HEAD_SPACING * (head - (len(heads) - 1) / 2.0),
                y=value,
                tooltip=f"block {block}, head {head + 1}, {when}: {quantity} {value:.2f}",
            )
            for block, heads in enumerate(blocks, start=1)
            for head, value in enumerate(heads)
        )

    return (
        Series(name="before", ink="soft", points=points(before, "before"), mark="ring"),
        Series(name="after", ink="a", points=points(after, "after"), mark="circle"),
    )
