"""Agents as the command line describes them to the simulator."""

from __future__ import annotations

from pathlib import Path

import pytest

from bicameral.cli.driving_agents import AgentFlags, training_towns
from bicameral.errors import UserError
from sim.evaluation.agents import make_agent
from tests.path_network import write_path_network


def flags(model: str, second: str, *modes: str) -> AgentFlags:
    return AgentFlags(modes=modes, model=model, second=second)


def test_the_record_of_a_fusion_says_that_the_map_was_used_and_how(tmp_path: Path) -> None:
    first, second = (str(write_path_network(tmp_path, name)) for name in ("first", "second"))
    specs = flags(first, second, "none", "second_opinion", "fusion").specs()
    assert [spec.label for spec in specs] == ["first", "first+second_opinion", "first+fusion"]
    alone, asked, fused = (spec.kwargs for spec in specs)
    assert "fusion" not in alone
    # Without a fusion, too, the networks are told their lane by the noisy position.
    assert alone["navigation"]["intent"] is True
    assert (asked["second"], fused["second"]) == (second, second)
    assert fused["navigation"]["sigma_m"] == 1.0
    assert fused["fusion"]["factor"] == 4.0
    agent = make_agent(specs[2])
    assert (agent.name, agent.correction) == ("path-first", "fusion")
    agent.close()
    assert training_towns(specs) == ["Train01"] * 5


def test_what_an_agent_cannot_do_is_told_before_anything_is_driven(tmp_path: Path) -> None:
    path = str(write_path_network(tmp_path, "first"))
    with pytest.raises(UserError, match="unknown correction 'fusion'"):
        flags("caril_a", "caril_b", "fusion").specs()
    with pytest.raises(UserError, match="cannot drive together: one answers with a path"):
        flags(path, "caril_b", "second_opinion").specs()


def test_without_modes_those_are_compared_that_suit_the_network(tmp_path: Path) -> None:
    path = str(write_path_network(tmp_path, "first"))
    assert [spec.correction for spec in flags(path, path).specs()] == ["none", "fusion"]
    steering = [spec.correction for spec in flags("caril_a", "caril_b").specs()]
    assert steering == ["none", "paper", "second_opinion"]


def test_among_others_path_networks_are_slowed_by_the_shipped_pace_network() -> None:
    assert AgentFlags().among_others().pace == "pace_a"
    for given in (
        AgentFlags(pace="mine.onnx"),
        AgentFlags(model="caril_a"),
        AgentFlags(agent="expert"),
    ):
        assert given.among_others() is given
