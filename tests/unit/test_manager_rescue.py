"""Traffic Managers and clients that wait for each other for ever are woken, and no others."""

from __future__ import annotations

import asyncio
import contextlib
from types import SimpleNamespace

import msgpack
import pytest

from sim.pocket import manager_rescue
from sim.pocket.manager_rescue import ManagerRescue
from sim.pocket.protocol.framing import Request
from sim.pocket.world.traffic_managers import TrafficManagerRegistry

LEAVE_AND_COME_BACK = [("set_synchronous_mode", [False]), ("set_synchronous_mode", [True])]
STEP_AGAIN = [("synchronous_tick", [])]

TICK = Request(1, "tick_cue", [])
SETTINGS = Request(2, "get_episode_settings", [])
LIGHTS = Request(3, "get_vehicle_light_states", [])
CONTROLS = Request(4, "apply_batch", [[[[2, [100, []]]]], False])
NO_CONTROLS = Request(5, "apply_batch", [[], False])
NEW_SETTINGS = Request(8, "set_episode_settings", [[True, False, [0.05]]])
NO_LONGER_SYNCHRONOUS = Request(9, "set_episode_settings", [[False, False, []]])
WALKERS = Request(6, "apply_batch", [[[[7, [200, [], 1.0]]]], False])
STEP = [LIGHTS, CONTROLS, SETTINGS]


class Client:
    """A connection of a client on this machine."""

    peer_host = "127.0.0.1"


class Manager:
    """What a Traffic Manager is asked."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, list[bool]]] = []
        self.asked = asyncio.Event()
        self.port = 0

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
async def watched(managers: int = 1):
    """Give a rescue that watches, a client, and its managers by their ports."""
    client, registry = Client(), TrafficManagerRegistry()
    async with contextlib.AsyncExitStack() as servers:
        started = []
        for manager in (Manager() for _ in range(managers)):
            server = await asyncio.start_server(manager.serve, "127.0.0.1", 0)
            await servers.enter_async_context(server)
            manager.port = server.sockets[0].getsockname()[1]
            registry.add("192.0.2.1", manager.port, client)
            started.append(manager)
        rescue = ManagerRescue(registry)
        watch = asyncio.create_task(rescue.watch())
        yield rescue, client, sorted(started, key=lambda manager: manager.port)
        watch.cancel()


async def asked_first(calls, *, number=0, managers=1):
    """Return what a manager is asked first when its client falls silent after some calls."""
    async with watched(managers) as (rescue, client, started):
        for request in calls:
            rescue.note(client, request)
        await asyncio.wait_for(started[number].asked.wait(), 60.0)
        rescue.forget(client)
        return started[number].calls[:2]


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(manager_rescue, "_BEGINNING_MISSED_S", 0.02)
    monkeypatch.setattr(manager_rescue, "_END_MISSED_S", 0.03)
    monkeypatch.setattr(manager_rescue, "_LOOK_EVERY_S", 0.005)


@pytest.mark.parametrize(
    "after",
    [
        [TICK],
        [TICK, SETTINGS],
        [TICK, WALKERS],
        [TICK, *STEP, WALKERS, TICK, SETTINGS],
        [TICK, LIGHTS, NEW_SETTINGS],
        [TICK, NO_CONTROLS],
    ],
    ids=[
        "silent",
        "settings read late",
        "walkers go on",
        "second tick",
        "new settings of a world that was loaded",
        "empty batches of another thread",
    ],
)
def test_a_manager_that_does_not_step_when_it_should_is_told_to_leave_and_come_back(after):
    assert asyncio.run(asked_first(after)) == LEAVE_AND_COME_BACK


def test_a_manager_in_a_world_that_is_no_longer_synchronous_does_not_come_back():
    async def scenario():
        async with watched() as (rescue, client, (manager,)):
            rescue.note(client, NO_LONGER_SYNCHRONOUS)
            await asyncio.wait_for(manager.asked.wait(), 60.0)
            for _ in range(20):
                await asyncio.sleep(manager_rescue._LOOK_EVERY_S)
            return manager.calls

    assert asyncio.run(scenario()) == LEAVE_AND_COME_BACK[:1]


@pytest.mark.parametrize("controls", [CONTROLS, NO_CONTROLS], ids=["cars", "no cars"])
def test_a_client_that_is_silent_after_its_managers_step_has_lost_its_end(controls):
    asked = asyncio.run(asked_first([TICK, LIGHTS, controls, SETTINGS]))
    assert asked[:1] == STEP_AGAIN
    assert LEAVE_AND_COME_BACK[0] not in asked


def test_empty_batches_of_another_thread_do_not_hide_that_the_end_was_lost():
    async def scenario():
        async with watched() as (rescue, client, (manager,)):
            for request in (TICK, *STEP):
                rescue.note(client, request)
            async with asyncio.timeout(60.0):
                while not manager.asked.is_set():
                    rescue.note(client, NO_CONTROLS)
                    await asyncio.sleep(manager_rescue._LOOK_EVERY_S)
            return manager.calls

    assert asyncio.run(scenario())[:1] == STEP_AGAIN


def test_a_manager_that_begins_its_steps_late_is_given_longer(monkeypatch):
    clock = SimpleNamespace(now_s=0.0, monotonic=lambda: clock.now_s)
    monkeypatch.setattr(manager_rescue, "time", clock)
    usual_s = 0.9 * manager_rescue._BEGINNING_MISSED_S

    async def asked_after(silence_s):
        async with watched() as (rescue, client, (manager,)):
            rescue.note(client, TICK)
            clock.now_s += usual_s
            for request in (*STEP, TICK):
                rescue.note(client, request)
            clock.now_s += silence_s
            for _ in range(20):
                await asyncio.sleep(manager_rescue._LOOK_EVERY_S)
            return manager.calls[:2]

    assert asyncio.run(asked_after(2.0 * usual_s)) == []
    assert asyncio.run(asked_after(40.0 * usual_s)) == LEAVE_AND_COME_BACK


def test_of_two_managers_the_one_is_woken_whose_turn_it_is():
    asked = asyncio.run(asked_first([TICK, *STEP], number=1, managers=2))
    assert asked == LEAVE_AND_COME_BACK


def test_a_client_that_pauses_is_disturbed_less_and_less():
    async def scenario():
        async with watched() as (rescue, client, (manager,)):
            for request in (TICK, *STEP):
                rescue.note(client, request)
            tick = rescue._ticks[client]
            patience_s = tick.patience_s
            await asyncio.wait_for(manager.asked.wait(), 60.0)
            return tick.patience_s / patience_s

    assert asyncio.run(scenario()) >= 2.0


@pytest.mark.parametrize(
    "calls",
    [
        [],
        [SETTINGS],
        [Request(8, "set_episode_settings", [])],
        [TICK, LIGHTS],
        [TICK, *STEP, Request(7, "get_actors_by_id", [[1]])],
    ],
    ids=[
        "nothing",
        "settings",
        "new settings that were refused",
        "a step that takes long",
        "a client that goes on",
    ],
)
def test_who_does_not_wait_for_ever_is_left_alone(calls):
    async def scenario():
        async with watched() as (rescue, client, (manager,)):
            for request in calls:
                rescue.note(client, request)
            rescue.note(Client(), TICK)  # it has no manager
            for _ in range(20):
                await asyncio.sleep(manager_rescue._LOOK_EVERY_S)
            rescue.forget(client)
            return manager.calls

    assert asyncio.run(scenario()) == []


def test_a_manager_that_has_gone_harms_nobody():
    async def scenario():
        async with watched() as (rescue, client, (manager,)):
            gone, deaf = Client(), Client()
            gone.peer_host = None
            rescue._managers.add("", 1, gone)
            rescue._managers.add("", 2, deaf)  # nobody listens there
            for one in (gone, deaf, client):
                rescue.note(one, TICK)
            await asyncio.wait_for(manager.asked.wait(), 60.0)
            for one in (gone, deaf, client):
                rescue.forget(one)
            return manager.calls

    assert asyncio.run(scenario())[:2] == LEAVE_AND_COME_BACK
