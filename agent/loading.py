"""Driving agents of every kind: a network's sidecar says which kind of agent it is for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeAlias

from agent.caril import CarilAgent
from agent.correction.registry import CORRECTIONS, CorrectionParts, make_correction
from agent.path.agent import PathAgent
from agent.path.corrections import PATH_CORRECTIONS, PathParts, make_path_rule
from agent.path.fusion import FusionSettings
from agent.path.navigation import NavigationSettings
from bicameral.errors import ConfigError
from bicameral.protocols import Session
from edge.agent_sidecar import PathAgentSpec
from edge.dual_head import DualHeadModel
from edge.path_model import PathModel
from edge.shipped import resolve_model
from edge.sidecar import Sidecar, read_sidecar

DrivingNetwork: TypeAlias = DualHeadModel | PathModel
NetworkAgent: TypeAlias = CarilAgent | PathAgent


def load_agent(
    model: str | Path,
    correction: str = "none",
    second: str | Path | None = None,
    *,
    delay_ticks: int = 0,
    **settings: Any,
) -> NetworkAgent:
    """Load an agent from model files.

    Args:
        model: Path of network A's ``.onnx`` or sidecar, or the name of a shipped model.
        correction: Name of one of the agent's corrections.
        second: Network B, likewise; loaded only if the correction may ask it.
        delay_ticks: See `agent.route_driver.RouteDriver`.
        settings: Further arguments of `CarilAgent.load` or `PathAgent.load`.

    Raises:
        UserError: If a model, a correction or a setting is unknown or damaged.
    """
    described = read_sidecar(resolve_model(model)).agent
    kind = PathAgent if isinstance(described, PathAgentSpec) else CarilAgent
    return kind.load(model, correction, second, delay_ticks=delay_ticks, **settings)


def network_of(sidecar: Sidecar, session: Session) -> DrivingNetwork:
    """Join the sidecar of a driving agent with a session of its graph.

    Raises:
        DataError: If they do not fit together.
    """
    kind = PathModel if isinstance(sidecar.agent, PathAgentSpec) else DualHeadModel
    return kind(sidecar, session)


def agent_of(
    first: DrivingNetwork,
    second: DrivingNetwork | None,
    correction: str,
    *,
    delay_ticks: int = 0,
) -> NetworkAgent:
    """Make an agent of networks that are loaded already, with all settings at their defaults.

    Args:
        first: Network A.
        second: Network B, if the correction may ask one.
        correction: Name of one of the agent's corrections.
        delay_ticks: See `agent.route_driver.RouteDriver`.

    Raises:
        UserError: If there is no such correction.
        ConfigError: If the networks are for different kinds of agents, or do not fit otherwise.
    """
    if isinstance(first, PathModel) and (second is None or isinstance(second, PathModel)):
        rule = make_path_rule(correction, PathParts(first=first, second=second))
        return PathAgent((first, second), rule, delay_ticks=delay_ticks)
    if isinstance(first, DualHeadModel) and (second is None or isinstance(second, DualHeadModel)):
        parts = CorrectionParts(first=first, second=second)
        return CarilAgent(
            (first, second), make_correction(correction, parts), delay_ticks=delay_ticks
        )
    assert second is not None  # noqa: S101 - a network alone is of one of the two kinds
    raise ConfigError(
        f"{first.name!r} and {second.name!r} cannot drive together: one answers with a path, the "
        "other with a steering value"
    )


def fusion_record() -> dict[str, dict[str, Any]]:
    """Return all settings of a fusion at their defaults, for the records of an evaluation.

    They say that the map's route was used, how noisy it was, and how it was weighed.
    """
    return {"navigation": asdict(NavigationSettings()), "fusion": asdict(FusionSettings())}


def corrections_of(network: DrivingNetwork) -> Iterable[str]:
    """Return the names of the corrections of a network's agent."""
    return PATH_CORRECTIONS if isinstance(network, PathModel) else CORRECTIONS
