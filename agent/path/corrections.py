"""The corrections of a path agent by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from agent.path.fusion import FusionRule, FusionSettings
from agent.path.opinions import PathRule, VisionAlone
from agent.path.paper import PaperPathRule
from agent.path.second_opinion import SecondPathRule
from bicameral.errors import ConfigError, unknown_name
from edge.path_model import PathModel


@dataclass(frozen=True, slots=True, kw_only=True)
class PathParts:
    """What a rule may be built from: network A, network B if given, settings."""

    first: PathModel
    second: PathModel | None
    fusion: FusionSettings = field(default_factory=FusionSettings)


def make_path_rule(name: str, parts: PathParts) -> PathRule:
    """Build a rule.

    Raises:
        UserError: If the name is unknown.
        ConfigError: If the rule needs a second network and none is given.
    """
    if name not in PATH_CORRECTIONS:
        raise unknown_name("correction", name, PATH_CORRECTIONS)
    return PATH_CORRECTIONS[name](parts)


def _make_none(parts: PathParts) -> PathRule:
    del parts
    return VisionAlone()


def _make_paper(parts: PathParts) -> PathRule:
    return PaperPathRule(parts.first)


def _make_second_opinion(parts: PathParts) -> PathRule:
    if parts.second is None:
        raise ConfigError("the correction 'second_opinion' needs a second network; give one")
    return SecondPathRule(parts.first.agent.confidence)


def _make_fusion(parts: PathParts) -> PathRule:
    return FusionRule(parts.fusion)


PATH_CORRECTIONS: dict[str, Callable[[PathParts], PathRule]] = {
    "none": _make_none,
    "paper": _make_paper,
    "second_opinion": _make_second_opinion,
    "fusion": _make_fusion,
}
