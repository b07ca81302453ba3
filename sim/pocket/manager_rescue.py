"""Wakes Traffic Managers that have missed the start of their step.

In synchronous mode LibCarla 0.9.16 lets its Traffic Manager step after each tick: one thread sets a
flag and signals, the other waits for the signal. It signals without the lock, so that now and then
the signal falls between the other's look at the flag and its wait. Then both wait for ever. To a
server that looks like a client that has ticked and whose Traffic Manager, which sends its controls
after every tick, says nothing.

The Traffic Manager is itself a server, on a port that it announced. Leaving synchronous mode
signals again, so it is told to leave and to come back; the step that hung is then made as any
other.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time

import msgpack

from sim.pocket.protocol.rpc_server import RpcConnection
from sim.pocket.world.traffic_managers import TrafficManagerRegistry

#: A step takes milliseconds; on a busy machine its first call may come late.
_MISSED_S = 1.0
_LOOK_EVERY_S = 0.25
#: How long a Traffic Manager may take to answer.
_ANSWER_S = 2.0
_LARGEST_ANSWER_BYTES = 1 << 12

logger = logging.getLogger(__name__)


class ManagerRescue:
    """Watches the clients that own Traffic Managers.

    Args:
        managers: The Traffic Managers of the clients.
    """

    def __init__(self, managers: TrafficManagerRegistry) -> None:
        self._managers = managers
        self._ticked_s: dict[RpcConnection, float] = {}

    def note(self, connection: RpcConnection, method: str) -> None:
        """Note a call that was carried out."""
        if method == "tick_cue" and self._managers.count(connection):
            self._ticked_s[connection] = time.monotonic()
        else:
            self._ticked_s.pop(connection, None)

    def forget(self, connection: RpcConnection) -> None:
        """Forget a client that has gone."""
        self._ticked_s.pop(connection, None)

    async def watch(self) -> None:
        """Wake who has missed its step, until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            now_s = time.monotonic()
            for connection, since_s in tuple(self._ticked_s.items()):
                if now_s - since_s >= _MISSED_S:
                    self._ticked_s[connection] = now_s  # and again, if that was of no use
                    await self._wake(connection)

    async def _wake(self, connection: RpcConnection) -> None:
        host = connection.peer_host
        if host is None:
            return
        for port in self._managers.ports(connection):
            try:
                async with asyncio.timeout(_ANSWER_S):
                    await _leave_and_come_back(host, port)
            except (OSError, TimeoutError) as error:
                logger.info("the Traffic Manager on port %d cannot be woken: %s", port, error)
            else:
                logger.info("the Traffic Manager on port %d had missed a step", port)


async def _leave_and_come_back(host: str, port: int) -> None:
    """Call a Traffic Manager, whose methods take no metadata."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        for number, synchronous in enumerate((False, True)):
            writer.write(msgpack.packb([0, number, "set_synchronous_mode", [synchronous]]))
            await writer.drain()
            if not await reader.read(_LARGEST_ANSWER_BYTES):
                raise ConnectionError("it closed the connection")
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
