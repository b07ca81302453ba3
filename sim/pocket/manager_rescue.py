"""Wakes clients whose Traffic Manager and who ticked it wait for each other for ever.

In synchronous mode LibCarla 0.9.16 lets its Traffic Manager step after each tick, and after the
settings of the world were changed. The thread that did so tells the Traffic Manager's thread that a
step begins, and is told when it has ended. Both set a flag and signal without the lock, so that now
and then the signal falls between the other's look at the flag and its wait. Then both wait for
ever:

* The beginning was lost. The client has ticked, and its Traffic Manager, which sends its controls
  in every step, says nothing. Leaving synchronous mode signals the beginning again, so the
  Traffic Manager is told to leave and to come back; the step that hung is then made as any other.
  A client that has just left synchronous mode itself may have taken its Traffic Manager out of it
  before; then that one is silent, too, and must not come back: nobody would ever let it step.
  One that is only late on a busy machine would step twice, and others would drive differently.
  Therefore it is given many times as long as it needed lately.
* The end was lost. The Traffic Manager has sent its controls, and then nobody says anything. Only
  the end of another step is told again, so the Traffic Manager is asked for one. A client that
  only pauses looks the same: it is given long, and then its Traffic Manager decides once more on
  the same state of the world, which leaves its flags as they were.

The Traffic Manager is itself a server, on a port that it announced. The walkers' controls come
from a third thread of the client and say nothing about these two, and neither do empty batches
between two steps: leaderboard 2.1 sends one every second from a thread of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import defaultdict
from dataclasses import dataclass

import msgpack

from sim.pocket.protocol.framing import Request
from sim.pocket.protocol.rpc_server import RpcConnection
from sim.pocket.world.traffic_managers import TrafficManagerRegistry

#: Methods and their arguments.
Calls = tuple[tuple[str, list[bool]], ...]

#: A step takes milliseconds; on a busy machine its first call may come late.
_BEGINNING_MISSED_S = 1.0
#: So many times as long as steps needed lately to begin, if that is more.
_TIMES_LATER = 20.0
#: How much of that each step leaves: a single late one is forgotten after a few hundred.
_KEPT = 0.99
#: After the first time it doubles until the client ticks again, for a client that pauses.
_END_MISSED_S = 10.0
_LOOK_EVERY_S = 0.25
#: How long a Traffic Manager may take to answer.
_ANSWER_S = 2.0
_LARGEST_ANSWER_BYTES = 1 << 12
_LEAVE: Calls = (("set_synchronous_mode", [False]),)
_LEAVE_AND_COME_BACK: Calls = (*_LEAVE, ("set_synchronous_mode", [True]))
_STEP_AGAIN: Calls = (("synchronous_tick", []),)
#: Number of the command that moves a walker.
_WALKER_STATE = 7

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Tick:
    """What a client with Traffic Managers has said since it let them step.

    Attributes:
        synchronous: Whether it will let them step again.
        said_s: When it last said something; monotonic clock.
        patience_s: How long it may say nothing when all steps are made.
        steps: How many Traffic Managers have sent their controls; one steps after the other.
        stepping: Whether the next one has begun its step.
    """

    synchronous: bool
    said_s: float
    patience_s: float
    steps: int = 0
    stepping: bool = False


class ManagerRescue:
    """Watches the clients that own Traffic Managers.

    Args:
        managers: The Traffic Managers of the clients.
    """

    def __init__(self, managers: TrafficManagerRegistry) -> None:
        self._managers = managers
        self._ticks: dict[RpcConnection, _Tick] = {}
        self._begins_after_s: defaultdict[RpcConnection, float] = defaultdict(float)

    def note(self, connection: RpcConnection, request: Request) -> None:
        """Note a call that was carried out."""
        now_s = time.monotonic()
        managers = self._managers.count(connection)
        synchronous = _stays_synchronous(request)
        if managers and synchronous is not None:
            self._ticks[connection] = _Tick(synchronous, now_s, _END_MISSED_S)
            return
        tick = self._ticks.get(connection)
        if tick is None or (_is_empty(request) and not tick.stepping):
            return
        silent_s, tick.said_s = now_s - tick.said_s, now_s
        if request.method == "get_episode_settings" or _moves_walkers(request):
            return
        if tick.steps < managers and not tick.stepping:
            kept_s = _KEPT * self._begins_after_s[connection]
            self._begins_after_s[connection] = max(silent_s, kept_s)
        if request.method == "apply_batch":
            tick.steps += 1
            tick.stepping = False
        elif tick.steps < managers:
            tick.stepping = True
        else:
            del self._ticks[connection]  # who ticked has gone on

    def forget(self, connection: RpcConnection) -> None:
        """Forget a client that has gone."""
        self._ticks.pop(connection, None)
        self._begins_after_s.pop(connection, None)

    async def watch(self) -> None:
        """Wake who has waited for too long, until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            for connection, tick in tuple(self._ticks.items()):
                await self._look_after(connection, tick)

    async def _look_after(self, connection: RpcConnection, tick: _Tick) -> None:
        silent_s = time.monotonic() - tick.said_s
        # LibCarla goes through its Traffic Managers by their ports
        ports = sorted(self._managers.ports(connection))
        if tick.steps >= len(ports):
            if silent_s < tick.patience_s:
                return
            tick.patience_s *= 2.0
            missed, calls = "the end", _STEP_AGAIN
        else:
            late_s = _TIMES_LATER * self._begins_after_s[connection]
            if tick.stepping or silent_s < max(_BEGINNING_MISSED_S, late_s):
                return
            missed, calls = "the beginning", _LEAVE_AND_COME_BACK
            ports = [ports[tick.steps]]
            if not tick.synchronous:
                calls = _LEAVE
                del self._ticks[connection]
        tick.said_s = time.monotonic()  # and again, if that is of no use
        for port in ports:
            await _wake(connection, port, calls, missed)


async def _wake(connection: RpcConnection, port: int, calls: Calls, missed: str) -> None:
    host = connection.peer_host
    if host is None:
        return
    try:
        async with asyncio.timeout(_ANSWER_S):
            await _call(host, port, calls)
    except (OSError, TimeoutError) as error:
        logger.info("the Traffic Manager on port %d cannot be woken: %s", port, error)
    else:
        logger.info("%s of a step of the Traffic Manager on port %d was lost", missed, port)


async def _call(host: str, port: int, calls: Calls) -> None:
    """Call a Traffic Manager, whose methods take no metadata.

    All calls are sent at once: it is to come back before it has made the step it is woken for.
    """
    reader, writer = await asyncio.open_connection(host, port)
    try:
        for number, (method, arguments) in enumerate(calls):
            writer.write(msgpack.packb([0, number, method, arguments]))
        answers: msgpack.Unpacker = msgpack.Unpacker(max_buffer_size=_LARGEST_ANSWER_BYTES)
        answered = 0
        while answered < len(calls):
            data = await reader.read(_LARGEST_ANSWER_BYTES)
            if not data:
                raise ConnectionError("it closed the connection")
            answers.feed(data)
            answered += sum(1 for _ in answers)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def _stays_synchronous(request: Request) -> bool | None:
    """Say whether a world is synchronous after a call that lets managers step; None: no such."""
    if request.method == "tick_cue":
        return True
    if request.method != "set_episode_settings":
        return None
    try:
        return bool(request.arguments[0][0])
    except (IndexError, KeyError, TypeError):
        return None  # settings that could not be taken


def _is_empty(request: Request) -> bool:
    """Say whether a call is a batch of no commands."""
    return request.method == "apply_batch" and request.arguments[:1] == [[]]


def _moves_walkers(request: Request) -> bool:
    """Say whether a call is what a client's walkers do at each tick."""
    if request.method != "apply_batch":
        return False
    try:
        return bool(request.arguments[0][0][0][0] == _WALKER_STATE)
    except (IndexError, KeyError, TypeError):
        return False  # no command, or none that could be carried out
