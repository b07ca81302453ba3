"""What may be asked of a driving agent, and the agents that a request needs."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from agent.correction.names import MAY_ASK_B, CorrectionName
from server.errors import RequestError
from server.serving.agent_model import AgentModel
from server.serving.repository import ModelRepository
from server.serving.served_model import ServedModel

#: Nothing on wheels is faster; beyond it a number is a mistake of units.
FASTEST_MPS = 150.0

CommandName = Literal[
    "left", "right", "straight", "lane_follow", "change_lane_left", "change_lane_right"
]


class DriveQuery(BaseModel):
    """The parameters of a request.

    Attributes:
        speed_mps: Forward speed of the vehicle.
        command: What the navigation asks for.
        target_speed_mps: The wanted speed, which decides the pedals; by default the speed is held.
        correction: What to do about a steering value that may be wrong.
        second: The agent to ask for a second opinion.
        seed: Of the noise of the correction ``paper``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    speed_mps: float = Field(ge=-FASTEST_MPS, le=FASTEST_MPS)
    command: CommandName = "lane_follow"
    target_speed_mps: float | None = Field(None, ge=0.0, le=FASTEST_MPS)
    correction: CorrectionName = "none"
    second: str | None = None
    seed: int = Field(0, ge=0, lt=1 << 32)


def require_agent(model: ServedModel) -> AgentModel:
    """Return the model, if it drives.

    Raises:
        RequestError: 400 if it does not.
    """
    if not isinstance(model, AgentModel):
        raise RequestError(
            400,
            f"model {model.name!r} is no driving agent but {model.kind!r}; ask it with "
            f"POST /v2/models/{model.name}/infer",
        )
    return model


def audience_of(namespace: str, model: str) -> str:
    """Return who may watch episodes of an agent: those with the same key, see `LiveBoard`."""
    return f"{namespace}\0{model}"


def lease_second(
    leases: ExitStack, repository: ModelRepository, correction: str, name: str | None
) -> AgentModel | None:
    """Keep the agent loaded that a correction may ask, if it may ask one.

    Args:
        leases: Holds the lease.
        repository: The models.
        correction: Name of the correction.
        name: The agent that the request names; None: none.

    Raises:
        RequestError: 400 if there is a name where none is needed, or none where one is needed; 404
            and 503 as `ModelRepository.lease`.
    """
    if correction not in MAY_ASK_B:
        if name is not None:
            raise RequestError(
                400,
                f"second is {name!r}, but the correction {correction!r} asks nobody; leave it out, "
                f"or choose a correction that does, {' or '.join(map(repr, MAY_ASK_B))}",
            )
        return None
    if name is None:
        if correction == "fusion":
            return None
        raise RequestError(
            400,
            "the correction 'second_opinion' needs another agent; name it as second, one of those "
            "that GET /v1/drive/{model} tells",
        )
    return require_agent(leases.enter_context(repository.lease(name)))
