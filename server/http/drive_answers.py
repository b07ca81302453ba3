"""What a driving agent answers over HTTP: about itself, and what it decided."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from agent.loading import corrections_of
from agent.remote import RemoteDriver
from bicameral.types import Decision, RoadOption
from server.serving.agent_model import AgentModel

#: Navigation commands by the name that requests use.
COMMANDS: Mapping[str, RoadOption] = {option.name.lower(): option for option in RoadOption}


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverAnswer(RemoteDriver):
    """What is known about a driving agent.

    Attributes:
        commands: Names of the navigation commands.
    """

    commands: tuple[str, ...]


class DriveTimes(BaseModel):
    """How long a decision took, in seconds.

    Attributes:
        decode: Reading the picture, any wait for that included.
        decide: From there to the decision, the wait for other requests included.
        networks: Processor time of the networks.
    """

    decode: float
    decide: float
    networks: float


class DecisionAnswer(BaseModel):
    """What an agent decided, see `bicameral.types.Decision`; null: it is no finite number.

    Attributes:
        steer: -1..1, positive right.
        throttle: 0..1.
        brake: 0..1.
        confidence: How sure the agent is, 0..1; see `bicameral.types.Decision`.
        entropy: Entropy of the class probabilities in nats.
        branch: Branch of the correction that was taken.
        steer_raw: The regression head's steering before the correction.
        diagnostics: Further figures of the correction.
        times_s: Where the time went.
    """

    steer: float
    throttle: float
    brake: float
    confidence: float | None
    entropy: float | None
    branch: str
    steer_raw: float | None
    diagnostics: dict[str, float | None]
    times_s: DriveTimes


def driver_answer(model: AgentModel, others: Iterable[object]) -> DriverAnswer:
    """Describe an agent.

    Args:
        model: The agent.
        others: All models that are loaded.
    """
    second = {
        other.name
        for other in others
        if isinstance(other, AgentModel)
        and other.name != model.name
        and other.camera == model.camera
        and type(other.network) is type(model.network)
    }
    return DriverAnswer(
        model=model.name,
        version=model.version,
        fingerprint=model.network.fingerprint,
        trained_on=model.trained_on,
        camera=model.camera,
        commands=tuple(COMMANDS),
        corrections=tuple(corrections_of(model.network)),
        second=tuple(sorted(second)),
    )


def decision_fields(decision: Decision, *, decode_s: float, decide_s: float) -> dict[str, Any]:
    """Return what `DecisionAnswer` describes, for JSON.

    Args:
        decision: What was decided.
        decode_s: See `DriveTimes`.
        decide_s: Likewise.
    """
    control = decision.control
    return {
        "steer": control.steer,
        "throttle": control.throttle,
        "brake": control.brake,
        "confidence": _finite(decision.confidence),
        "entropy": _finite(decision.entropy),
        "branch": decision.branch,
        "steer_raw": _finite(decision.steer_raw),
        "diagnostics": {name: _finite(value) for name, value in decision.diagnostics.items()},
        "times_s": {"decode": decode_s, "decide": decide_s, "networks": decision.inference_s},
    }


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)
