"""What a spiking network sends, and an estimate of what that would cost hardware made for spikes.

A layer that gets a spike adds one column of its weights, an addition per connection. A layer that
gets numbers multiplies as well. So the same network without spikes, run once per image, is the
measure; the estimate counts arithmetic alone and no memory, which costs more on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from edge.preprocessing import tensor_from_canonical
from models.classifiers.dataset import ImageDataset
from models.classifiers.networks.spiking import STEPS, SpikingNetwork
from models.classifiers.training import image_spec

#: A 32-bit floating-point addition and multiplication in 45 nm at 0.9 V: M. Horowitz, Computing's
#: energy problem (and what we can do about it), ISSCC 2014.
ADDITION_J = 0.9e-12
MULTIPLICATION_J = 3.7e-12

_BATCH = 250
_LAYERS = ("first convolution", "second convolution", "dense layer")


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerActivity:
    """What one layer of neurons sends.

    Attributes:
        layer: Its name.
        neurons: How many there are.
        spikes: Per image, all steps together, mean over the images.
        spikes_low: 5 % quantile over the images.
        spikes_high: 95 % quantile.
        rate: Spikes per neuron and step, 0..1.
        additions: In the next layer because of them: spikes times the mean number of connections.
    """

    layer: str
    neurons: int
    spikes: float
    spikes_low: float
    spikes_high: float
    rate: float
    additions: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SpikeRecord:
    """Spikes of a network, and what they cost, per image.

    Attributes:
        images: How many test images the means are over.
        steps: Simulated steps per image.
        layers: The layers of neurons in order.
        input_macs: Multiply-accumulates of the first convolution, whose input are no spikes.
        updates: Updates of a potential: one multiplication and two additions each.
        dense_macs: Multiply-accumulates of the same network without spikes, run once.
        spiking_j: Estimated energy of the arithmetic.
        dense_j: The same for the network without spikes.
    """

    images: int
    steps: int
    layers: tuple[LayerActivity, ...]
    input_macs: int
    updates: int
    dense_macs: int
    spiking_j: float
    dense_j: float


def record_spikes(network: SpikingNetwork, dataset: ImageDataset) -> SpikeRecord:
    """Count a network's spikes on all test images and estimate their cost.

    Args:
        network: In evaluation mode.
        dataset: What it was trained on.
    """
    macs = _macs_per_step(network, dataset)
    counts = _spikes(network, dataset)
    layers = tuple(
        _activity(name, counts[:, index], int(np.prod(network.shapes[index])), macs[index + 1])
        for index, name in enumerate(_LAYERS)
    )
    updates = STEPS * sum(layer.neurons for layer in layers)
    additions = sum(layer.additions for layer in layers)
    mac_j = ADDITION_J + MULTIPLICATION_J
    return SpikeRecord(
        images=len(counts),
        steps=STEPS,
        layers=layers,
        input_macs=macs[0],
        updates=updates,
        dense_macs=sum(macs),
        spiking_j=macs[0] * mac_j
        + additions * ADDITION_J
        + updates * (MULTIPLICATION_J + 2.0 * ADDITION_J),
        dense_j=sum(macs) * mac_j,
    )


def _activity(
    name: str, counts: np.ndarray[tuple[int], np.dtype[np.float32]], neurons: int, next_macs: int
) -> LayerActivity:
    mean = float(counts.mean())
    low, high = np.quantile(counts, (0.05, 0.95))
    return LayerActivity(
        layer=name,
        neurons=neurons,
        spikes=mean,
        spikes_low=float(low),
        spikes_high=float(high),
        rate=mean / (neurons * STEPS),
        additions=mean * next_macs / neurons,
    )


@torch.inference_mode()
def _spikes(
    network: SpikingNetwork, dataset: ImageDataset
) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """Return the spikes (N, layers) for each test image."""
    spec, images = image_spec(dataset), dataset.test.images
    parts = [
        network(torch.from_numpy(tensor_from_canonical(images[k : k + _BATCH], spec)))[2].numpy()
        for k in range(0, len(images), _BATCH)
    ]
    return np.concatenate(parts)


def _macs_per_step(network: SpikingNetwork, dataset: ImageDataset) -> tuple[int, ...]:
    """Return the multiply-accumulates of the weighted layers, in order, for one image and step."""
    found: list[int] = []

    def count(layer: nn.Module, _inputs: object, output: Tensor) -> None:
        weight = layer.get_parameter("weight")
        found.append(output[0].numel() * weight[0].numel())

    weighted = [one for one in network.modules() if isinstance(one, nn.Conv2d | nn.Linear)]
    handles = [layer.register_forward_hook(count) for layer in weighted]
    height, width, channels = dataset.image_shape
    with torch.inference_mode():
        network(torch.zeros(1, channels, height, width))
    for handle in handles:
        handle.remove()
    return tuple(found)
