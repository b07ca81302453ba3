"""What a ConViT looks at and what a spiking network sends, from their checkpoints."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
import torch

from bicameral.cli.assess_networks import assess_attention, assess_spikes
from bicameral.errors import DataError
from edge.samples import Samples
from edge.subject import load_subject
from models.classifiers.datasets import DatasetOptions, load_dataset
from models.classifiers.networks.convit import ConVitNetwork
from models.classifiers.networks.spiking import STEPS, SpikingNetwork
from models.zoo.attention import AttentionRecord, attention_profile, record_attention
from models.zoo.spikes import ADDITION_J, MULTIPLICATION_J, record_spikes
from models.zoo.trained import load_trained, untrained_twin
from models.zoo.training import ClassifierTraining, train_classifier

ROOT = Path(__file__).resolve().parents[3]
STUDY = ROOT / "studies" / "fashion_mnist" / "zoo"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two easy classes."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for label, level in (("dark", 40), ("light", 180)):
        (folder / label).mkdir()
        for number in range(200):
            noise = rng.integers(0, 60, (16, 16), np.uint8)
            cv2.imwrite(str(folder / label / f"{number}.png"), noise + np.uint8(level))
    return folder


def trained(entry: str, pictures: Path, output: Path) -> Path:
    """Train for one epoch; return the checkpoint."""
    settings = ClassifierTraining(
        entry=entry,
        source=str(pictures),
        output=output,
        prefix="easy",
        epochs=1,
        command="bicameral train classifier",
        limits="For tests.",
    )
    train_classifier(settings, lambda *_: None)
    return next(output.rglob("checkpoint.pt"))


@pytest.fixture(scope="module")
def convit(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained("convit", pictures, tmp_path_factory.mktemp("convit"))


@pytest.fixture(scope="module")
def spiking(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained("spiking", pictures, tmp_path_factory.mktemp("spiking"))


def local_network(locality: float) -> ConVitNetwork:
    """Return one whose gated heads look, by position alone, at the patches around a corner."""
    torch.manual_seed(0)
    network = ConVitNetwork(1, 3, size=(16, 16), width=8, heads=4, depth=(1, 1)).eval()
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
    assert profile.gates == (pytest.approx((1.0,) * 4),)
    assert profile.distances[0] == pytest.approx((expected,) * 4, abs=1e-5)


def test_even_attention_looks_as_far_as_patches_are_apart_on_average() -> None:
    network = local_network(0.0)  # no place is preferred
    record = record_attention(network, network, torch.zeros(1, 1, 16, 16))
    assert record.before.distances[0] == pytest.approx((record.even_distance,) * 4)


def test_a_checkpoint_tells_how_its_training_began(convit: Path, pictures: Path) -> None:
    dataset = load_dataset(str(pictures))
    before = untrained_twin(convit, ConVitNetwork, dataset)
    after = load_trained(convit, ConVitNetwork, dataset)
    record = record_attention(before, after, torch.zeros(3, 3, 32, 32))
    assert isinstance(record, AttentionRecord)
    initial = torch.sigmoid(torch.tensor(1.0)).item()
    assert record.before.gates == (pytest.approx((initial,) * 4),) * 4
    assert record.after.gates != record.before.gates
    assert len(record.after.distances) == 6


def test_a_checkpoint_of_another_network_or_other_data_is_refused(
    convit: Path, pictures: Path, tmp_path: Path
) -> None:
    dataset = load_dataset(str(pictures))
    with pytest.raises(DataError, match="holds a ConVitNetwork, expected a SpikingNetwork"):
        load_trained(convit, SpikingNetwork, dataset)
    larger = load_dataset(str(pictures), DatasetOptions(image_size=(40, 40)))
    with pytest.raises(DataError, match="was trained on"):
        load_trained(convit, ConVitNetwork, larger)


def test_spikes_cause_one_addition_per_connection(spiking: Path, pictures: Path) -> None:
    dataset = load_dataset(str(pictures))
    record = record_spikes(load_trained(spiking, SpikingNetwork, dataset), dataset)
    first, second, last = record.layers
    assert [layer.neurons for layer in record.layers] == [16 * 16 * 16, 32 * 8 * 8, 256]
    assert record.input_macs == 3 * 9 * 16 * 32 * 32
    # A 3x3 convolution to 32 channels, a dense layer to 256 neurons, two classes.
    for layer, connections in ((first, 9 * 32), (second, 256), (last, 2)):
        assert layer.additions == pytest.approx(layer.spikes * connections)
        assert layer.rate == pytest.approx(layer.spikes / (STEPS * layer.neurons))
        assert layer.spikes_low <= layer.spikes <= layer.spikes_high
    assert first.spikes > 0.0
    dense_macs = record.input_macs + 9 * 16 * 32 * 256 + 2048 * 256 + 2 * 256
    assert record.dense_macs == dense_macs
    assert record.dense_j == pytest.approx(dense_macs * (ADDITION_J + MULTIPLICATION_J))


def test_the_shipped_spiking_network_sends_as_many_spikes_as_its_card_says() -> None:
    test = load_dataset("fashion-mnist").test
    samples = Samples(description="test images", images=test.images[:1000], labels=None)
    subject = load_subject("fashion_mnist_spiking")
    found = subject.answer(samples, 0, 1000)
    subject.close()
    assert np.mean(found["logits"].argmax(axis=1) == test.labels[:1000]) > 0.9
    record = json.loads((STUDY / "spiking_spikes.json").read_text())
    expected = [layer["spikes"] for layer in record["layers"]]
    assert found["spikes"].mean(axis=0) == pytest.approx(expected, rel=0.03)
    card = (ROOT / "docs" / "zoo" / "spiking.md").read_text()
    assert all(f"{spikes:,.0f}" in card for spikes in expected)


def test_the_card_of_the_shipped_convit_shows_the_recorded_gates_and_distances() -> None:
    record = json.loads((STUDY / "convit" / "attention.json").read_text())
    card = (ROOT / "docs" / "zoo" / "convit.md").read_text()
    after = record["after"]
    for heads in (*after["gates"], *record["before"]["distances"], *after["distances"]):
        assert " ".join(f"{value:.2f}" for value in heads) in card
    for picture in ("gates.svg", "distances.svg"):
        assert f"studies/fashion_mnist/zoo/convit/{picture}" in card
        assert (STUDY / "convit" / picture).exists()


def test_the_commands_write_figures_and_pictures(
    convit: Path, spiking: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = str(pictures)
    assert assess_attention(convit, data, output=tmp_path) == 0
    assert assess_spikes(spiking, data, output=tmp_path / "s.json") == 0
    assert "same network without spikes" in capsys.readouterr().out.replace("\n", " ")
    assert json.loads((tmp_path / "s.json").read_text())["steps"] == STEPS
    assert len(json.loads((tmp_path / "attention.json").read_text())["after"]["gates"]) == 4
    for name, marks in (("gates", 2 * 4 * 4), ("distances", 2 * 6 * 4)):
        picture = ElementTree.fromstring((tmp_path / f"{name}.svg").read_text())
        circles = picture.iter("{http://www.w3.org/2000/svg}circle")
        assert len(list(circles)) == marks
        assert not [one for one in picture.iter() if "href" in str(one.attrib)]
