"""Running episodes for those who watch: what the agent sees, as server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from starlette.responses import Response, StreamingResponse

from server.http.drive_query import audience_of, require_agent
from server.http.endpoint import Endpoint
from server.http.exchange import Request
from server.http.seats import Seats
from server.live_board import SHOW_EVERY_S, LiveBoard
from server.serving.repository import ModelRepository

#: Watchers of one worker; each looks into a folder ten times a second.
_MAX_WATCHERS = 32

#: A comment goes out after so long without events, so that nothing on the way gives up.
_COMMENT_EVERY_S = 10.0


def drive_live_endpoint(
    repository: ModelRepository, board: LiveBoard, is_serving: Callable[[], bool]
) -> Endpoint:
    """Return the endpoint.

    Args:
        repository: The models.
        board: Shows the episodes.
        is_serving: Whether this worker goes on; watchers shall not keep one that ends.
    """
    seats = Seats(_MAX_WATCHERS, "has {taken} watchers")

    async def live(request: Request) -> Response:
        """Watch the episodes that an agent drives over WebSockets, in all workers.

        The events ``tick`` bear what the stream answers, about ten times a second, with the
        picture; ``end`` tells that an episode is over. It goes on until the client or the server
        ends. With API keys, each key sees its own episodes.
        """
        agent = require_agent(repository.get(request.path["model"]))
        seats.require_one()
        return StreamingResponse(
            _events(board, audience_of(request.namespace, agent.name), seats, is_serving),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store"},
        )

    return Endpoint(
        method="GET",
        path="/v1/drive/{model}/live",
        handler=live,
        tag="drive",
        answer={"text/event-stream": {"schema": {"type": "string"}}},
        refusals=(400, 404, 429, 503),
    )


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
