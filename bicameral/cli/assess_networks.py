"""`bicameral assess attention` and `bicameral assess spikes`: what a network does inside."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from models.zoo.spikes import SpikeRecord

_IMAGES = 1000


def assess_attention(checkpoint: Path, data: str, *, output: Path) -> int:
    """Show a ConViT's gates and attention distances, before and after its training.

    Writes attention.json, gates.svg and distances.svg.

    Args:
        checkpoint: checkpoint.pt of its training, the exported model beside it.
        data: The data set that it was trained on; 1,000 validation images are looked at.
        output: Folder for the three files.
    """
    from rich.console import Console
    from rich.table import Table

    from bicameral.cli.extras import require_extra
    from bicameral.files import write_json_atomic, write_text_atomic

    require_extra("train")
    import torch

    from edge.preprocessing import tensor_from_canonical
    from models.cascade.report.rendering import standalone_svg
    from models.classifiers.datasets import load_dataset
    from models.classifiers.networks.convit import ConVitNetwork
    from models.classifiers.training import image_spec
    from models.zoo.attention import draw_distances, draw_gates, record_attention
    from models.zoo.trained import load_trained, untrained_twin

    dataset = load_dataset(data)
    network = load_trained(checkpoint, ConVitNetwork, dataset)
    images = tensor_from_canonical(dataset.validation.images[:_IMAGES], image_spec(dataset))
    record = record_attention(
        untrained_twin(checkpoint, ConVitNetwork, dataset), network, torch.from_numpy(images)
    )
    write_json_atomic(output / "attention.json", asdict(record))
    write_text_atomic(output / "gates.svg", standalone_svg(draw_gates(record)))
    write_text_atomic(output / "distances.svg", standalone_svg(draw_distances(record)))
    title = f"{checkpoint} on {record.images} validation images of {dataset.name}"
    table = Table(title=title, title_justify="left")
    for column in ("block", "share of position per head", "attention distance in patches"):
        table.add_column(column)
    for block, distances in enumerate(record.after.distances):
        gated = block < len(record.after.gates)
        gates = _change(record.before.gates[block], record.after.gates[block]) if gated else ""
        table.add_row(str(block + 1), gates, _change(record.before.distances[block], distances))
    Console().print(table)
    return 0


def assess_spikes(checkpoint: Path, data: str, *, output: Path) -> int:
    """Count a spiking network's spikes per layer and estimate the energy of its arithmetic.

    Args:
        checkpoint: checkpoint.pt of its training, the exported model beside it.
        data: The data set that it was trained on; its test images are looked at.
        output: JSON file for the figures.
    """
    from bicameral.cli.extras import require_extra
    from bicameral.files import write_json_atomic

    require_extra("train")
    from models.classifiers.datasets import load_dataset
    from models.classifiers.networks.spiking import SpikingNetwork
    from models.zoo.spikes import record_spikes
    from models.zoo.trained import load_trained

    dataset = load_dataset(data)
    record = record_spikes(load_trained(checkpoint, SpikingNetwork, dataset), dataset)
    write_json_atomic(output, asdict(record))
    _print_spikes(record, f"{checkpoint} on {record.images} test images of {dataset.name}")
    return 0


def _change(before: tuple[float, ...], after: tuple[float, ...]) -> str:
    """Write each head's figure before and after."""
    return "  ".join(f"{old:.2f} → {new:.2f}" for old, new in zip(before, after, strict=True))


def _print_spikes(record: SpikeRecord, title: str) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    table.add_column("layer")
    for column in ("neurons", "spikes per image", "5 % .. 95 %", "rate", "additions they cause"):
        table.add_column(column, justify="right")
    for layer in record.layers:
        table.add_row(
            layer.layer,
            f"{layer.neurons:,}",
            f"{layer.spikes:,.0f}",
            f"{layer.spikes_low:,.0f} .. {layer.spikes_high:,.0f}",
            f"{layer.rate:.3f}",
            f"{layer.additions:,.0f}",
        )
    console = Console()
    console.print(table)
    console.print(
        f"arithmetic at 45 nm, an estimate without memory: {record.spiking_j * 1e6:.2f} uJ per "
        f"image, {record.dense_j * 1e6:.2f} uJ for the same network without spikes"
    )
