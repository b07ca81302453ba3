"""A whole episode over one WebSocket: the agent here, the vehicle at the other end.

The client sends `BeginMessage` and gets model, version, fingerprint, correction and second: who
drives, and how. Then, for every tick, it sends `TickMessage` and the picture as a message of its
own, and gets `DecisionAnswer` and the frame. What a client sends before it has its answer waits in
the socket. A failure is told as ``{"error": ...}``, and closes the connection with 4000
plus the status that it would have over HTTP.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import orjson
from numpy.typing import NDArray
from starlette.websockets import WebSocket, WebSocketDisconnect

from bicameral.errors import BicameralError
from server.errors import RequestError, request_error
from server.http.authorisation import chosen_protocol
from server.http.drive_answers import decision_fields
from server.http.drive_messages import (
    BeginMessage,
    TickMessage,
    pixels_from_bytes,
    read_message,
)
from server.http.drive_query import audience_of, lease_second, require_agent
from server.http.endpoint import SocketEndpoint
from server.http.exchange import ClientGoneError, Request
from server.http.large_bodies import require_few_values
from server.http.seats import Seats
from server.limits import ServerSettings
from server.live_board import LiveBoard, LiveEpisode
from server.metrics import Metrics
from server.serving.agent_model import AgentModel, DrivingEpisode, DrivingOptions
from server.serving.computation import RequestTimes, current_times
from server.serving.repository import ModelRepository
from server.serving.served_model import RequestContext

_log = logging.getLogger(__name__)

#: Close codes: 4000 to 4999 are free for applications (RFC 6455, 7.4.2).
_FAILURE_CODE: Final = 4000
_RESTART_CODE: Final = 1012
_INTERNAL_CODE: Final = 1011
#: What fits into the frame that closes a connection (RFC 6455, 5.5).
_LONGEST_REASON_BYTES: Final = 123

#: A longer message is parsed in a thread; one of this size takes about 2 ms.
_PARSE_IN_PLACE_CHARACTERS: Final = 64 << 10


#: A point of a route has ten, and there are a few beside them.
_VALUES_OF_A_POINT: Final = 11


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamParts:
    """What streams stand on.

    Attributes:
        repository: The models.
        settings: Limits of a stream and of a single tick.
        metrics: Counts ticks and streams.
        board: Shows episodes to those who watch.
    """

    repository: ModelRepository
    settings: ServerSettings
    metrics: Metrics
    board: LiveBoard


def drive_stream_endpoint(parts: StreamParts) -> SocketEndpoint:
    """Return the endpoint."""
    seats = Seats(parts.settings.streams.max_streams, "drives {taken} episodes")

    async def stream(request: Request, socket: WebSocket) -> None:
        model = request.path["model"]
        agent = require_agent(parts.repository.get(model))
        seats.require_one()
        with seats.taken(), parts.metrics.counted_stream(agent.served_as):
            await socket.accept(chosen_protocol(socket.scope))
            await _drive(_Stream(socket, parts, request), model)

    return SocketEndpoint(path="/v1/drive/{model}/stream", handler=stream)


async def _drive(stream: _Stream, model: str) -> None:
    """Drive until the client goes, or something fails; then close the connection."""
    socket = stream.socket
    try:
        try:
            await stream.run(model)
        except (ClientGoneError, WebSocketDisconnect):
            return
        except BicameralError as error:
            await _refuse(socket, request_error(error))
        except asyncio.CancelledError:
            # The time in which a server that ends finishes what it accepted is over.
            await socket.close(_RESTART_CODE, "the server is shutting down")
        except Exception:
            _log.exception("a stream of %s failed", model)
            await socket.close(_INTERNAL_CODE, "the server failed; its log tells more")
    except WebSocketDisconnect:  # before it could be told
        return


class _Stream:
    """One connection."""

    def __init__(self, socket: WebSocket, parts: StreamParts, request: Request) -> None:
        self.socket = socket
        self._parts = parts
        self._request = request

    async def run(self, model: str) -> None:
        """Drive an episode until the client ends it.

        Raises:
            BicameralError: If something does not fit, or takes too long.
            ClientGoneError: When the client has gone.
            WebSocketDisconnect: Likewise.
        """
        text = await self._receive("text")
        if len(text) <= _PARSE_IN_PLACE_CHARACTERS:
            begin = read_message(BeginMessage, text)
        else:
            most = self._parts.settings.streams.max_route_points * _VALUES_OF_A_POINT
            begin = await self._request.work.do_alone(partial(_read_large, text, most))
        with ExitStack() as leases:
            repository = self._parts.repository
            agent = require_agent(leases.enter_context(repository.lease(model)))
            second = lease_second(leases, repository, begin.correction, begin.second)
            options = DrivingOptions(correction=begin.correction, second=second, seed=begin.seed)
            route = begin.route.route(self._parts.settings.streams.max_route_points)
            episode = agent.episode(route, options, delay_ticks=begin.delay_ticks)
            begun = {
                "model": agent.name,
                "version": agent.version,
                "correction": begin.correction,
                "second": begin.second,
            }
            live = self._parts.board.episode(
                audience_of(self._request.namespace, agent.name),
                {**begun, "route": route.name, "town": route.town},
            )
            leases.callback(live.close)
            await self._answer({**begun, "fingerprint": agent.network.fingerprint})
            while True:
                await self._tick(agent, episode, begin, live)

    async def _tick(
        self, agent: AgentModel, episode: DrivingEpisode, begin: BeginMessage, live: LiveEpisode
    ) -> None:
        """Answer one tick, count it, and show it."""
        text = await self._receive("text")
        began_s = time.perf_counter()
        status: int | None = None
        times = RequestTimes()
        current_times.set(times)
        try:
            if len(text) > _PARSE_IN_PLACE_CHARACTERS:
                raise RequestError(413, f"the tick has {len(text):,} characters, expected few")
            tick = read_message(TickMessage, text)
            data = await self._receive("bytes")
            received_s = time.perf_counter()
            times.read_s = time.monotonic()
            image = await self._picture(agent, data, begin)
            decoded_s = time.perf_counter()
            context = RequestContext(
                deadline_s=time.monotonic() + self._parts.settings.requests.timeout_s,
            )
            decision = await episode.act(tick.observation(image), context=context)
            answer = {"frame": tick.frame} | decision_fields(
                decision,
                decode_s=decoded_s - received_s,
                decide_s=time.perf_counter() - decoded_s,
            )
            times.encoded_s = time.monotonic()
            await self._answer(answer)
            status = 200
            live.show(image, {"time_s": tick.time_s, "speed_mps": tick.speed_mps, **answer})
        except BicameralError as error:
            status = request_error(error).status
            raise
        finally:
            self._parts.metrics.count_request(
                agent.served_as, status, time.perf_counter() - began_s, times
            )

    async def _picture(self, agent: AgentModel, data: bytes, begin: BeginMessage) -> NDArray[Any]:
        if begin.picture != "encoded":
            camera = agent.camera
            return pixels_from_bytes(data, begin.picture, camera.height, camera.width)
        return await agent.read_picture(data)

    async def _receive(self, kind: str) -> Any:
        """Return the next message, which has to be of a kind, ``text`` or ``bytes``."""
        idle_s = self._parts.settings.streams.idle_timeout_s
        try:
            async with asyncio.timeout(idle_s):
                message = await self.socket.receive()
        except TimeoutError:
            raise RequestError(408, f"no message came for {idle_s:g} s") from None
        if message["type"] == "websocket.disconnect":
            raise ClientGoneError
        content = message.get(kind)
        if content is None:
            expected = "a picture as a binary message" if kind == "bytes" else "JSON as text"
            raise RequestError(400, f"the message is of the other kind, expected {expected}")
        return content

    async def _answer(self, value: dict[str, Any]) -> None:
        await self.socket.send_text(orjson.dumps(value).decode())


def _read_large(text: str, most_values: int) -> BeginMessage:
    require_few_values(text.encode(), most_values)
    return read_message(BeginMessage, text)


async def _refuse(socket: WebSocket, error: RequestError) -> None:
    """Tell what failed, and close the connection."""
    await socket.send_text(orjson.dumps({"error": error.message}).decode())
    reason = error.message.encode()[:_LONGEST_REASON_BYTES].decode("utf-8", "ignore")
    await socket.close(_FAILURE_CODE + error.status, reason)
