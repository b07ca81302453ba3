"""A camera picture in, a control out: for those who drive something else than our simulator."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from bicameral.errors import DataError
from bicameral.types import Decision
from server.endpoints.asgi import ClientGoneError, NoAnswer, json_answer, while_connected
from server.endpoints.classify import ErrorAnswer
from server.endpoints.drive_answers import (
    COMMANDS,
    DecisionAnswer,
    DriverAnswer,
    decision_fields,
    driver_answer,
)
from server.endpoints.open_inference import Authorise
from server.endpoints.picture_body import picture_body_document, read_pictures
from server.errors import RequestError
from server.instrumentation import answered_by, request_id
from server.limits import RequestLimits
from server.serving.agent_model import AgentModel, DrivingOptions, DrivingView
from server.serving.repository import ModelRepository
from server.serving.served_model import ModelVersion, RequestContext, ServedModel

#: Nothing on wheels is faster; beyond it a number is a mistake of units.
_FASTEST_MPS = 150.0

CorrectionName = Literal["none", "paper", "second_opinion"]
CommandName = Literal[
    "left", "right", "straight", "lane_follow", "change_lane_left", "change_lane_right"
]


class DriveAnswer(DecisionAnswer):
    """A single decision, and who made it.

    Attributes:
        model: Name of the agent.
        version: Its version.
        correction: What it could do about a steering value that may be wrong.
        second: The agent that it could ask.
    """

    model: str
    version: str
    correction: str
    second: str | None


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

    speed_mps: float = Field(ge=-_FASTEST_MPS, le=_FASTEST_MPS)
    command: CommandName = "lane_follow"
    target_speed_mps: float | None = Field(None, ge=0.0, le=_FASTEST_MPS)
    correction: CorrectionName = "none"
    second: str | None = None
    seed: int = Field(0, ge=0, lt=1 << 32)


def drive_router(
    repository: ModelRepository, limits: RequestLimits, authorise: Authorise
) -> APIRouter:
    """Build the routes.

    Args:
        repository: The models.
        limits: Of a single request.
        authorise: Who may do what.
    """
    router = APIRouter(tags=["drive"])

    @router.get("/v1/drive/{model}", responses=_refusals(400, 404, 503))
    async def describe(request: Request, model: str) -> DriverAnswer:
        """Tell which camera an agent needs, and what may be asked of it."""
        authorise(request.scope, "infer")
        return driver_answer(require_agent(repository.get(model)), repository.models())

    @router.post(
        "/v1/drive/{model}",
        response_model=DriveAnswer,
        responses=_refusals(400, 404, 408, 413, 415, 429, 503),
        openapi_extra=picture_body_document(several=False),
    )
    async def drive(
        request: Request, model: str, query: Annotated[DriveQuery, Query()]
    ) -> Response:
        """Decide once, from one picture of the agent's camera.

        Nothing is remembered from one request to the next: the answer is that of an episode's
        first tick on a straight road. So a second opinion does not keep the wheel for some ticks,
        and the pedals have no integral part. The stream has both.
        """
        authorise(request.scope, "infer")
        context = RequestContext(
            request_id=request_id(request.scope), deadline_s=time.monotonic() + limits.timeout_s
        )
        # Refused before its body is read.
        agent = require_agent(repository.get(model))
        answered_by(request.scope, ModelVersion(name=agent.name, version=agent.version))
        try:
            headers = dict(request.scope["headers"])
            pictures = await read_pictures(headers, request.receive, limits, max_pictures=1)
            if not pictures:
                raise RequestError(400, "the request has no picture, expected one")
            # The version that was looked at may have been replaced while the body arrived.
            with ExitStack() as leases:
                agent = require_agent(leases.enter_context(repository.lease(model)))
                second = lease_second(leases, repository, query.correction, query.second)
                options = DrivingOptions(
                    correction=query.correction, second=second, seed=query.seed
                )
                answer = await while_connected(
                    _decided(agent, pictures[0], query, options, context), request.receive
                )
        except ClientGoneError:
            return NoAnswer()
        answer |= {
            "model": agent.name,
            "version": agent.version,
            "correction": query.correction,
            "second": None if second is None else second.name,
        }
        return Response(b"".join(json_answer(answer).body), media_type="application/json")

    return router


def _refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe failures; FastAPI would add a 422 if it did not know what all others look like."""
    known: tuple[int | str, ...] = (*statuses, "default")
    return {status: {"model": ErrorAnswer} for status in known}


def require_agent(model: ServedModel) -> AgentModel:
    """Return the model, if it drives.

    Raises:
        RequestError: 400 if it does not.
    """
    if not isinstance(model, AgentModel):
        raise RequestError(
            400,
            f"model {model.name!r} is no driving agent but {model.sidecar.kind!r}; ask it with "
            f"POST /v1/classify/{model.name} or POST /v2/models/{model.name}/infer",
        )
    return model


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
    if correction != "second_opinion":
        if name is not None:
            raise RequestError(
                400,
                f"second is {name!r}, but the correction {correction!r} asks nobody; leave it out, "
                "or choose the correction 'second_opinion'",
            )
        return None
    if name is None:
        raise RequestError(
            400,
            "the correction 'second_opinion' needs another agent; name it as second, one of those "
            "that GET /v1/drive/{model} tells",
        )
    return require_agent(leases.enter_context(repository.lease(name)))


async def _decided(
    agent: AgentModel,
    picture: bytes,
    query: DriveQuery,
    options: DrivingOptions,
    context: RequestContext,
) -> dict[str, Any]:
    """Decode and decide.

    Raises:
        RequestError: 415 if it is no picture of the agent's camera; and as `AgentModel.drive`.
    """
    began_s = time.perf_counter()
    try:
        image = await agent.read_picture(picture)
    except DataError as error:
        raise RequestError(415, str(error)) from error
    decoded_s = time.perf_counter()
    target_mps = query.target_speed_mps
    view = DrivingView(
        image=image,
        speed_mps=query.speed_mps,
        command=COMMANDS[query.command],
        target_speed_mps=max(query.speed_mps, 0.0) if target_mps is None else target_mps,
    )
    decision: Decision = await agent.drive(view, options, context=context)
    return decision_fields(
        decision, decode_s=decoded_s - began_s, decide_s=time.perf_counter() - decoded_s
    )
