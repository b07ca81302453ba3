"""With the adapter off the network is its base, bit for bit; what that needs is needed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edge.drives.reader import DriveReader as RunningReader
from edge.drives.reader import DriveReaderSpec
from edge.session import OnnxSession
from edge.sidecar import TrainingData, TrainingRecord
from models.drives.export import onnx_from_reader, spec_of
from models.drives.network import FEATURES, WIDTH, DriveDescriber, DriveReader

TRAINING = TrainingRecord(
    command="", data=TrainingData(name="", sha256=""), split="", seed=0, precision="fp32"
)


def small_trunk() -> nn.Module:
    return nn.Sequential(nn.AvgPool2d(16), nn.Conv2d(3, FEATURES, 1), nn.ReLU())


class NotCausal(DriveReader):
    """Forgets to restore causal attention when the adapter is off."""

    def allowed(self, causal: Tensor, adapter: Tensor | None) -> Tensor:
        return torch.ones_like(causal)


@pytest.fixture(scope="module")
def trained() -> DriveReader:
    """Return a network whose adapter does something."""
    torch.manual_seed(0)
    network = DriveReader(small_trunk())
    for one in (*network.adapter_parameters(), network.head.weight):
        nn.init.normal_(one, std=0.5)
    return network.eval()


def same_weights(kind: type[DriveDescriber], trained: DriveReader, left_out: str = "-") -> bytes:
    torch.manual_seed(1)
    network = kind(small_trunk())
    state = trained.state_dict()
    names = [name for name in network.state_dict() if not name.startswith(left_out)]
    network.load_state_dict({name: state[name] for name in names}, strict=left_out == "-")
    return onnx_from_reader(network)


class Recorded(OnnxSession):
    """Keeps a digest of all logits; `in_search` reads frames with the adapter on."""

    def __init__(self, content: bytes, *, in_search: bool = False) -> None:
        super().__init__(content, name="drive reader")
        self.digest, self.in_search = hashlib.sha256(), in_search

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        given = dict(feeds)
        if self.in_search and not feeds["words"].shape[1]:
            given["adapter"] = np.array(True)
        names = [one.name for one in self.inputs]
        said = super().run({name: given[name] for name in names})
        self.digest.update(said["logits"].tobytes())
        return said


def described(session: Recorded, spec: DriveReaderSpec) -> str:
    pictures = np.random.default_rng(0).integers(0, 256, (20, 160, 320, 3), np.uint8)
    reader = RunningReader(spec, session)
    for picture in pictures:
        reader.numbers(picture, 1)
    return session.digest.hexdigest()


@pytest.fixture(scope="module")
def graph(trained: DriveReader) -> bytes:
    return onnx_from_reader(trained)


@pytest.fixture(scope="module")
def spec(graph: bytes) -> DriveReaderSpec:
    return spec_of("drive_reader", graph, TRAINING, (), ())


@pytest.fixture(scope="module")
def base(trained: DriveReader, spec: DriveReaderSpec) -> str:
    return described(Recorded(same_weights(DriveDescriber, trained)), spec)


def test_with_the_adapter_off_all_logits_are_the_bits_of_the_base(
    graph: bytes, spec: DriveReaderSpec, base: str
) -> None:
    assert described(Recorded(graph), spec) == base


def test_that_needs_causal_attention_restored(
    trained: DriveReader, spec: DriveReaderSpec, base: str
) -> None:
    assert described(Recorded(same_weights(NotCausal, trained)), spec) != base


def test_that_needs_the_head_over_words_kept(
    trained: DriveReader, spec: DriveReaderSpec, base: str
) -> None:
    assert described(Recorded(same_weights(DriveReader, trained, "head.")), spec) != base


def test_that_needs_a_cache_of_what_the_base_has_read(
    graph: bytes, spec: DriveReaderSpec, base: str
) -> None:
    assert described(Recorded(graph, in_search=True), spec) != base


def test_the_switch_keeps_what_adding_nothing_would_not(trained: DriveReader) -> None:
    block = trained.blocks[0]
    tokens, past = torch.randn(1, 3, WIDTH), torch.zeros(1, 0, WIDTH)
    allowed = torch.ones(3, 3, dtype=torch.bool)
    expected = block(tokens, (past, past), allowed, None)[0]
    kept = block.added["query"].up.weight.detach().clone()
    with torch.no_grad():
        block.added["query"].up.weight.fill_(torch.inf)
    off = block(tokens, (past, past), allowed, torch.tensor(data=False))[0]
    with torch.no_grad():
        block.added["query"].up.weight.copy_(kept)
    assert torch.equal(off, expected)


def test_words_one_by_one_after_the_cache_are_read_as_all_at_once(trained: DriveReader) -> None:
    nothing, off = torch.zeros(1, 4, 0, WIDTH), torch.tensor(data=False)
    seen = trained.see(torch.randn(1, FEATURES, 4, 10), torch.zeros(1, 4))
    words = torch.tensor([[1, 5, 6, 7]])
    past = trained(seen, nothing, off)[1]
    whole = trained(trained.say(words, past), past, off)[0]
    for place in range(4):
        one, past = trained(trained.say(words[:, place : place + 1], past), past, off)[:2]
        assert torch.allclose(one[0, 0], whole[0, place], atol=1e-4)
