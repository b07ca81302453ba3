"""Leaky neurons by their equation, and the network that is made of them."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import onnx
import pytest
import snntorch
import torch

from bicameral.errors import DataError
from edge.loading import load_classifier
from edge.sidecar import read_sidecar
from models.classifiers.export import ExportSettings, export_classifier
from models.classifiers.training import Recipe, TrainingSettings, train
from models.data.dataset import ImageDataset
from models.networks.layers import ImageShape
from models.networks.spiking import STEPS, LeakyNeurons, SpikingNetwork
from models.onnx_export import onnx_from_network

SHAPE = ImageShape(channels=1, height=16, width=16, classes=3)


@torch.no_grad()
def small_network() -> SpikingNetwork:
    """Untrained, but normalised by statistics of its inputs, so that its neurons fire."""
    torch.manual_seed(0)
    network = SpikingNetwork(SHAPE, width=4, hidden=12)
    for _ in range(20):
        network(torch.randn(16, 1, 16, 16))
    return network.eval()


def test_a_neuron_leaks_fires_above_the_threshold_and_is_reset_by_it() -> None:
    currents = [0.8, 0.7, 0.2, 1.9, 0.0, 0.0]
    # v = 0.5 v + current - spike: 0.8; 1.1 fires; 0.55 + 0.2 - 1; -0.125 + 1.9 fires; ...
    potentials = [0.8, 1.1, -0.25, 1.775, -0.1125, -0.05625]
    spikes = LeakyNeurons(beta=0.5)([torch.tensor([current]) for current in currents])
    assert spikes.tolist() == [float(value > 1.0) for value in potentials]


@pytest.mark.parametrize("beta", [0.5, 0.9, 1.0])
def test_neurons_and_their_gradients_are_those_of_snntorch(beta: float) -> None:
    torch.manual_seed(0)
    currents = torch.randn(6, 5, 7) + 0.5
    weights = torch.randn(6, 5, 7)
    ours, theirs = (currents.clone().requires_grad_() for _ in range(2))
    spikes = LeakyNeurons(beta)(list(ours)).reshape(6, 5, 7)
    (spikes * weights).sum().backward()
    reference, potential = snntorch.Leaky(beta), torch.zeros(5, 7)
    expected = []
    for current in theirs:
        spike, potential = reference(current, potential)
        expected.append(spike)
    (torch.stack(expected) * weights).sum().backward()
    torch.testing.assert_close(spikes, torch.stack(expected))
    torch.testing.assert_close(ours.grad, theirs.grad)


def test_the_gradient_of_a_spike_is_that_of_an_arc_tangent() -> None:
    current = torch.tensor([0.4, 1.0, 2.5], requires_grad=True)
    LeakyNeurons()([current]).sum().backward()
    expected = [1.0 / (1.0 + (math.pi * (value - 1.0)) ** 2) for value in (0.4, 1.0, 2.5)]
    torch.testing.assert_close(current.grad, torch.tensor(expected))


def test_merging_the_steps_into_the_batch_changes_nothing() -> None:
    network, images = small_network(), torch.randn(3, 1, 16, 16)
    rates = []
    for image in images:  # one image and one step at a time
        one = image[None]
        sent = network.neurons([network.first(one) for _ in range(STEPS)]).split(1)
        sent = network.neurons([network.second(spikes) for spikes in sent]).split(1)
        sent = network.neurons([network.dense(spikes) for spikes in sent]).split(1)
        rates.append(torch.stack(sent).mean(dim=0))
    torch.testing.assert_close(network(images)[1], torch.cat(rates))


def test_classes_are_read_from_firing_rates() -> None:
    network = small_network()
    logits, rates, _ = network(torch.randn(5, 1, 16, 16))
    assert set((rates * STEPS).flatten().tolist()) <= {float(count) for count in range(STEPS + 1)}
    torch.testing.assert_close(logits, network.head(rates))


def test_spikes_are_counted_per_layer_and_image() -> None:
    network = small_network()
    sent: list[torch.Tensor] = []
    network.neurons.register_forward_hook(lambda _layer, _inputs, spikes: sent.append(spikes))
    _, rates, spikes = network(torch.randn(5, 1, 16, 16))
    assert spikes.shape == (5, 3)
    for layer, found in zip(sent, spikes.T, strict=True):
        assert layer.sum() > 0
        # Steps lie one after another in the batch.
        expected = sum(step.flatten(1).sum(dim=1) for step in layer.split(5))
        torch.testing.assert_close(found, expected)
    torch.testing.assert_close(spikes[:, 2], STEPS * rates.sum(dim=1))


def test_the_graph_holds_every_step_as_a_comparison_and_a_cast() -> None:
    content = onnx_from_network(
        small_network().fused(), {"image": torch.zeros(1, 1, 16, 16)}, ("logits", "rates", "spikes")
    )
    operators = [node.op_type for node in onnx.load_from_string(content).graph.node]
    assert operators.count("Greater") == operators.count("Cast") == 3 * STEPS
    # The first layer's input is the same at every step, and the others see all steps as a batch.
    assert operators.count("Conv") == 2
    assert "BatchNormalization" not in operators


@pytest.fixture(scope="module")
def trained(synthetic_dataset: ImageDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("spiking")
    recipe = Recipe(epochs=4, batch_size=32)
    settings = TrainingSettings(architecture="spiking", output=folder, recipe=recipe)
    network = train(settings, synthetic_dataset)
    export_classifier(network, synthetic_dataset, export_settings(folder))
    return folder


def export_settings(folder: Path) -> ExportSettings:
    return ExportSettings(
        output=folder, name="net", architecture="spiking", seed=0, command="-", limits="-"
    )


def test_it_learns_and_its_export_says_so_and_tells_its_spikes(
    trained: Path, synthetic_dataset: ImageDataset
) -> None:
    sidecar = read_sidecar(trained / "net.onnx")
    assert sidecar.claims[0].value > 0.9
    assert [one.meaning for one in sidecar.outputs] == ["logits", "features", "spikes"]
    classifier = load_classifier(trained / "net.onnx")
    images = synthetic_dataset.test.images
    found = classifier.predict(images).probabilities.argmax(axis=1)
    assert np.mean(found == synthetic_dataset.test.labels) > 0.9


def test_an_export_that_answers_differently_is_refused(
    trained: Path,
    synthetic_dataset: ImageDataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(0)
    network = SpikingNetwork(SHAPE, width=4, hidden=12).eval()
    monkeypatch.setattr(SpikingNetwork, "fused", lambda _: small_network())
    with pytest.raises(DataError, match="says another class than torch for"):
        export_classifier(network, synthetic_dataset, export_settings(tmp_path))
    assert list(tmp_path.iterdir()) == []
