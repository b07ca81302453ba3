"""A camera picture in, a control out: for those who drive something else than our simulator."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import Any

from starlette.responses import Response

from server.errors import RequestError
from server.http.classify import PICTURE_REFUSALS
from server.http.drive_answers import (
    COMMANDS,
    DecisionAnswer,
    DriverAnswer,
    decision_fields,
    driver_answer,
)
from server.http.drive_query import DriveQuery, lease_second, require_agent
from server.http.endpoint import Endpoint
from server.http.exchange import Request, json_answer
from server.http.picture_body import picture_body_document, read_pictures
from server.serving.agent_model import AgentModel, DrivingOptions, DrivingView
from server.serving.repository import ModelRepository

_PATH = "/v1/drive/{model}"


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


def drive_endpoints(repository: ModelRepository) -> list[Endpoint]:
    """Return the endpoints."""

    async def describe(request: Request) -> Response:
        """Tell which camera an agent needs, and what may be asked of it."""
        agent = require_agent(repository.get(request.path["model"]))
        return json_answer(driver_answer(agent, repository.models()))

    async def drive(request: Request) -> Response:
        """Decide once, from one picture of the agent's camera.

        Nothing is remembered from one request to the next: the answer is that of an episode's
        first tick on a straight road. So a second opinion does not keep the wheel for some ticks,
        and the pedals have no integral part. The stream has both.
        """
        model, query = request.path["model"], request.query
        # Refused before its body is read.
        request.model = require_agent(repository.get(model)).served_as
        pictures = await read_pictures(request, max_pictures=1)
        if not pictures:
            raise RequestError(400, "the request has no picture, expected one")
        # The version that was looked at may have been replaced while the body arrived.
        with ExitStack() as leases:
            agent = require_agent(leases.enter_context(repository.lease(model)))
            second = lease_second(leases, repository, query.correction, query.second)
            options = DrivingOptions(correction=query.correction, second=second, seed=query.seed)
            answer = await request.while_connected(_decided(agent, pictures[0], options, request))
        return json_answer(
            answer
            | {
                "model": agent.name,
                "version": agent.version,
                "correction": query.correction,
                "second": None if second is None else second.name,
            }
        )

    return [
        Endpoint(
            method="GET",
            path=_PATH,
            handler=describe,
            tag="drive",
            answer=DriverAnswer,
            refusals=(400, 404, 503),
        ),
        Endpoint(
            method="POST",
            path=_PATH,
            handler=drive,
            query=DriveQuery,
            tag="drive",
            answer=DriveAnswer,
            refusals=PICTURE_REFUSALS,
            body=picture_body_document(several=False),
        ),
    ]


async def _decided(
    agent: AgentModel, picture: bytes, options: DrivingOptions, request: Request
) -> dict[str, Any]:
    """Decode and decide."""
    query: DriveQuery = request.query
    began_s = time.perf_counter()
    image = await agent.read_picture(picture)
    decoded_s = time.perf_counter()
    target_mps = query.target_speed_mps
    view = DrivingView(
        image=image,
        speed_mps=query.speed_mps,
        command=COMMANDS[query.command],
        target_speed_mps=max(query.speed_mps, 0.0) if target_mps is None else target_mps,
    )
    decision = await agent.drive(view, options, context=request.context())
    return decision_fields(
        decision, decode_s=decoded_s - began_s, decide_s=time.perf_counter() - decoded_s
    )
