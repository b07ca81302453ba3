"""The corrections of a path agent by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from agent.path.opinions import PathRule, VisionAlone
from bicameral.errors import unknown_name
from edge.path_model import PathModel


@dataclass(frozen=True, slots=True, kw_only=True)
class PathParts:
    """What a rule may be built from: network A, network B if given."""

    first: PathModel
    second: PathModel | None


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


PATH_CORRECTIONS: dict[str, Callable[[PathParts], PathRule]] = {"none": _make_none}

#: Those that ask network B if there is one.
MAY_ASK_B = ("second_opinion",)
