"""Attention over two processes is the attention of one."""

from __future__ import annotations

import pytest
import torch

from studies.papers.ring_attention import Problem, attention_over_processes, whole_attention


def test_a_ring_of_two_processes_computes_the_attention_of_one() -> None:
    problem = Problem(heads=2, tokens=32, size=8)
    found = attention_over_processes(problem, 2, 280.0)
    torch.testing.assert_close(found, whole_attention(*problem.drawn()), atol=1e-5, rtol=0.0)


def test_a_ring_that_does_not_answer_in_time_is_ended_and_named() -> None:
    with pytest.raises(TimeoutError, match="ring attention: of 2 processes"):
        attention_over_processes(Problem(heads=1, tokens=4, size=2), 2, 0.01)
