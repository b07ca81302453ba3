"""The corrections by name, of agents that steer and of those that see the path."""

from __future__ import annotations

from collections.abc import Callable

from agent.correction.names import require_correction
from agent.correction.none import NoCorrection
from agent.correction.paper import PaperCorrection, PaperRule
from agent.correction.protocol import CorrectionRule
from agent.correction.second_opinion import SecondOpinionCorrection
from agent.path.fusion import FusionRule, FusionSettings
from agent.path.opinions import PathRule, VisionAlone
from agent.path.paper import PaperPathRule
from agent.path.second_opinion import SecondPathRule
from edge.agent_sidecar import AgentSpec, PathAgentSpec

CORRECTIONS: dict[str, Callable[[AgentSpec, AgentSpec], CorrectionRule]] = {
    "none": lambda _, __: NoCorrection(),
    "paper": lambda a, _: PaperCorrection(PaperRule(bin_edges=a.bin_edges, scale=a.steering_scale)),
    "second_opinion": SecondOpinionCorrection,
}

PATH_CORRECTIONS: dict[str, Callable[[PathAgentSpec, FusionSettings], PathRule]] = {
    "none": lambda _, __: VisionAlone(),
    "paper": lambda a, _: PaperPathRule(a),
    "second_opinion": lambda a, _: SecondPathRule(a.confidence),
    "fusion": lambda _, settings: FusionRule(settings),
}


def make_correction(name: str, first: AgentSpec, second: AgentSpec | None) -> CorrectionRule:
    """Build a correction of an agent that steers.

    Args:
        name: One of `CORRECTIONS`.
        first: Network A.
        second: Network B, if there is one.

    Raises:
        UserError: If the name is unknown.
        ConfigError: If the correction needs a second network and none is given.
    """
    require_correction(name, CORRECTIONS, second)
    # Those that do without a second network do not look at it.
    return CORRECTIONS[name](first, second or first)


def make_path_rule(
    name: str, first: PathAgentSpec, second: object | None, fusion: FusionSettings
) -> PathRule:
    """Build a correction of an agent that sees the path.

    Args:
        name: One of `PATH_CORRECTIONS`.
        first: Network A.
        second: Network B, if there is one.
        fusion: Settings of the fusion.

    Raises:
        UserError: If the name is unknown.
        ConfigError: If the correction needs a second network and none is given.
    """
    require_correction(name, PATH_CORRECTIONS, second)
    return PATH_CORRECTIONS[name](first, fusion)
