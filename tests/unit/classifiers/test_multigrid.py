"""Networks of V-cycles, and the equation that they learn to solve."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edge.session import OnnxSession
from models.networks.multigrid import MultigridOperator, VCycle
from models.onnx_export import onnx_from_network
from studies.papers.darcy_equation import coefficients, draw_media, solve


def test_a_cycle_is_linear_and_carries_a_point_to_the_whole_grid() -> None:
    torch.manual_seed(0)
    cycle, one, other = VCycle(4, levels=4), *torch.randn(2, 3, 4, 16, 16)
    torch.testing.assert_close(cycle(one + 2 * other), cycle(one) + 2 * cycle(other))
    point = torch.zeros(1, 4, 16, 16)
    point[0, :, 0, 0] = 1.0
    assert (cycle(point)[0, :, -1, -1] != 0.0).any()


def test_every_weight_learns_and_the_graph_answers_as_the_network_row_by_row() -> None:
    torch.manual_seed(0)
    network, media = MultigridOperator(channels=4, layers=2), torch.randn(3, 1, 16, 16)
    answers = network(media)
    answers.square().sum().backward()
    assert all(one.grad is not None and one.grad.any() for one in network.parameters())
    graph = onnx_from_network(network.eval(), {"medium": media[:1]}, ["flow"])
    session = OnnxSession(graph, name="operator")
    for rows in (slice(0, 3), slice(1, 2)):
        (found,) = session.run({"medium": media[rows].numpy()}).values()
        np.testing.assert_allclose(found, answers[rows].detach().numpy(), atol=1e-4)


def test_the_flow_of_an_even_medium_is_that_of_the_textbook() -> None:
    # The torsion of a square bar: the largest value of -Laplacian u = 1 is 0.0736713.
    assert solve(np.full((64, 64), 1.0)).max() == pytest.approx(0.0736713, rel=1e-3)
    np.testing.assert_allclose(solve(np.full((8, 8), 4.0)), solve(np.ones((8, 8))) / 4.0)


def test_a_flow_balances_in_every_cell_of_a_medium_of_two_materials() -> None:
    a = coefficients(draw_media(1, 16, seed=1)[0])
    assert set(np.unique(a)) == {3.0, 12.0}
    u = np.pad(solve(a), 1)
    beyond = np.pad(a, 1)
    flow_out = np.zeros_like(a)
    for down, across in ((0, 1), (0, -1), (1, 0), (-1, 0)):
        there = (slice(1 + down, 17 + down), slice(1 + across, 17 + across))
        joint = 2.0 * a * beyond[there] / (a + beyond[there])
        flow_out += np.where(beyond[there] == 0.0, 2.0 * a, joint) * (u[1:-1, 1:-1] - u[there])
    np.testing.assert_allclose(flow_out, 16.0**-2, rtol=1e-9)


def test_the_same_seed_draws_the_same_medium_on_a_finer_grid() -> None:
    coarse, fine = draw_media(4, 16, seed=2), draw_media(4, 32, seed=2)
    assert (fine[:, ::2, ::2] == coarse).mean() > 0.95
