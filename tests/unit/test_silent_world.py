"""Before a server says that it listens, its kernels are compiled."""

import fcntl
import gc
from pathlib import Path
from types import SimpleNamespace

import pytest
from numba.core.registry import CPUDispatcher

from sim.pocket import silent_world
from sim.pocket.geometry import Transform
from sim.pocket.map_store import MapStore
from sim.pocket.protocol.values import ActorDescription
from sim.pocket.silent_world import Silence, are_compiled, compile_kernels
from sim.pocket.world import cameras, spawning, tick
from sim.pocket.world.town import TownShelf
from sim.pocket.world.world import World

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def shelf():
    return TownShelf(MapStore(), seed=0)


def compiled_signatures():
    # Of the type itself: torch's deprecated objects warn when they are asked for their class.
    kernels = [one for one in gc.get_objects() if issubclass(type(one), CPUDispatcher)]
    return sum(len(kernel.signatures) for kernel in kernels)


def test_the_first_ticks_of_a_driving_car_with_sensors_compile_nothing_more(shelf):
    compile_kernels(shelf, "Ridgeway", seed=0)
    before = compiled_signatures()
    assert before > 0

    world = World(shelf, Silence(), town="Ridgeway", seed=0)
    first, second = world.episode.town.map.spawn_points[:2]
    car = spawning.spawn(world.episode, ActorDescription(0, "vehicle.lincoln.mkz_2017"), first)
    spawning.spawn(world.episode, ActorDescription(0, "vehicle.audi.tt"), second)
    for sensor in ("camera.rgb", "lidar.ray_cast", "other.radar", "other.gnss", "other.imu"):
        spawning.spawn(world.episode, ActorDescription(0, f"sensor.{sensor}"), Transform(), car.id)
    tick.advance(world)
    tick.advance(world)

    assert compiled_signatures() == before


def test_what_lies_on_disk_is_not_compiled_before_a_server_listens(shelf, monkeypatch, tmp_path):
    compile_kernels(shelf, "Ridgeway", seed=0)
    assert are_compiled()

    elsewhere = SimpleNamespace(
        __name__="collide",
        py_func=silent_world.collide.py_func,
        stats=SimpleNamespace(cache_path=tmp_path),
    )
    monkeypatch.setattr(silent_world, "collide", elsewhere)
    assert not are_compiled()


@pytest.mark.parametrize("alone", [True, False])
def test_the_second_of_two_servers_begins_with_the_pictures(shelf, monkeypatch, alone):
    begun = []
    for module, step in ((cameras, "publish_images"), (tick, "advance")):
        monkeypatch.setattr(module, step, lambda world, step=step: begun.append(step))

    with Path(silent_world.__file__).open("rb") as first_server:
        if not alone:
            fcntl.flock(first_server, fcntl.LOCK_EX)
        compile_kernels(shelf, "Ridgeway", seed=0)

    assert begun == (["advance"] if alone else ["publish_images", "advance"])


def test_a_world_numbers_its_actors_anew_only_for_who_asks(shelf):
    def numbers_of_two_loads(number_anew):
        world = World(shelf, Silence(), town="Ridgeway", seed=0, number_anew=number_anew)
        first = set(world.episode.light_actor_ids.values())
        world.load("", reset_settings=False)
        return first, set(world.episode.light_actor_ids.values())

    first, second = numbers_of_two_loads(number_anew=False)
    assert not first & second
    first, second = numbers_of_two_loads(number_anew=True)
    assert first == second


def test_scenery_is_built_late_only_for_who_asks_for_it():
    late = World(TownShelf(MapStore(), seed=0, build_late=True), Silence(), town="Ridgeway", seed=0)
    tick.advance(late)
    town = late.episode.town
    assert "scene" not in vars(town), "no vehicle, no camera and no walker is there"
    model3 = ActorDescription(0, "vehicle.tesla.model3")
    spawning.spawn(late.episode, model3, town.map.spawn_points[0])
    tick.advance(late)
    assert "scene" in vars(town)
