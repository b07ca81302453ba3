"""Which routes `evaluate` drives of a leaderboard's file, and what it says of the others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bicameral.cli.evaluated_routes import RouteFlags, choose_routes, driven_server
from bicameral.errors import UserError
from sim.client import simulator
from sim.pocket.map_store import MapStore
from sim.routes.planner import RoutePlanner
from sim.routes.sampling import RouteRequest, sample_routes

pytestmark = pytest.mark.unit

TOWN = MapStore().load("Harbour").carla_map


@pytest.fixture(autouse=True)
def fake_simulator(monkeypatch):
    """A simulator that has one town."""

    class Fake:
        def __init__(self, choice: Any, *, compile_first: bool) -> None:
            assert not compile_first, "who only plans routes compiles nothing"
            del choice

        def towns(self) -> set[str]:
            return {"Harbour"}

        @contextmanager
        def town(self, name: str) -> Iterator[Any]:
            assert name.removesuffix("_Opt") == "Harbour"
            yield SimpleNamespace(get_map=lambda: TOWN)

        def close(self) -> None:
            return None

    monkeypatch.setattr(simulator, "Simulator", Fake)


@pytest.fixture(scope="module")
def waypoints() -> str:
    request = RouteRequest(kind="right", count=1, seed=5, min_length_m=120.0, max_length_m=200.0)
    (route,) = sample_routes(RoutePlanner(TOWN, "Harbour"), request)
    ends = (route.xyz_m[0], route.xyz_m[-1])
    return "".join(f'<position x="{x}" y="{y}" z="{z}"/>' for x, y, z in ends)


def write(path: Path, waypoints: str, *towns: str) -> Path:
    scenario = "<scenario type='Accident'/>"
    routes = "".join(
        f'<route id="{number}" town="{town}"><waypoints>{waypoints}</waypoints><scenarios>'
        f"{scenario * (number % 2)}</scenarios></route>"
        for number, town in enumerate(towns, 10)
    )
    path.write_text(f"<routes>{routes}</routes>")
    return path


def choose(file: Path, subset: str = "", *, skip: bool = False):
    flags = RouteFlags(routes=file, routes_subset=subset, skip_unknown_towns=skip)
    return choose_routes(driven_server("Millbrook", (), 0, None), flags)


def test_a_file_brings_its_weathers_and_the_names_of_what_is_dropped(tmp_path, waypoints):
    chosen = choose(write(tmp_path / "routes.xml", waypoints, "Harbour", "Harbour_Opt"))
    assert [route.name for route in chosen.routes] == ["RouteScenario_10", "RouteScenario_11"]
    assert set(chosen.skies) == {"RouteScenario_10", "RouteScenario_11"}
    assert chosen.dropped_scenarios == {"RouteScenario_11": ("Accident",)}
    plan = chosen.plan(agents=(SimpleNamespace(label="a"),), weathers=(), repetitions=1, seed=0)
    assert plan.weathers == ("route",)


def test_a_town_that_is_not_here_is_said_with_the_way_to_it(tmp_path, waypoints):
    file = write(tmp_path / "routes.xml", waypoints, "Town12", "Harbour", "Town04", "Town12")
    with pytest.raises(UserError, match="1 on Town04, 2 on Town12") as told:
        choose(file)
    assert "bicameral maps get Town04" in str(told.value)
    assert "--skip-unknown-towns" in str(told.value)
    chosen = choose(file, skip=True)
    assert [route.name for route in chosen.routes] == ["RouteScenario_11"]
    assert chosen.skipped_towns == {"Town04": 1, "Town12": 2}


def test_only_towns_of_routes_that_are_asked_for_have_to_be_here(tmp_path, waypoints):
    file = write(tmp_path / "routes.xml", waypoints, "Town12", "Harbour")
    assert [route.name for route in choose(file, "11").routes] == ["RouteScenario_11"]
    with pytest.raises(UserError, match="no route is left"):
        choose(file, "10", skip=True)


def test_an_open_drive_file_is_the_town_of_its_name():
    server = driven_server("maps/Mine.xodr", (), 3, ("somewhere", 2000))
    assert server.town_files == {"Mine": Path("maps/Mine.xodr")}
    assert (server.host, server.port, server.seed) == ("somewhere", 2000, 3)
    assert driven_server("Millbrook", (), 0, None).host is None
