"""Traffic Managers that have missed a step are woken, and no others."""

from __future__ import annotations

import asyncio
import contextlib

import msgpack
import pytest

from sim.pocket import manager_rescue
from sim.pocket.manager_rescue import ManagerRescue
from sim.pocket.world.traffic_managers import TrafficManagerRegistry

WOKEN = [("set_synchronous_mode", [False]), ("set_synchronous_mode", [True])]


class Client:
    """A connection of a client on this machine."""

    peer_host = "127.0.0.1"


class Manager:
    """What a Traffic Manager is asked."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, list[bool]]] = []
        self.asked = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        unpacker = msgpack.Unpacker()
        while data := await reader.read(1 << 12):
            unpacker.feed(data)
            for _kind, number, method, arguments in unpacker:
                self.calls.append((method, arguments))
                writer.write(msgpack.packb([1, number, None, None]))
        writer.close()
        self.asked.set()


@contextlib.asynccontextmanager
async def watched():
    """Give a rescue that watches, a client with a manager, and the manager."""
    client, manager, registry = Client(), Manager(), TrafficManagerRegistry()
    async with await asyncio.start_server(manager.serve, "127.0.0.1", 0) as server:
        registry.add("192.0.2.1", server.sockets[0].getsockname()[1], client)
        rescue = ManagerRescue(registry)
        watch = asyncio.create_task(rescue.watch())
        yield rescue, client, manager
        watch.cancel()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(manager_rescue, "_MISSED_S", 0.02)
    monkeypatch.setattr(manager_rescue, "_LOOK_EVERY_S", 0.005)


def test_a_manager_that_says_nothing_after_a_tick_is_told_to_leave_and_come_back():
    async def scenario():
        async with watched() as (rescue, client, manager):
            rescue.note(client, "tick_cue")
            await asyncio.wait_for(manager.asked.wait(), 60.0)
            rescue.note(client, "apply_batch")
            return manager.calls

    assert asyncio.run(scenario())[:2] == WOKEN


@pytest.mark.parametrize("calls", [["get_episode_settings"], ["tick_cue", "apply_batch"], []])
def test_a_client_that_pauses_after_its_managers_step_is_left_alone(calls):
    async def scenario():
        async with watched() as (rescue, client, manager):
            for method in calls:
                rescue.note(client, method)
            stranger = Client()
            rescue.note(stranger, "tick_cue")  # it has no manager
            for _ in range(20):
                await asyncio.sleep(manager_rescue._LOOK_EVERY_S)
            rescue.forget(client)
            return manager.calls

    assert asyncio.run(scenario()) == []


def test_a_manager_that_has_gone_harms_nobody():
    async def scenario():
        async with watched() as (rescue, client, manager):
            gone = Client()
            gone.peer_host = None
            rescue._managers.add("", 1, gone)
            rescue._managers.add("", 2, client)  # nobody listens there
            rescue.note(gone, "tick_cue")
            rescue.note(client, "tick_cue")
            await asyncio.wait_for(manager.asked.wait(), 60.0)
            rescue.forget(client)
            rescue.forget(gone)
            return manager.calls

    assert asyncio.run(scenario())[:2] == WOKEN
