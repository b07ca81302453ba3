"""What a spiking network sends, and an estimate of what that would cost hardware made for spikes.

A layer that gets a spike adds one column of its weights, an addition per connection. A layer that
gets numbers multiplies as well. So the same network without spikes, run once per image, is the
measure; the estimate counts arithmetic alone and no memory, which costs more on every machine.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edge.preprocessing import tensor_from_canonical
from models.classifiers.training import image_spec
from models.data.dataset import ImageDataset
from models.networks.spiking import STEPS, SpikingNetwork
from studies.images import NEEDS, fashion_mnist
from studies.measurements import Measured, single, write_measurements
from studies.networks import NetworkTraining, train_network
from studies.study import Study

#: A 32-bit floating-point addition and multiplication in 45 nm at 0.9 V: M. Horowitz, Computing's
#: energy problem (and what we can do about it), ISSCC 2014.
ADDITION_J = 0.9e-12
MULTIPLICATION_J = 3.7e-12

LAYERS = ("first convolution", "second convolution", "dense layer")

#: Subject of what is said of the network as a whole.
WHOLE = "network"

_BATCH = 250


def run(folder: Path, quick: bool) -> int:
    """Train a spiking network and count what it sends."""
    dataset = fashion_mnist(300 if quick else None)
    training = NetworkTraining(
        architecture="spiking", seed=0, output=folder / "spiking-s0", epochs=1 if quick else None
    )
    network = train_network(training, dataset)
    assert isinstance(network, SpikingNetwork)  # noqa: S101 - the architecture says so
    measured = count_spikes(network, dataset)
    write_measurements(folder / "spikes.csv", measured)
    spiking, dense = (
        measured[WHOLE, "45 nm", name].value or 0.0 for name in ("energy", "energy without spikes")
    )
    print(f"{spiking * 1e6:.2f} µJ per image, {dense * 1e6:.2f} µJ without spikes, an estimate")
    return 0 if spiking < dense else 1


STUDY = Study(
    claim="The arithmetic of a spiking network would cost less energy than that of the same "
    "network without spikes, on hardware that only adds for a spike.",
    setting="An estimate for 45 nm, no measurement; n = 1 training (seed 0) of 7 epochs, 10,000 "
    "test images; 6 CPU-minutes.",
    run=run,
    needs=NEEDS,
)


def count_spikes(network: SpikingNetwork, dataset: ImageDataset) -> Measured:
    """Count a network's spikes on all test images and estimate their cost.

    Args:
        network: In evaluation mode.
        dataset: What it was trained on.

    Returns:
        For each of `LAYERS`, per image: ``neurons``, ``spikes`` with their 5 % and 95 % quantiles,
        ``rate`` (spikes per neuron and step) and ``additions`` that they cause in the next layer:
        spikes times the mean number of connections. For `WHOLE`: ``input MACs`` of the first
        convolution, whose input are no spikes, ``updates`` of a potential (a multiplication and
        two additions each), ``dense MACs`` of the same network without spikes, and the energies.
    """
    macs = _macs_per_step(network, dataset)
    counts = _spikes(network, dataset)
    n = len(counts)
    measured: Measured = {}
    additions, neurons = 0.0, 0
    for index, layer in enumerate(LAYERS):
        size = int(np.prod(network.shapes[index]))
        mean = float(counts[:, index].mean())
        low, high = np.quantile(counts[:, index], (0.05, 0.95))
        caused = mean * macs[index + 1] / size
        measured |= {
            (layer, "", "neurons"): single(size),
            (layer, "", "spikes"): single(mean, n=n),
            (layer, "", "spikes, 5 %"): single(low, n=n),
            (layer, "", "spikes, 95 %"): single(high, n=n),
            (layer, "", "rate"): single(mean / (size * STEPS), n=n),
            (layer, "", "additions"): single(caused, n=n),
        }
        additions, neurons = additions + caused, neurons + size
    mac_j = ADDITION_J + MULTIPLICATION_J
    update_j = MULTIPLICATION_J + 2.0 * ADDITION_J
    spiking_j = macs[0] * mac_j + additions * ADDITION_J + STEPS * neurons * update_j
    return measured | {
        (WHOLE, "", "input MACs"): single(macs[0]),
        (WHOLE, "", "updates"): single(STEPS * neurons),
        (WHOLE, "", "dense MACs"): single(sum(macs)),
        (WHOLE, "45 nm", "energy"): single(spiking_j, "J", n),
        (WHOLE, "45 nm", "energy without spikes"): single(sum(macs) * mac_j, "J", n),
    }


@torch.inference_mode()
def _spikes(network: SpikingNetwork, dataset: ImageDataset) -> NDArray[np.float32]:
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
