"""A camera picture in, a control out: for those who drive something else than our simulator."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

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
from server.endpoints.drive_query import DriveQuery, lease_second, require_agent
from server.endpoints.open_inference import Authorise
from server.endpoints.picture_body import picture_body_document, read_pictures
from server.errors import RequestError
from server.instrumentation import answered_by, request_id
from server.limits import RequestLimits
from server.serving.agent_model import AgentModel, DrivingOptions, DrivingView
from server.serving.repository import ModelRepository
from server.serving.served_model import ModelVersion, RequestContext


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
    refusals: dict[int | str, dict[str, Any]] = {
        status: {"model": ErrorAnswer} for status in (400, 404, 408, 413, 415, 429, 503)
    }

    @router.get(
        "/v1/drive/{model}", responses={status: refusals[status] for status in (400, 404, 503)}
    )
    async def describe(request: Request, model: str) -> DriverAnswer:
        """Tell which camera an agent needs, and what may be asked of it."""
        authorise(request.scope, "infer")
        return driver_answer(require_agent(repository.get(model)), repository.models())

    @router.post(
        "/v1/drive/{model}",
        response_model=DriveAnswer,
        responses=refusals,
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
