"""One pocket simulator per test session, and the towns that the real client is tried on."""

from collections.abc import Iterator
from pathlib import Path

import carla
import pytest

from sim.client.connection import synchronous_settings
from sim.client.local_server import LocalServer

REAL_TOWNS = Path(__file__).resolve().parents[3] / "shared" / "towns"
SHIPPED = ("Harbour", "Ridgeway")
FROM_OPENDRIVE = ("Town01", "Town04")


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data")))
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
    # All settings, so that nothing is left of what the last test set.
    world.apply_settings(synchronous_settings())


class Towns:
    """Loads a town only when another one is open."""

    def __init__(self, client: carla.Client) -> None:
        self._client = client
        self._open = ""

    def open(self, name: str) -> carla.World:
        world = self._client.get_world()
        if self._open != name or self.is_stale(world, name):
            world = load_town(self._client, name)
            self._open = name
        return world

    @staticmethod
    def is_stale(world: carla.World, name: str) -> bool:
        shown = name if name in SHIPPED else "OpenDriveMap"
        return world.get_map().name.rsplit("/", 1)[-1] != shown


@pytest.fixture(scope="session")
def towns(client: carla.Client) -> Towns:
    return Towns(client)


@pytest.fixture(scope="session", params=[*SHIPPED, *FROM_OPENDRIVE])
def town_name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def town(towns: Towns, town_name: str) -> Iterator[carla.World]:
    """A synchronous world on every town in turn, without what the last test left behind."""
    yield from _tidy(towns.open(town_name))


@pytest.fixture
def world(towns: Towns) -> Iterator[carla.World]:
    """A synchronous world on the shipped test town, without what the last test left behind."""
    yield from _tidy(towns.open("Harbour"))


def _tidy(world: carla.World) -> Iterator[carla.World]:
    make_synchronous(world)
    world.tick()
    yield world
    make_synchronous(world)
    world.tick()  # actors spawned since the last tick are in no list yet
    for actor in world.get_actors():
        if actor.type_id.startswith(("vehicle.", "walker.", "sensor.", "static.", "controller.")):
            actor.destroy()
    world.set_weather(carla.WeatherParameters.ClearNoon)
    world.tick()
