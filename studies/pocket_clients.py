"""Clients of the pocket simulator that used to die, to wait for ever, or to drive on the old map.

Every run is a process of its own that uses the official client, so that an abort is counted and not
suffered. ``CASES`` in the environment names a folder with foreign maps; without it, and without
CARLA's towns, one deadly map and the shipped towns stand in.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bicameral.files import write_text_atomic
from sim.client.local_server import LocalServer
from sim.pocket.map_store import MapStore
from studies.measurements import write_rows
from studies.study import Study

#: CARLA's towns of the claim, and those that stand in where they are absent.
TOWNS = ("Town01", "Town04", "Town10HD")
STAND_INS = ("Harbour", "Ridgeway")
_PATIENCE_S = 600.0
_DONE = "all as expected"

_HEADER = ("case", "runs", "good", "first fault")

#: What every run begins with; its arguments are the port, a town and the number of the run.
BEGIN = """
import os, queue, random, sys, threading
import carla
client = carla.Client("127.0.0.1", int(sys.argv[1]))
client.set_timeout(240.0)
town, number = sys.argv[2], int(sys.argv[3])

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

#: What a run prints when it got so far; how the process ends afterwards is another question, for
#: LibCarla's own threads may abort one that ends.
_END = f"""
print({_DONE!r}, flush=True)
os._exit(0)
"""

_MANAGER_BEFORE_LOAD = """
manager = client.get_trafficmanager(int(sys.argv[1]) + 700)
if SYNCHRONOUS:
    synchronous(client.get_world())
    manager.set_synchronous_mode(True)
else:
    synchronous(client.get_world(), False)
world = synchronous(client.load_world(town, reset_settings=not SYNCHRONOUS))
manager.set_synchronous_mode(True)
manager.set_random_device_seed(number)
lanes = world.get_map()
blueprints = [
    one
    for one in world.get_blueprint_library().filter("vehicle.*")
    if one.get_attribute("base_type").as_str() == "car"
]
chance = random.Random(number)
cars = [
    world.try_spawn_actor(chance.choice(blueprints), spot)
    for spot in chance.sample(lanes.get_spawn_points(), 12)
]
cars = [car for car in cars if car is not None]
world.tick()
for car in cars:
    car.set_autopilot(True, manager.get_port())
off = []
for tick in range(200):
    world.tick()
    if tick >= 60 and tick % 20 == 0:
        for car in cars:
            place = car.get_location()
            lane = lanes.get_waypoint(place).transform.location
            off.append(lane.distance_2d(place) > 3.0)
assert not any(off), f"{sum(off)} of {len(off)} samples off a lane of {town}"
for car in cars:
    car.set_autopilot(False, manager.get_port())
world.tick()
"""

_FIRST_FRAME = """
world = synchronous(client.get_world())
for _ in range(LISTENS):
    cameras = [camera(world) for _ in range(CAMERAS)]
    images = [queue.Queue() for _ in cameras]
    for one, received in zip(cameras, images):
        one.listen(received.put)
    frame = world.tick()
    for received in images:
        assert received.get(timeout=60.0).frame == frame, "the first tick did not deliver"
    for one in cameras:
        one.stop()
        one.destroy()
"""

_STOP = """
world = synchronous(client.get_world())
for _ in range(20):
    one = camera(world, 448)
    one.listen(lambda image: None)
    world.tick()
    one.stop()
    one.destroy()
"""

_LOADS = """
for name in [town, "Ridgeway"] * 3:
    world = synchronous(client.load_world(name))
    one = camera(world)
    one.listen(lambda image: None)
    world.tick()
    one.destroy()
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

_FOREIGN_MAP = """
before = client.get_world().get_map().name
try:
    with open(town, encoding="utf-8-sig") as file:
        world = client.generate_opendrive_world(file.read(), carla.OpendriveGenerationParameters())
    assert world.get_map().generate_waypoints(2.0), "an empty world"
except RuntimeError as error:
    assert len(str(error)) > 20, f"no reason: {error}"
    assert client.get_world().get_map().name == before, "the old world is gone"
"""

_DEADLY = """
text = open(town, encoding="utf-8").read()
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
ticks = [world.tick() for _ in range(TICKS)]
over.set()
thread.join()
assert ticks == list(range(first + 1, first + 1 + TICKS)), "a tick was lost"
assert rivals and all("road 1" in text for text in rivals), rivals[:1]
"""

#: A lane that goes on as none: carla's parser ends its process.
_DEADLY_MAP = (
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A program of a client, and how often it is run.

    Attributes:
        name: What it does.
        program: Its text between `BEGIN` and `_END`.
        towns: What it is given in turn: towns, or files.
        runs: How many processes.
        weight: How much one run counts for: the listens of one process, for example.
    """

    name: str
    program: str
    towns: Sequence[str]
    runs: int
    weight: int = 1


@dataclass(slots=True, kw_only=True)
class Outcome:
    """How a case ended: a row of the data."""

    case: Case
    good: int = 0
    fault: str = ""

    def values(self) -> tuple[str | float, ...]:
        """Return the values of the columns `_HEADER`."""
        weight = self.case.weight
        return self.case.name, self.case.runs * weight, self.good * weight, self.fault


def run(folder: Path, quick: bool) -> int:
    """Run every case; 1 if one run was not good."""
    towns = TOWNS if set(TOWNS) <= set(MapStore().names()) else STAND_INS
    deadly = folder / "deadly.xodr"
    write_text_atomic(deadly, _DEADLY_MAP)
    outcomes = []
    with LocalServer() as server:
        for case in cases(towns, deadly, quick):
            outcome = Outcome(case=case)
            for number in range(case.runs):
                fault = _fault(server, case, number)
                outcome.good += not fault
                outcome.fault = outcome.fault or fault
                if not server.alive:
                    server.restart()
            outcomes.append(outcome)
            # After every case, for the whole takes long.
            write_rows(folder / "clients.csv", _HEADER, [one.values() for one in outcomes])
    deadly.unlink()
    return int(any(one.good < one.case.runs for one in outcomes))


def cases(towns: Sequence[str], deadly: Path, quick: bool) -> Iterator[Case]:
    """Yield every case.

    Args:
        towns: Towns to load.
        deadly: A map that kills carla's parser.
        quick: Whether one run of each, or less, is enough.
    """
    many, some = (1, 1) if quick else (100, 20)
    listens = 5 if quick else 20
    for kind, flag in (("asynchronous", False), ("synchronous", True)):
        program = f"SYNCHRONOUS = {flag}\n{_MANAGER_BEFORE_LOAD}"
        name = f"Traffic Manager before load_world, {kind}"
        yield Case(name=name, program=program, towns=towns, runs=some)
    for cameras in (1, 4):
        yield Case(
            name=f"first frame after listen, {cameras} cameras",
            program=f"LISTENS, CAMERAS = {listens}, {cameras}\n{_FIRST_FRAME}",
            towns=towns,
            runs=1 if quick else 200 // listens,
            weight=listens,
        )
    for name, program in (
        ("camera stopped with its image in flight", _STOP),
        ("load_world in a loop", _LOADS),
        ("listened to twice", LISTENS_TWICE),
    ):
        yield Case(name=name, program=program, towns=("Harbour",), runs=many)
    yield Case(name="g-buffers refused", program=G_BUFFERS, towns=towns, runs=1 if quick else 20)
    found = sorted(map(str, Path(os.environ.get("CASES", "/nonexistent")).glob("*.xodr")))
    maps = found or [str(deadly)]
    yield Case(name="foreign maps", program=_FOREIGN_MAP, towns=maps, runs=len(maps))
    ticks = 100 if quick else 10_000
    yield Case(
        name=f"{ticks} ticks beside a map that kills the parser",
        program=f"TICKS = {ticks}\n{_DEADLY}",
        towns=[str(deadly)],
        runs=1,
    )


def _fault(server: LocalServer, case: Case, number: int) -> str:
    """Run one process; return what went wrong, or nothing."""
    town = case.towns[number % len(case.towns)]
    words = [sys.executable, "-c", BEGIN + case.program + _END]
    words += [str(server.port), town, str(number)]
    began_s = time.monotonic()
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=_PATIENCE_S)
    except subprocess.TimeoutExpired:
        return f"run {number} ({town}): no end within {_PATIENCE_S:.0f} s"
    if done.returncode == 0 and _DONE in done.stdout:
        return ""
    if not server.alive:
        return f"run {number} ({town}): the server ended"
    last = (done.stderr.strip().splitlines() or [""])[-1]
    seconds = time.monotonic() - began_s
    return f"run {number} ({town}): exit code {done.returncode} after {seconds:.0f} s: {last}"


STUDY = Study(
    claim="No client of the pocket simulator dies, hangs or drives on the old map in the cases in "
    "which CARLA's own do.",
    setting="A process a run on two shared cores of an AMD EPYC; 40 loads with a Traffic Manager "
    "over three towns, 200 listens with 1 and 4 cameras, 100 runs of each other case; an hour.",
    run=run,
    needs="CARLA's Town01, Town04 and Town10HD: CARLA_ROOT; CASES: a folder with foreign maps",
)
