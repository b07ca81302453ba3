"""What the studies of papers compute agrees with what is known in closed form."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from studies.papers.attention_as_svm import (
    attention,
    draw_problem,
    gradient,
    support_vector_machine,
)
from studies.papers.collapse import closed_form
from studies.papers.conditioning import delta_error, hebbian_error
from studies.papers.modular_addition import spectrum
from studies.papers.opposing_groups import strongest_opposing
from studies.papers.parallel_retrieval import hierarchy, retrieve
from studies.papers.synthetic_gradients import Synthesiser, backward_in_parts


def test_the_amplitudes_of_the_hierarchy_halve_at_half_dilution() -> None:
    assert hierarchy(0.5) == pytest.approx([0.5, 0.25, 0.125, 0.0625])


def test_a_pattern_without_zeros_is_retrieved_alone() -> None:
    found = retrieve(2_000, 0.0, np.random.default_rng(0))
    assert found.amplitudes[0] == 1.0
    assert found.amplitudes[1:].max() < 0.1


def test_orthogonal_pairs_are_read_without_error_and_the_delta_rule_needs_no_more() -> None:
    rng = np.random.default_rng(0)
    assert hebbian_error(1, 8, rng) == pytest.approx(0.0, abs=1e-20)
    assert delta_error(4, 64, rng) < 1e-6


def test_the_machine_gives_the_smallest_weights_with_a_margin_of_one() -> None:
    found = support_vector_machine(np.array([[1.0, 0.0], [0.0, 2.0], [5.0, 5.0]]))
    assert found == pytest.approx([1.0, 0.5])


def test_the_gradient_of_attention_is_that_of_its_loss() -> None:
    rng = np.random.default_rng(0)
    problem = draw_problem(rng)
    weights, direction = rng.standard_normal((2, 10, 10))

    def loss(at: np.ndarray) -> float:
        answers = (attention(problem, at) * (problem.tokens @ problem.values)).sum(axis=1)
        return float(np.log1p(np.exp(-problem.labels * answers)).mean())

    slope = (loss(weights + 1e-5 * direction) - loss(weights - 1e-5 * direction)) / 2e-5
    assert (gradient(problem, weights) * direction).sum() == pytest.approx(slope, rel=1e-4)


def test_a_neuron_of_one_frequency_has_all_its_power_there_and_its_phases_aligned() -> None:
    places = 2.0 * torch.pi * 3.0 * torch.arange(23) / 23.0
    found = spectrum(torch.cos(places + 0.4)[None], torch.cos(places + 0.8)[:, None])
    assert found.concentration == pytest.approx([1.0])
    assert found.winner.tolist() == [2]
    assert found.misalignment[0, 2] == pytest.approx(0.0, abs=1e-6)


def test_a_class_of_few_samples_vanishes_under_strong_decay() -> None:
    lengths = closed_form((60, 5), penalty=np.sqrt(5.0) / 65.0)
    assert lengths[0] > 0.0
    assert lengths[1] == 0.0


def test_opposing_groups_are_those_of_like_features_and_opposite_gradients() -> None:
    # Two pairs of samples rise and fall in turns; the others hardly move. Those of the first pair
    # look alike and want opposite things, as do their gradients; those of the second want the same.
    losses = torch.ones(4, 60)
    losses[1::2, :2] += 1.0
    losses[::2, 2:4] += 1.0
    losses[1::2, 4:] += 1e-3
    features = torch.eye(60)
    features[:, 0] += torch.tensor([1.0] * 4 + [0.0] * 56)
    wishes = torch.tensor([[1.0, 0.0]] * 2 + [[-1.0, 0.0]] * 2 + [[0.0, 1.0]] * 56)
    found = strongest_opposing(losses, features, lambda group: wishes[group].mean(dim=0))
    assert found is not None
    assert set(found.rising.tolist()) <= {0, 1}
    assert set(found.falling.tolist()) <= {2, 3}
    assert found.cosine == pytest.approx(-1.0)


def test_groups_that_want_the_same_do_not_oppose_each_other() -> None:
    losses = torch.ones(4, 60)
    losses[1::2, :2] += 1.0
    losses[::2, 2:4] += 1.0
    assert strongest_opposing(losses, torch.eye(60), lambda _: torch.ones(2)) is None


class Foretelling(Synthesiser):
    """Knows the feedback of each cut, and keeps what arrived there."""

    def __init__(self, feedback: list[torch.Tensor]) -> None:
        super().__init__(feedback[0].shape[1], 1, 1e-3)
        self.feedback, self.arrived = list(feedback), torch.empty(0)

    def predict(self, state: torch.Tensor) -> torch.Tensor:
        return self.feedback.pop(0)

    def learn(self, states: torch.Tensor, arrived: torch.Tensor) -> None:
        self.arrived = arrived


def test_feedback_that_is_foretold_rightly_makes_up_for_all_that_was_cut_off() -> None:
    weight = torch.tensor(0.7, requires_grad=True)
    begin = torch.tensor([[1.0, 2.0], [3.0, -1.0]])

    def part(state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        following = weight * state
        return following.square().sum() / len(state), following

    states, losses, state = [], [], begin
    for _ in range(3):
        loss, state = part(state)
        states.append(state)
        losses.append(loss)
    # What a cut lacks is the feedback of the parts behind it.
    behind = [
        torch.autograd.grad(torch.stack(losses[cut + 1 :]).sum(), states[cut], retain_graph=True)[0]
        * len(begin)
        for cut in range(2)
    ]
    whole = torch.autograd.grad(torch.stack(losses).sum(), weight)[0]
    foretelling = Foretelling(behind)
    backward_in_parts([part] * 3, begin, foretelling)
    assert weight.grad is not None
    assert float(weight.grad) == pytest.approx(float(whole))
    assert torch.allclose(foretelling.arrived, torch.cat(behind))
