"""Whatever one connection sends or does not read, the others go on."""

import contextlib
import os
import queue
import random
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import carla
import msgpack
import pytest

TICKS = 2000
INPUTS = 5 * TICKS
#: An input that holds up the server does so for ever; a busy machine does for seconds.
SLOWEST_CALL_S = 30.0
MEMORY_GROWTH_BYTES = 50 << 20


def resident_bytes(process_id: int) -> int:
    pages = int(Path(f"/proc/{process_id}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def malformed(rng: random.Random) -> bytes:
    """One input that no client would send."""
    noise = rng.randbytes(rng.randint(1, 400))
    request = msgpack.packb([0, 1, "apply_batch", [[False], [], False]])
    return rng.choice(
        [
            noise,
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            b"\xdd\xff\xff\xff\xff",
            b"\xdd\x00\x03\xff\xff" * 50,
            b"\xdf\xff\xff\xff\xff",
            b"\xc6\x7f\xff\xff\xff" + noise,
            b"\x91" * rng.randint(1, 3000),
            request[: rng.randint(1, len(request) - 1)],
            request + noise,
            msgpack.packb([0, 1, "get_actors_by_id", [[False], [[[]] * 40] * 40]]),
            msgpack.packb([0, 1, "spawn_actor", [[False], [0, "vehicle.tesla.model3", []]]]),
            msgpack.packb([0, 1, "x" * rng.randint(1, 300), []]),
            msgpack.packb([0, 1, "set_episode_settings", [[True], [True]]]),
            struct.pack("<I", rng.getrandbits(32)),
            struct.pack("<I", rng.randint(0, 50)),
            b"\x00\x01",
            b"",
        ]
    )


class Attackers(threading.Thread):
    """Connects, sends something malformed, sometimes waits, sometimes never reads, and leaves."""

    def __init__(self, port: int, count: int, seed: int) -> None:
        super().__init__(daemon=True)
        self._port, self._count, self._rng = port, count, random.Random(seed)
        self._idle: list[socket.socket] = []
        self.sent = 0

    def run(self) -> None:
        for _ in range(self._count):
            with contextlib.suppress(OSError):
                self._attack()
            self.sent += 1
        for idle in self._idle:
            idle.close()

    def _attack(self) -> None:
        port = self._port + self._rng.randint(0, 1)
        attacker = socket.create_connection(("127.0.0.1", port), timeout=5.0)
        attacker.sendall(malformed(self._rng))
        if self._rng.random() < 0.1:
            self._idle.append(attacker)
        else:
            attacker.close()
        if len(self._idle) > 30:
            self._idle.pop(0).close()


@pytest.fixture
def vehicle(world: carla.World) -> carla.Actor:
    blueprint = world.get_blueprint_library().find("vehicle.tesla.model3")
    spawned = world.spawn_actor(blueprint, world.get_map().get_spawn_points()[0])
    world.tick()
    return spawned


@pytest.mark.timeout(900)
def test_ticks_go_on_while_sockets_send_malformed_input(server, world, vehicle):
    vehicle.apply_control(carla.VehicleControl(throttle=0.3))
    for _ in range(50):
        world.tick()
    before_bytes = resident_bytes(server.process_id)
    attackers = [Attackers(server.port, INPUTS // 2, seed) for seed in (1, 2)]
    for attacker in attackers:
        attacker.start()
    frame, slowest_s = world.tick(), 0.0
    ticks = 0
    while ticks < TICKS or any(attacker.is_alive() for attacker in attackers):
        began = time.monotonic()
        following = world.tick()
        slowest_s = max(slowest_s, time.monotonic() - began)
        assert following == frame + 1
        frame = following
        ticks += 1
    assert sum(attacker.sent for attacker in attackers) == 2 * (INPUTS // 2)
    assert slowest_s < SLOWEST_CALL_S
    growth_bytes = resident_bytes(server.process_id) - before_bytes
    assert growth_bytes < MEMORY_GROWTH_BYTES
    assert vehicle.get_control().throttle == pytest.approx(0.3)


def test_huge_frames_are_refused_without_growing(server, world):
    chunk = bytes(1 << 20)

    def attack() -> int:
        """Announce a frame of 4 GiB and send 40 MiB of it; return the server's memory in bytes."""
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", server.port), timeout=20.0) as attacker,
        ):
            attacker.sendall(b"\x94\x00\x01\xa1a\x91\xc6\xff\xff\xff\xff")
            for _ in range(40):
                attacker.sendall(chunk)
        world.tick()
        return resident_bytes(server.process_id)

    before_bytes = resident_bytes(server.process_id)
    first_bytes = attack()  # the allocator may keep what the largest request took, twice
    assert first_bytes - before_bytes < 2 * MEMORY_GROWTH_BYTES
    for _ in range(4):
        last_bytes = attack()
    assert last_bytes - first_bytes < MEMORY_GROWTH_BYTES / 2


def test_a_client_that_never_reads_its_answers_does_not_grow_the_server(server, world):
    before_bytes = resident_bytes(server.process_id)
    request = msgpack.packb([0, 1, "get_actor_definitions", [[False]]])
    with socket.create_connection(("127.0.0.1", server.port)) as attacker:
        attacker.settimeout(0.2)
        with contextlib.suppress(TimeoutError):
            for _ in range(2000):
                attacker.sendall(request * 50)
        frame = world.tick()
        assert world.tick() == frame + 1
        assert resident_bytes(server.process_id) - before_bytes < MEMORY_GROWTH_BYTES


#: A lane that goes on as none; carla's parser ends its process on it.
DEADLY_MAP = """<?xml version="1.0"?><OpenDRIVE><header revMajor="1" revMinor="4"/>
<road id="1" junction="-1" length="200">
<planView><geometry s="0" x="0" y="0" hdg="0" length="200"><line/></geometry></planView><lanes>
<laneSection s="0"><center><lane id="0" type="none"/></center><right><lane id="-1" type="driving">
<link><successor id="-1"/></link><width sOffset="0" a="3.5" b="0" c="0" d="0"/></lane></right>
</laneSection><laneSection s="100"><center><lane id="0" type="none"/></center></laneSection>
</lanes></road></OpenDRIVE>"""


class Ticker(threading.Thread):
    """Ticks a world of its own client until told to stop."""

    def __init__(self, world: carla.World) -> None:
        super().__init__(daemon=True)
        self._world = world
        self.frames: list[int] = []
        self.stop = False

    def run(self) -> None:
        while not self.stop:
            self.frames.append(self._world.tick())


def test_a_map_that_kills_the_parser_leaves_the_ticks_of_others_undisturbed(server, client, world):
    ticker = Ticker(server.connect().get_world())
    episode, process_id = world.id, server.process_id
    ticker.start()
    for _ in range(3):
        with pytest.raises(RuntimeError, match="road 1: its lane -1 goes on as lane -1"):
            client.generate_opendrive_world(DEADLY_MAP, carla.OpendriveGenerationParameters())
    ticker.stop = True
    ticker.join()
    assert ticker.frames == list(range(ticker.frames[0], ticker.frames[0] + len(ticker.frames)))
    assert len(ticker.frames) > 10
    assert (client.get_world().id, server.process_id) == (episode, process_id)


def subscribe(port: int, stream_id: int) -> socket.socket:
    reader = socket.create_connection(("127.0.0.1", port + 1))
    reader.sendall(struct.pack("<I", stream_id))
    return reader


def test_readers_that_never_read_hold_nobody_up_for_long(server, world, vehicle):
    blueprint = world.get_blueprint_library().find("sensor.camera.semantic_segmentation")
    blueprint.set_attribute("image_size_x", "400")
    blueprint.set_attribute("image_size_y", "300")
    camera = world.spawn_actor(blueprint, carla.Transform(), attach_to=vehicle)
    images: queue.SimpleQueue[carla.Image] = queue.SimpleQueue()
    camera.listen(images.put)
    subscribed = False
    while not subscribed:
        world.tick()
        with contextlib.suppress(queue.Empty):
            subscribed = images.get(timeout=0.05) is not None
    before_bytes = resident_bytes(server.process_id)
    # Stream ids count up from 1, the world's; the newest is the camera's.
    silent = [subscribe(server.port, number) for number in range(1, 120)]
    frames = [world.tick() for _ in range(150)]
    assert frames == list(range(frames[0], frames[0] + 150))
    deadline = time.monotonic() + 180.0
    seen: list[int] = []
    while (not seen or seen[-1] < frames[-1]) and time.monotonic() < deadline:
        seen.append(images.get(timeout=180.0).frame)
    assert seen[-150:] == frames
    assert resident_bytes(server.process_id) - before_bytes < MEMORY_GROWTH_BYTES
    for reader in silent:
        reader.close()
    camera.stop()


def test_streams_that_do_not_exist_stay_open_and_silent(server, world):
    reader = subscribe(server.port, 4_000_000_000)
    reader.settimeout(0.5)
    for _ in range(5):
        world.tick()
    with pytest.raises(TimeoutError):
        reader.recv(1)
    reader.close()


def test_the_stream_of_a_destroyed_sensor_stays_open(server, world, vehicle):
    blueprint = world.get_blueprint_library().find("sensor.camera.depth")
    camera = world.spawn_actor(blueprint, carla.Transform(), attach_to=vehicle)
    world.tick()
    readers = [subscribe(server.port, number) for number in range(2, 120)]
    assert camera.destroy()
    for _ in range(3):
        world.tick()
    for reader in readers:
        reader.setblocking(False)
        closed = False
        with contextlib.suppress(BlockingIOError):
            while data := reader.recv(1 << 20):
                assert data
            closed = True
        assert not closed
        reader.close()


def test_a_killed_client_harms_nobody(server, world, vehicle):
    blueprint = world.get_blueprint_library().find("sensor.camera.depth")
    camera = world.spawn_actor(blueprint, carla.Transform(), attach_to=vehicle)
    world.tick()
    program = (
        "import carla, sys\n"
        f"client = carla.Client('127.0.0.1', {server.port})\n"
        "client.set_timeout(60.0)\n"
        "world = client.get_world()\n"
        f"camera = world.get_actor({camera.id})\n"
        "camera.listen(lambda image: None)\n"
        "print('listening', flush=True)\n"
        "sys.stdin.read()\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdin is not None
    assert child.stdout is not None
    assert child.stdout.readline() == b"listening\n"
    frame = world.tick()
    child.kill()
    child.wait()
    child.stdin.close()
    child.stdout.close()
    assert [world.tick() for _ in range(20)] == list(range(frame + 1, frame + 21))


def test_an_actor_destroyed_by_another_client_is_gone_for_all(server, world, vehicle):
    other_world = server.connect().get_world()
    assert other_world.get_actor(vehicle.id).destroy()
    world.tick()
    assert vehicle.id not in [actor.id for actor in world.get_actors()]
