"""Two servers and two Traffic Managers with the same seed drive 30 cars to the same places.

The Traffic Manager belongs to the client, and its threads can end the process that holds them: each
drive is a process of its own.
"""

import subprocess
import sys

import pytest

from sim.client.local_server import LocalServer

DRIVE = """
import hashlib, os, socket, struct, sys
import carla
client = carla.Client("127.0.0.1", int(sys.argv[1]))
client.set_timeout(240.0)
world = client.load_world("Harbour")
settings = world.get_settings()
settings.synchronous_mode, settings.fixed_delta_seconds = True, 0.05
world.apply_settings(settings)
world = client.reload_world(False)
with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    port = probe.getsockname()[1]
manager = client.get_trafficmanager(port)
manager.set_synchronous_mode(True)
manager.set_random_device_seed(3)
blueprints = sorted(world.get_blueprint_library().filter("vehicle.*"), key=lambda one: one.id)
points = world.get_map().get_spawn_points()
batch = []
for number, point in enumerate(points[:: len(points) // 30][:30]):
    spawn = carla.command.SpawnActor(blueprints[number], point)
    batch.append(spawn.then(carla.command.SetAutopilot(carla.command.FutureActor, True, port)))
ids = [answer.actor_id for answer in client.apply_batch_sync(batch, True) if not answer.error]
assert len(ids) >= 28, len(ids)
start, digest = {}, hashlib.sha256()
for _ in range(200):
    world.tick()
    snapshot = world.get_snapshot()
    for actor_id in ids:
        found = snapshot.find(actor_id)
        pose, velocity = found.get_transform(), found.get_velocity()
        place, turn = pose.location, pose.rotation
        start.setdefault(actor_id, place)
        digest.update(struct.pack("<9f", place.x, place.y, place.z, turn.pitch, turn.yaw, turn.roll,
                                  velocity.x, velocity.y, velocity.z))
moved = sum(snapshot.find(one).get_transform().location.distance(start[one]) > 5.0 for one in ids)
assert moved > 15, moved
manager.set_synchronous_mode(False)
print(digest.hexdigest(), flush=True)
os._exit(0)
"""


def drive() -> str:
    with LocalServer(seed=3) as server:
        command = [sys.executable, "-c", DRIVE, str(server.port)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600.0, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.split()[-1]


@pytest.mark.timeout(1500)
def test_the_same_seed_drives_30_traffic_manager_cars_to_the_same_places():
    assert drive() == drive()
