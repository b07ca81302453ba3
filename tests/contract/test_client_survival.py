"""What ended a client's process, or kept it waiting for ever, now ends well.

Each client runs in a process of its own, so that one that dies fails one test.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

from sim.client.local_server import LocalServer
from studies.pocket_clients import BEGIN, G_BUFFERS, LISTENS_TWICE

FIRST_FRAME = """
world = synchronous(client.get_world())
for _ in range(25):
    cameras = [camera(world) for _ in range(3)]
    images = [queue.Queue() for _ in cameras]
    for one, received in zip(cameras, images):
        one.listen(received.put)
    frame = world.tick()
    assert [received.get(timeout=60.0).frame for received in images] == [frame] * 3
    for one in cameras:
        one.stop()
        one.destroy()
"""

STOPPED_IN_FLIGHT = """
world = synchronous(client.get_world())
for _ in range(40):
    one = camera(world, 448)
    one.listen(lambda image: None)
    world.tick()
    one.stop()
    one.destroy()
"""

LOADED_AGAIN_AND_AGAIN = """
for town in ("Ridgeway", "Harbour") * 4:
    world = synchronous(client.load_world(town))
    one = camera(world)
    one.listen(lambda image: None)
    world.tick()
    one.destroy()
    synchronous(world, None)
"""

#: Formatted with how the world runs while it loads.
MANAGER_BEFORE_LOAD = """
client.load_world("Harbour")
manager = client.get_trafficmanager(int(sys.argv[1]) + 700)
if {synchronous}:
    synchronous(client.get_world())
    manager.set_synchronous_mode(True)
world = synchronous(client.load_world("Ridgeway", reset_settings=not {synchronous}))
manager.set_synchronous_mode(True)
manager.set_random_device_seed(0)
town = world.get_map()
blueprint = world.get_blueprint_library().find("vehicle.tesla.model3")
spots = random.Random(1).sample(town.get_spawn_points(), 6)
cars = [world.spawn_actor(blueprint, spot) for spot in spots]
world.tick()
for car in cars:
    car.set_autopilot(True, manager.get_port())
far = []
for tick in range(200):
    world.tick()
    if tick > 60 and tick % 20 == 0:
        for car in cars:
            lane = town.get_waypoint(car.get_location()).transform.location
            far.append(lane.distance_2d(car.get_location()) > 3.0)
assert sum(far) <= 0.1 * len(far), far  # on the old map's lanes nearly all are
for car in cars:
    car.set_autopilot(False, manager.get_port())
world.tick()
"""

#: The client's own threads now and then abort a process that ends, whatever the server does.
END = """
os._exit(0)
"""


@pytest.fixture(scope="module")
def server() -> LocalServer:
    with LocalServer(start_timeout_s=600.0) as running:
        yield running


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(FIRST_FRAME, id="the first tick after listen delivers"),
        pytest.param(STOPPED_IN_FLIGHT, id="a camera is stopped with its image in flight"),
        pytest.param(LOADED_AGAIN_AND_AGAIN, id="worlds are loaded one after the other"),
        pytest.param(LISTENS_TWICE, id="a sensor is listened to twice"),
        pytest.param(G_BUFFERS, id="a g-buffer is refused with a sentence"),
        pytest.param(
            MANAGER_BEFORE_LOAD.format(synchronous=False), id="a manager follows to the new map"
        ),
        pytest.param(
            MANAGER_BEFORE_LOAD.format(synchronous=True), id="a synchronous manager follows, too"
        ),
    ],
)
def test_a_client_lives_when(server: LocalServer, script: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + script + END, str(server.port), "Harbour", "0"],
        capture_output=True,
        text=True,
        timeout=290,
        check=False,
    )
    assert done.returncode == 0, f"exit code {done.returncode}: {done.stdout}{done.stderr}"
