"""What a ConViT looks at and what a spiking network sends."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edge.samples import Samples
from edge.subject import load_subject
from models.data.dataset import ImageDataset
from models.data.sources import load_dataset
from models.networks.convit import ConVitNetwork
from models.networks.layers import ImageShape
from models.networks.spiking import STEPS, SpikingNetwork
from studies.convit_attention import attention_profile, even_distance, untrained
from studies.measurements import Measured, read_measurements
from studies.networks import NetworkTraining, train_network
from studies.spikes import ADDITION_J, LAYERS, MULTIPLICATION_J, WHOLE, count_spikes
from studies.zoo_tables import RECORDS


def local_network(locality: float) -> ConVitNetwork:
    """Return one whose gated heads look, by position alone, at the patches around a corner."""
    torch.manual_seed(0)
    network = ConVitNetwork(
        ImageShape(channels=1, height=16, width=16, classes=3), width=8, heads=4, depth=(1, 1)
    ).eval()
    layer = network.local_blocks[0].attention
    with torch.no_grad():
        layer.gate.fill_(30.0)
        layer.position.weight *= locality
    return network


def test_heads_on_the_corners_of_a_patch_look_as_far_as_geometry_says() -> None:
    profile = attention_profile(local_network(30.0), torch.zeros(2, 1, 16, 16))
    # Away from the border: itself, two neighbours, one diagonal. Clipped by the border of the 4x4
    # patches: in 3 of 16 places per side two patches are left, in the corner one.
    inside, along, corner = (1.0 + 1.0 + np.sqrt(2.0)) / 4.0, 0.5, 0.0
    expected = (9 * inside + 6 * along + corner) / 16
    assert profile.gates.tolist() == [pytest.approx([1.0] * 4)]
    assert profile.distances[0].tolist() == pytest.approx([expected] * 4, abs=1e-5)


def test_even_attention_looks_as_far_as_patches_are_apart_on_average() -> None:
    network = local_network(0.0)  # no place is preferred
    profile = attention_profile(network, torch.zeros(1, 1, 16, 16))
    assert profile.distances[0].tolist() == pytest.approx([even_distance(network)] * 4)


def test_a_training_begins_with_the_paper_s_gates(stripes_dataset: ImageDataset) -> None:
    profile = attention_profile(untrained(stripes_dataset, 0), torch.zeros(3, 1, 28, 28))
    initial = torch.sigmoid(torch.tensor(1.0)).item()
    assert profile.gates.flatten().tolist() == pytest.approx([initial] * 16)
    assert profile.distances.shape == (6, 4)


@pytest.fixture(scope="module")
def counted(stripes_dataset: ImageDataset, tmp_path_factory: pytest.TempPathFactory) -> Measured:
    training = NetworkTraining(
        architecture="spiking", seed=0, output=tmp_path_factory.mktemp("spiking"), epochs=1
    )
    network = train_network(training, stripes_dataset)
    assert isinstance(network, SpikingNetwork)
    return count_spikes(network, stripes_dataset)


def test_spikes_cause_one_addition_per_connection(counted: Measured) -> None:
    def of(layer: str, quantity: str) -> float:
        value = counted[layer, "", quantity].value
        assert value is not None
        return value

    assert [of(layer, "neurons") for layer in LAYERS] == [16 * 14 * 14, 32 * 7 * 7, 256]
    assert of(WHOLE, "input MACs") == 9 * 16 * 28 * 28
    # A 3x3 convolution to 32 channels, a dense layer to 256 neurons, three classes.
    for layer, connections in zip(LAYERS, (9 * 32, 256, 3), strict=True):
        assert of(layer, "additions") == pytest.approx(of(layer, "spikes") * connections)
        assert of(layer, "rate") == pytest.approx(
            of(layer, "spikes") / (STEPS * of(layer, "neurons"))
        )
        assert of(layer, "spikes, 5 %") <= of(layer, "spikes") <= of(layer, "spikes, 95 %")
    assert of(LAYERS[0], "spikes") > 0.0
    dense_macs = of(WHOLE, "input MACs") + 9 * 16 * 32 * 14 * 14 + 1568 * 256 + 3 * 256
    assert of(WHOLE, "dense MACs") == dense_macs
    energy = counted[WHOLE, "45 nm", "energy without spikes"].value
    assert energy == pytest.approx(dense_macs * (ADDITION_J + MULTIPLICATION_J))


def test_the_shipped_spiking_network_sends_as_many_spikes_as_its_card_says() -> None:
    test = load_dataset("fashion-mnist").test
    samples = Samples(description="test images", images=test.images[:1000], labels=None)
    subject = load_subject("fashion_mnist_spiking")
    found = subject.answer(samples, 0, 1000)
    subject.close()
    assert np.mean(found["logits"].argmax(axis=1) == test.labels[:1000]) > 0.9
    record = read_measurements(RECORDS / "spikes.csv")
    expected = [record[layer, "", "spikes"].value for layer in LAYERS]
    assert found["spikes"].mean(axis=0) == pytest.approx(expected, rel=0.03)
