"""Where towns come from, and where vehicles may be spawned in them."""

from __future__ import annotations

import itertools
import math
import shutil
from pathlib import Path

import carla
import pytest

from bicameral.errors import DataError, UserError
from sim.pocket.map_store import (
    SHIPPED_FOLDER,
    SPAWN_HEIGHT_M,
    SPAWN_SPACING_M,
    MapStore,
    parse,
    source_of_text,
)
from sim.pocket.town.recipe import RECIPES

REAL_TOWNS = Path(__file__).resolve().parents[3] / "shared" / "towns"


@pytest.fixture(autouse=True)
def _no_carla_installation(monkeypatch, tmp_path):
    monkeypatch.delenv("CARLA_ROOT", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


@pytest.fixture(scope="module")
def harbour():
    return MapStore().load("Harbour")


def test_the_shipped_and_the_generated_towns_are_known_without_any_folder():
    assert MapStore().names() == sorted(RECIPES)


@pytest.mark.parametrize("name", ["Harbour", "Carla/Maps/Harbour", "/Game/Carla/Maps/Harbour"])
def test_a_town_is_found_by_the_names_that_carla_clients_use(name, harbour):
    town = MapStore().load(name)
    assert town.name == "Harbour"
    assert town.opendrive == harbour.opendrive
    assert town.carla_map.to_opendrive() == harbour.opendrive


def test_a_training_town_is_generated_when_it_is_loaded():
    assert MapStore().load("Train01").carla_map.get_topology()


def test_a_given_folder_comes_before_the_shipped_maps(tmp_path):
    shutil.copy(SHIPPED_FOLDER / "Ridgeway.xodr", tmp_path / "Harbour.xodr")
    ridgeway = MapStore().load("Ridgeway").opendrive
    assert MapStore([tmp_path]).load("Harbour").opendrive == ridgeway


def test_maps_of_a_carla_installation_are_found(tmp_path, monkeypatch):
    folder = tmp_path / "CarlaUE4" / "Content" / "Carla" / "Maps" / "OpenDrive"
    folder.mkdir(parents=True)
    shutil.copy(SHIPPED_FOLDER / "Ridgeway.xodr", folder / "Town99.xodr")
    shutil.copy(SHIPPED_FOLDER / "Ridgeway.xodr", tmp_path / "Elsewhere.xodr")
    monkeypatch.setenv("CARLA_ROOT", str(tmp_path))
    assert {"Town99", "Elsewhere"} <= set(MapStore().names())
    assert MapStore().load("Town99").name == "Town99"


def test_a_path_to_a_file_is_a_name_too(tmp_path, harbour):
    file = tmp_path / "Mine.xodr"
    file.write_text(harbour.opendrive, encoding="utf-8")
    assert MapStore().load(str(file)).name == "Mine"


def test_an_unknown_town_names_the_known_ones_and_the_nearest():
    with pytest.raises(UserError, match=r"unknown town 'Harbor'.*Valley.*Did you mean 'Harbour'"):
        MapStore().load("Harbor")


def test_an_unknown_town_says_how_to_get_more():
    with pytest.raises(UserError, match=r"--maps FOLDER.*CARLA_ROOT"):
        MapStore().load("Town03")


def test_a_town_with_layers_is_the_town(harbour):
    town = MapStore().load("/Game/Carla/Maps/Harbour_Opt")
    assert (town.name, town.opendrive) == ("Harbour_Opt", harbour.opendrive)
    assert "Harbour_Opt" not in MapStore().names()
    with pytest.raises(UserError, match="unknown town 'Harbor_Opt'"):
        MapStore().load("Harbor_Opt")


def test_a_missing_file_and_a_missing_folder_are_named(tmp_path):
    with pytest.raises(UserError, match=r"no map file .*gone\.xodr"):
        MapStore().load(str(tmp_path / "gone.xodr"))
    with pytest.raises(UserError, match="is not a folder"):
        MapStore([tmp_path / "gone"])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"<OpenDRIVE></OpenDRIVE>", "no driving lane"),
        (b"<OpenDRIVE><road", "cannot be parsed"),
        (b"", "cannot be parsed"),
        (b"\xff\xfe\x00\x80", "cannot read"),
    ],
)
def test_a_file_that_is_no_map_is_refused_by_name(tmp_path, content, reason):
    file = tmp_path / "broken.xodr"
    file.write_bytes(content)
    with pytest.raises(DataError, match=rf"broken\.xodr.*{reason}|{reason}.*broken\.xodr"):
        MapStore().load(str(file))


def test_text_that_is_no_map_is_refused():
    with pytest.raises(DataError, match="OpenDRIVE text of 'sent'"):
        parse(source_of_text("sent", "not a map"))


def test_spawn_points_are_the_same_each_time(harbour):
    again = parse(source_of_text("Harbour", harbour.opendrive))
    assert again.spawn_points == harbour.spawn_points


def assert_usable_spawn_points(town) -> None:
    for transform in town.spawn_points:
        x, y, z = transform.location
        waypoint = town.carla_map.get_waypoint(carla.Location(x, y, z))
        place, rotation = waypoint.transform.location, transform.rotation
        assert -180.0 < rotation.yaw <= 180.0
        assert -90.0 < rotation.pitch < 90.0
        assert not waypoint.is_junction
        assert not any(w.is_junction for w in (*waypoint.next(5.0), *waypoint.previous(5.0)))
        assert math.hypot(place.x - x, place.y - y) < 0.3
        assert z - place.z == pytest.approx(SPAWN_HEIGHT_M, abs=0.05)
    places = [transform.location for transform in town.spawn_points]
    nearest_m = min(math.dist(a, b) for a, b in itertools.combinations(places, 2))
    assert nearest_m >= SPAWN_SPACING_M


@pytest.mark.parametrize("name", ["Harbour", "Ridgeway"])
def test_spawn_points_stand_on_lanes_clear_of_junctions_and_of_each_other(name):
    town = MapStore().load(name)
    assert len(town.spawn_points) >= 200
    assert_usable_spawn_points(town)


@pytest.mark.parametrize(("name", "least"), [("Town01", 150), ("Town04", 500)])
def test_the_towns_of_carla_have_hundreds_of_spawn_points(name, least):
    if not (REAL_TOWNS / f"{name}.xodr").is_file():
        pytest.skip(f"the map {name} of CARLA is not beside the repository")
    assert len(MapStore([REAL_TOWNS]).load(name).spawn_points) >= least
