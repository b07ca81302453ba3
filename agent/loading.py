"""Driving agents of every kind: a network's sidecar says which kind of agent it is for."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeAlias

from agent.caril import CarilAgent
from agent.correction.names import MAY_ASK_B
from agent.correction.registry import (
    CORRECTIONS,
    PATH_CORRECTIONS,
    make_correction,
    make_path_rule,
)
from agent.pace import PaceKeeper, PaceSettings
from agent.path.agent import PathAgent
from agent.path.fusion import FusionSettings
from agent.path.navigation import NavigationSettings, Navigator
from bicameral.errors import ConfigError, unknown_name
from bicameral.protocols import Session
from edge.agent_sidecar import PathAgentSpec
from edge.dual_head import DualHeadModel
from edge.pace_model import PaceModel
from edge.path_model import PathModel
from edge.session import open_model
from edge.shipped import resolve_model
from edge.sidecar import Sidecar, read_sidecar

DrivingNetwork: TypeAlias = DualHeadModel | PathModel


@dataclass(frozen=True, slots=True, kw_only=True)
class PathSettings:
    """Settings of an agent that sees the path: of the map's path, what is made of it, its pace."""

    navigation: NavigationSettings = field(default_factory=NavigationSettings)
    fusion: FusionSettings = field(default_factory=FusionSettings)
    pace: PaceSettings = field(default_factory=PaceSettings)


def load_agent(
    model: str | Path,
    correction: str = "none",
    second: str | Path | None = None,
    *,
    delay_ticks: int = 0,
    **settings: Mapping[str, Any],
) -> CarilAgent | PathAgent:
    """Load an agent from model files.

    Args:
        model: Path of network A's ``.onnx`` or sidecar, or the name of a shipped model.
        correction: Name of one of the agent's corrections.
        second: Network B, likewise; loaded only if the correction may ask it.
        delay_ticks: See `agent.network_agent.NetworkAgent`.
        settings: Of an agent that sees the path, under ``navigation``, ``fusion`` and ``pace`` the
            fields of `NavigationSettings`, `FusionSettings` and `PaceSettings` that differ from
            their defaults.

    Raises:
        UserError: If a model, a correction or a setting is unknown or damaged.
    """
    told = _path_settings(settings) if settings else None
    first = _load_network(model)
    other = None
    if second is not None and correction in MAY_ASK_B:
        other = _load_network(second)
    return agent_of(first, other, correction, delay_ticks=delay_ticks, settings=told)


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
    settings: PathSettings | None = None,
) -> CarilAgent | PathAgent:
    """Make an agent of networks that are loaded already.

    Args:
        first: Network A.
        second: Network B, if the correction may ask one.
        correction: Name of one of the agent's corrections.
        delay_ticks: See `agent.network_agent.NetworkAgent`.
        settings: Of an agent that sees the path; None: the defaults.

    Raises:
        UserError: If there is no such correction.
        ConfigError: If the networks are for different kinds of agents, or do not fit otherwise.
    """
    if isinstance(first, PathModel) and (second is None or isinstance(second, PathModel)):
        told = settings or PathSettings()
        return PathAgent(
            (first, second),
            make_path_rule(correction, first.agent, second, told.fusion),
            navigator=Navigator(told.navigation),
            pace=load_pace(told.pace),
            delay_ticks=delay_ticks,
        )
    if isinstance(first, DualHeadModel) and (second is None or isinstance(second, DualHeadModel)):
        if settings is not None:
            raise ConfigError(
                f"{first.name!r} is {first.agent.title}; settings of navigation, fusion and pace "
                f"are for {PathAgentSpec.title}"
            )
        rule = make_correction(correction, first.agent, None if second is None else second.agent)
        return CarilAgent((first, second), rule, delay_ticks=delay_ticks)
    assert second is not None  # noqa: S101 - a network alone is of one of the two kinds
    raise ConfigError(
        f"{first.name!r} and {second.name!r} cannot drive together: one answers with a path, the "
        "other with a steering value"
    )


def path_record(network: PathAgentSpec, correction: str) -> dict[str, dict[str, Any]]:
    """Return the settings of a path agent at their defaults, for the records of an evaluation.

    They say how noisy the map's route is, whether the networks are told where its lane leads, and
    of a fusion how it is weighed.

    Args:
        network: What network A's sidecar says of the agent.
        correction: Name of the agent's correction.
    """
    settings = PathSettings()
    told = settings.navigation.intent and network.intent is not None
    record = {"navigation": asdict(settings.navigation) | {"intent": told}}
    return record | ({"fusion": asdict(settings.fusion)} if correction == "fusion" else {})


def load_pace(settings: PaceSettings) -> PaceKeeper | None:
    """Load what sets the pace; None where nothing is named.

    Raises:
        UserError: If the network is unknown or damaged.
    """
    if not settings.model:
        return None
    return PaceKeeper(PaceModel.load(resolve_model(settings.model)), settings)


def corrections_of(network: DrivingNetwork) -> Collection[str]:
    """Return the names of the corrections of a network's agent."""
    return PATH_CORRECTIONS if isinstance(network, PathModel) else CORRECTIONS


def _load_network(model: str | Path) -> DrivingNetwork:
    path = resolve_model(model)
    sidecar = read_sidecar(path)
    return network_of(sidecar, open_model(path, sidecar))


def _path_settings(given: Mapping[str, Mapping[str, Any]]) -> PathSettings:
    known = [one.name for one in fields(PathSettings)]
    if unknown := set(given) - set(known):
        raise unknown_name("setting of a path agent", min(unknown), known)
    try:
        return PathSettings(
            navigation=NavigationSettings(**given.get("navigation", {})),
            fusion=FusionSettings(**given.get("fusion", {})),
            pace=PaceSettings(**given.get("pace", {})),
        )
    except TypeError as error:
        raise ConfigError(f"settings of the path agent: {error}") from error
