"""Running episodes for those who watch: what the agent sees, as server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse

from server.endpoints.classify import ErrorAnswer
from server.endpoints.drive_query import audience_of, require_agent
from server.endpoints.open_inference import Authorise
from server.endpoints.seats import Seats
from server.live_board import SHOW_EVERY_S, LiveBoard
from server.serving.repository import ModelRepository

#: Watchers of one worker; each looks into a folder ten times a second.
_MAX_WATCHERS = 32

#: A comment goes out after so long without events, so that nothing on the way gives up.
_COMMENT_EVERY_S = 10.0


def drive_live_router(
    repository: ModelRepository,
    board: LiveBoard,
    authorise: Authorise,
    is_serving: Callable[[], bool],
) -> APIRouter:
    """Build the route.

    Args:
        repository: The models.
        board: Shows the episodes.
        authorise: Who may do what.
        is_serving: Whether this worker goes on; watchers shall not keep one that ends.
    """
    router = APIRouter(tags=["drive"])
    seats = Seats(_MAX_WATCHERS, "has {taken} watchers")

    @router.get(
        "/v1/drive/{model}/live",
        response_class=StreamingResponse,
        responses={
            200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}},
            **{status: {"model": ErrorAnswer} for status in (400, 404, 429, 503)},
        },
    )
    async def live(request: Request, model: str) -> StreamingResponse:
        """Watch the episodes that an agent drives over WebSockets, in all workers.

        The events ``tick`` bear what the stream answers, about ten times a second, with the
        picture; ``end`` tells that an episode is over. It goes on until the client or the server
        ends. With API keys, each key sees its own episodes.
        """
        namespace = authorise(request.scope, "infer")
        agent = require_agent(repository.get(model))
        seats.require_one()
        audience = audience_of(namespace, agent.name)
        return StreamingResponse(
            _events(board, audience, seats, is_serving),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store"},
        )

    return router


async def _events(
    board: LiveBoard, audience: str, seats: Seats, is_serving: Callable[[], bool]
) -> AsyncIterator[bytes]:
    seen: dict[str, int] = {}
    silent_s = _COMMENT_EVERY_S
    with seats.taken():
        while is_serving():
            events = board.news(audience, seen)
            for event in events:
                yield b"event: %s\ndata: %s\n\n" % (event.kind.encode(), event.data)
            silent_s = 0.0 if events else silent_s + SHOW_EVERY_S
            if silent_s >= _COMMENT_EVERY_S:
                silent_s = 0.0
                yield b": nothing new\n\n"
            await asyncio.sleep(SHOW_EVERY_S)
