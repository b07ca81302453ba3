"""One pocket simulator per test module, and the towns that the real client is tried on."""

from collections.abc import Iterator
from pathlib import Path

import carla
import pytest

from sim.client.local_server import LocalServer

REAL_TOWNS = Path(__file__).resolve().parents[3] / "shared" / "towns"
SHIPPED = ("Harbour", "Ridgeway")
FROM_OPENDRIVE = ("Town01", "Town04")
DELTA_S = 0.05


@pytest.fixture(scope="session")
def server() -> Iterator[LocalServer]:
    with LocalServer() as running:
        yield running


@pytest.fixture(scope="session")
def client(server: LocalServer) -> carla.Client:
    return server.connect()


def load_town(client: carla.Client, name: str) -> carla.World:
    if name in SHIPPED:
        return client.load_world(name)
    path = REAL_TOWNS / f"{name}.xodr"
    if not path.is_file():
        pytest.skip(f"{path.name} of CARLA is not at {path.parent}")
    return client.generate_opendrive_world(path.read_text(), carla.OpendriveGenerationParameters())


def make_synchronous(world: carla.World) -> None:
    settings = world.get_settings()
    settings.synchronous_mode = True
    settings.fixed_delta_seconds = DELTA_S
    world.apply_settings(settings)


@pytest.fixture(scope="module", params=[*SHIPPED, *FROM_OPENDRIVE])
def any_town(request: pytest.FixtureRequest, client: carla.Client) -> carla.World:
    """A synchronous world, on every town in turn."""
    world = load_town(client, request.param)
    make_synchronous(world)
    return world


@pytest.fixture(scope="module")
def harbour(client: carla.Client) -> carla.World:
    """A synchronous world on the shipped test town."""
    world = client.load_world("Harbour")
    make_synchronous(world)
    return world


@pytest.fixture
def town(any_town: carla.World) -> Iterator[carla.World]:
    """`any_town`, without what the last test left behind."""
    yield from _tidy(any_town)


@pytest.fixture
def world(harbour: carla.World) -> Iterator[carla.World]:
    """`harbour`, without what the last test left behind."""
    yield from _tidy(harbour)


def _tidy(world: carla.World) -> Iterator[carla.World]:
    make_synchronous(world)
    world.tick()
    yield world
    for actor in world.get_actors():
        if actor.type_id.startswith(("vehicle.", "walker.", "sensor.", "static.", "controller.")):
            actor.destroy()
    make_synchronous(world)
    world.set_weather(carla.WeatherParameters.ClearNoon)
    world.tick()
