"""What a ConViT makes of its local beginning: gates and attention distances, before and after.

The gate of a head is how much of its attention goes by position alone, sigmoid(g). Its attention
distance is how far from a patch lies what it takes in, the paper's measure of non-locality:

    D = mean over patches i of sum over patches j of A_ij |offset_ij|.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from bicameral.charts import Axis, Chart, Series, draw_chart, standalone_svg
from bicameral.files import write_text_atomic
from edge.preprocessing import tensor_from_canonical
from models.classifiers.training import image_shape, image_spec
from models.data.dataset import ImageDataset
from models.networks.architectures import build_network
from models.networks.convit import ConVitNetwork, GatedPositionalAttention
from studies.images import NEEDS, fashion_mnist
from studies.measurements import Measured, single, write_measurements
from studies.networks import NetworkTraining, train_network
from studies.study import Study

_IMAGES = 1000
_BATCH = 250
_SEED = 0

#: Of a block, so that its heads stand beside each other.
_HEAD_SPACING = 0.12

#: Subject of the distance in patches of attention that is spread evenly over the picture.
EVEN = "even attention"


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionProfile:
    """Gates and distances of one network.

    Attributes:
        gates: (blocks with gated attention, heads): the share of position, 0..1.
        distances: (blocks, heads): the attention distance in patches, mean over the images. Behind
            the gated blocks the class token is left out and its share given to the patches.
    """

    gates: Tensor
    distances: Tensor


def run(folder: Path, quick: bool) -> int:
    """Train a ConViT and look at it before and after."""
    dataset = fashion_mnist(200 if quick else None)
    training = NetworkTraining(
        architecture="convit",
        seed=_SEED,
        output=folder / "convit-s0",
        epochs=1 if quick else None,
    )
    trained = train_network(training, dataset)
    beginning = untrained(dataset, _SEED)
    assert isinstance(trained, ConVitNetwork)  # noqa: S101 - the architecture says so
    pixels = tensor_from_canonical(dataset.validation.images[:_IMAGES], image_spec(dataset))
    images = torch.from_numpy(pixels)
    before, after = attention_profile(beginning, images), attention_profile(trained, images)
    measured = _table({"before": before, "after": after}, even_distance(trained), len(images))
    write_measurements(folder / "attention.csv", measured)
    even = float(even_distance(trained))
    write_text_atomic(
        folder / "gates.svg", _picture("share of position", before.gates, after.gates)
    )
    write_text_atomic(
        folder / "distances.svg",
        _picture("attention distance in patches", before.distances, after.distances, even),
    )
    farther = (after.distances - before.distances)[: len(after.gates)]
    print(f"gated heads look {float(farther.mean()):.2f} patches farther than at the beginning")
    return 0 if float(farther.min()) > 0.0 and float(after.gates.min()) > 0.5 else 1


STUDY = Study(
    claim="Every gated head looks farther after its training, and still goes by position for the "
    "greater part.",
    setting="One thread of a shared AMD EPYC; n = 1 training (seed 0) of 16 epochs, 1,000 "
    "validation images; half an hour.",
    run=run,
    needs=NEEDS,
)


def untrained(dataset: ImageDataset, seed: int) -> ConVitNetwork:
    """Build a network as its training begins with it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build_network("convit", image_shape(dataset)).eval()
    assert isinstance(network, ConVitNetwork)  # noqa: S101 - the architecture says so
    return network


@torch.inference_mode()
def attention_profile(network: ConVitNetwork, images: Tensor) -> AttentionProfile:
    """Return the gates of a network, and how far it looks on images (N, channels, H, W)."""
    gates = torch.stack([torch.sigmoid(layer.gate) for layer in _gated_attentions(network)])
    between = _distances_between_patches(network)
    total = sum(
        torch.stack(
            [_attention_distances(each, between).sum(dim=0) for each in network.attentions(batch)]
        )
        for batch in torch.split(images, _BATCH)
    )
    return AttentionProfile(gates=gates.detach(), distances=torch.as_tensor(total) / len(images))


def even_distance(network: ConVitNetwork) -> float:
    """Return the distance in patches of attention that is spread evenly over the picture."""
    return float(_distances_between_patches(network).mean())


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


def _table(profiles: dict[str, AttentionProfile], even: float, images: int) -> Measured:
    measured: Measured = {(EVEN, "", "distance"): single(even, "patches")}
    for condition, profile in profiles.items():
        for quantity, values in (("gate", profile.gates), ("distance", profile.distances)):
            for block, heads in enumerate(values.tolist(), start=1):
                for head, value in enumerate(heads, start=1):
                    key = (f"block {block} head {head}", condition, quantity)
                    unit = "1" if quantity == "gate" else "patches"
                    measured[key] = single(value, unit, images if quantity == "distance" else 1)
    return measured


def _picture(quantity: str, before: Tensor, after: Tensor, even: float | None = None) -> str:
    """Draw a quantity of each head by block: squares before the training, discs after it."""
    blocks, heads = after.shape
    x = [
        block + 1 + _HEAD_SPACING * (head - (heads - 1) / 2.0)
        for block in range(blocks)
        for head in range(heads)
    ]
    series = [
        Series(name="before", x=x, y=before.flatten().tolist(), ink="soft", marker="s"),
        Series(name="after", x=x, y=after.flatten().tolist(), ink="a"),
    ]
    ends = (0.5, blocks + 0.5)
    if even is not None:
        series.append(Series(name=EVEN, x=ends, y=(even, even), ink="soft", marker="", line="--"))
    chart = Chart(
        title=f"{quantity}, before and after training".capitalize(),
        x=Axis(label="block", low=ends[0], high=ends[1]),
        y=Axis(label=quantity, low=0.0, high=1.0 if even is None else None),
        series=series,
    )
    return standalone_svg(draw_chart(chart))
