"""Driving agents of every kind: a network's sidecar says which kind of agent it is for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agent.caril import CarilAgent
from agent.path.agent import PathAgent
from edge.shipped import resolve_model
from edge.sidecar import PathAgentSpec, read_sidecar


def load_agent(
    model: str | Path,
    correction: str = "none",
    second: str | Path | None = None,
    *,
    delay_ticks: int = 0,
    **settings: Any,
) -> CarilAgent | PathAgent:
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
