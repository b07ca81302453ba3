"""What a spiking network sends is what its card says."""

from __future__ import annotations

import numpy as np
import pytest

from edge.samples import Samples
from edge.subject import load_subject
from models.data.sources import load_dataset
from studies.measurements import read_measurements
from studies.zoo_tables import RECORDS

LAYERS = ("first convolution", "second convolution", "dense layer")


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
