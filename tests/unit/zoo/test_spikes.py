"""What a spiking network sends."""

from __future__ import annotations

import numpy as np
import pytest

from edge.samples import Samples
from edge.subject import load_subject
from models.data.dataset import ImageDataset
from models.data.sources import load_dataset
from models.networks.spiking import STEPS, SpikingNetwork
from studies.measurements import Measured, read_measurements
from studies.networks import NetworkTraining, train_network
from studies.spikes import ADDITION_J, LAYERS, MULTIPLICATION_J, WHOLE, count_spikes
from studies.zoo_tables import RECORDS


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
