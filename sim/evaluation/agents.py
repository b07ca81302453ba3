"""Agents by description: something that can be written to a plan and made in any process."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

from bicameral.errors import ConfigError
from bicameral.protocols import DrivingAgent


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSpec:
    """How to make one agent.

    Attributes:
        name: Name in tables and files, e.g. ``"caril"``.
        correction: Correction mode, ``"none"`` for an agent without one. Name and correction
            together are unique in a plan.
        target: ``"module:callable"``, such as ``"agent.loading:load_agent"``; the callable may be
            dotted.
        kwargs: Keyword arguments of the callable; JSON values only.
        trained_on: Simulator that the agent's data came from, ``"pocket"`` or ``"carla"``; None if
            nothing was trained.
    """

    name: str
    correction: str
    target: str
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    trained_on: str | None = None

    @property
    def label(self) -> str:
        """Unique name within a plan."""
        return label_of(self.name, self.correction)


def label_of(agent: str, correction: str) -> str:
    """Return the unique name of an agent with a correction mode."""
    return agent if correction == "none" else f"{agent}+{correction}"


def make_agent(spec: AgentSpec) -> DrivingAgent:
    """Import the target and call it.

    Raises:
        ConfigError: If the target is not ``module:callable``, does not exist, or does not give a
            `DrivingAgent`.
    """
    module_name, colon, path = spec.target.partition(":")
    if not (module_name and colon and path):
        raise ConfigError(
            f"agent {spec.name!r}: expected 'module:callable', got {spec.target!r}, for example "
            "'agent.expert:ExpertAgent'"
        )
    try:
        module: Any = importlib.import_module(module_name)
        factory = reduce(getattr, path.split("."), module)
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"agent {spec.name!r}: cannot load {spec.target!r}: {error}; check the spelling, and "
            "that the module can be imported from the current folder"
        ) from error
    agent = factory(**spec.kwargs)
    if not isinstance(agent, DrivingAgent):
        raise ConfigError(
            f"agent {spec.name!r}: {spec.target!r} returned {type(agent).__name__}, which lacks "
            "something of bicameral.protocols.DrivingAgent (name, privileged, camera, begin, act, "
            "close)"
        )
    return agent
