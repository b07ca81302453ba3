"""What ended a client's process, or kept it waiting for ever, now ends well.

Each client runs in a process of its own, so that one that dies fails one test.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sim.client.local_server import LocalServer

#: What every client begins with; its arguments are the port and a town or a map's file.
BEGIN = """
import os, queue, random, sys, threading
import carla
client = carla.Client("127.0.0.1", int(sys.argv[1]))
client.set_timeout(240.0)

def synchronous(world, wanted=True):
    settings = world.get_settings()
    settings.synchronous_mode = wanted
    settings.fixed_delta_seconds = 0.05 if wanted else None
    world.apply_settings(settings)
    return world

def camera(world, side=64):
    blueprint = world.get_blueprint_library().find("sensor.camera.rgb")
    blueprint.set_attribute("image_size_x", str(side))
    blueprint.set_attribute("image_size_y", str(side))
    return world.spawn_actor(blueprint, carla.Transform(carla.Location(z=10.0)))
"""

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

LISTENS_TWICE = """
world = synchronous(client.get_world())
for _ in range(20):
    one = camera(world)
    images = queue.Queue()
    one.listen(lambda image: None)
    world.tick()
    try:
        one.listen(images.put)
    except RuntimeError as error:
        assert "listened to already" in str(error), error
    else:
        raise AssertionError("LibCarla frees the second subscription while it is in use")
    one.stop()
    one.listen(images.put)
    frame = world.tick()
    assert images.get(timeout=60.0).frame == frame
    one.stop()
    one.destroy()
"""

G_BUFFERS = """
world = client.get_world()
one = camera(world)
one.listen(lambda image: None)
one.enable_gbuffers(True)
try:
    one.listen_to_gbuffer(carla.GBufferTextureID.SceneDepth, print)
except RuntimeError as error:
    assert "no g-buffers" in str(error), error
else:
    raise AssertionError("accepted, and silent for ever")
one.destroy()
"""

BESIDE_A_DEADLY_MAP = """
text = open(sys.argv[2], encoding="utf-8").read()
rivals = []

def load():
    rival = carla.Client("127.0.0.1", int(sys.argv[1]))
    rival.set_timeout(240.0)
    while not over.is_set():
        try:
            rival.generate_opendrive_world(text, carla.OpendriveGenerationParameters())
        except RuntimeError as error:
            rivals.append(str(error))
        else:
            rivals.append("")
        over.wait(0.05)

world = synchronous(client.get_world())
first = world.tick()
over = threading.Event()
thread = threading.Thread(target=load)
thread.start()
ticks = [world.tick() for _ in range(100)]
over.set()
thread.join()
assert ticks == list(range(first + 1, first + 1 + 100)), "a tick was lost"
assert rivals and all("road 1" in text for text in rivals), rivals[:1]
"""

#: A lane that goes on as none: carla's parser ends its process.
DEADLY_MAP = (
    '<?xml version="1.0"?><OpenDRIVE><header revMajor="1" revMinor="4" name="t"/>'
    '<road name="" id="1" junction="-1" length="200"><planView>'
    '<geometry s="0" x="0" y="0" hdg="0" length="200"><line/></geometry></planView><lanes>'
    '<laneSection s="0"><center><lane id="0" type="none"/></center><right>'
    '<lane id="-1" type="driving"><link><successor id="-5"/></link>'
    '<width sOffset="0" a="3.5" b="0" c="0" d="0"/></lane></right></laneSection>'
    '<laneSection s="100"><center><lane id="0" type="none"/></center><right>'
    '<lane id="-1" type="driving"><width sOffset="0" a="3.5" b="0" c="0" d="0"/></lane>'
    "</right></laneSection></lanes></road></OpenDRIVE>"
)

#: The client's own threads now and then abort a process that ends, whatever the server does.
END = """
os._exit(0)
"""


@pytest.fixture(scope="module")
def server() -> LocalServer:
    with LocalServer() as running:
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
        pytest.param(BESIDE_A_DEADLY_MAP, id="another one loads a map that kills the parser"),
    ],
)
def test_a_client_lives_when(server: LocalServer, script: str, tmp_path: Path) -> None:
    deadly = tmp_path / "deadly.xodr"
    deadly.write_text(DEADLY_MAP, "utf-8")
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + script + END, str(server.port), str(deadly)],
        capture_output=True,
        text=True,
        timeout=290,
        check=False,
    )
    assert done.returncode == 0, f"exit code {done.returncode}: {done.stdout}{done.stderr}"
