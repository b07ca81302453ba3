"""The two streams compute the paper's equation."""

from __future__ import annotations

import pytest
import torch

from studies.final_mlp import TwoStreams


def test_the_score_of_three_features_is_that_of_the_equation_by_hand() -> None:
    network = TwoStreams(features=3, hidden=2, outputs=2, chunks=2)
    with torch.no_grad():
        for weight in network.parameters():
            weight.zero_()
        network.gates[0, 0] = torch.logit(torch.tensor(0.75))  # lets 1.5 of the first feature in
        for stream, feature in zip(network.streams, (0, 2), strict=True):
            stream[0].weight[0, feature] = 1.0  # the hidden unit sees one feature
            stream[2].weight[0, 0], stream[2].weight[1, 0] = 1.0, 2.0
        network.together[:, 0, 0] = torch.tensor([10.0, 100.0])
        network.votes.weight[0] = torch.tensor([1.0, 0.0, 0.0, 3.0])
        network.votes.bias.fill_(0.5)
    # o_1 = (3, 6) and o_2 = (5, 10): 0.5 + 3 + 3 * 10 + 10 * 3 * 5 + 100 * 6 * 10.
    assert network(torch.tensor([[2.0, 7.0, 5.0]])).item() == pytest.approx(6183.5)


def test_without_chunks_the_streams_are_only_put_side_by_side() -> None:
    network = TwoStreams(features=3, hidden=2, outputs=2, chunks=0)
    names = {name.partition(".")[0] for name, _ in network.named_parameters()}
    assert names == {"streams", "votes"}
