"""What the studies of byte models rest on."""

from __future__ import annotations

import pytest
import torch

from models.networks.byte_model import ByteModel
from studies.papers.byte_training import QUICK, standard_library, train_byte_model
from studies.papers.dual_stream import amplify


def test_a_file_of_the_library_is_in_one_part_and_most_are_for_training() -> None:
    corpus = standard_library()
    parts = {name: bytes(one.numpy()) for name, one in corpus.parts.items()}
    assert len(parts["train"]) > 2 * len(parts["validation"] + parts["test"])
    first_line = b'"""HTTP/1.1 client library\n'
    assert [first_line in one for one in parts.values()].count(True) == 1
    assert corpus.described()["corpus, test", next(iter(corpus.described()))[1], "bytes"].value


def test_the_same_seed_gives_the_same_model() -> None:
    one, other = (train_byte_model("attention", 1e-3, QUICK, 5).model for _ in range(2))
    for ours, others in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(ours, others)


@pytest.mark.parametrize("kind", ["attention", "dual_kronecker"])
def test_amplified_scores_are_multiplied_before_the_softmax(kind: str) -> None:
    torch.manual_seed(0)
    model = ByteModel(kind, context=10, width=8, heads=2, depth=1)
    block = model.blocks[0]
    layer = block.mixer if kind == "attention" else block
    x = torch.randn(1, 10, 8)
    before = layer.shape.content_attention(layer.content(x))
    amplify(model, 4)
    after = layer.shape.content_attention(layer.content(x))
    expected = (before.log() * 4).softmax(dim=-1)
    torch.testing.assert_close(after, expected, atol=1e-5, rtol=1e-4)
