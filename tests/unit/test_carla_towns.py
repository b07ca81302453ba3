"""CARLA's towns, fetched once from a server on this machine."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bicameral.cli.app import app
from bicameral.errors import DataError, MachineError, UserError
from sim.pocket import carla_towns
from sim.pocket.carla_launcher import carla_root
from sim.pocket.carla_towns import CARLA_TOWNS, PUBLISHED_TOWNS, PublishedTown, fetch_town
from sim.pocket.map_store import SHIPPED_FOLDER, MapStore

TOWN = (SHIPPED_FOLDER / "Ridgeway.xodr").read_bytes()
REAL_TOWNS = Path(__file__).resolve().parents[3] / "shared" / "towns"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def towns(tmp_path, monkeypatch) -> Iterator[dict[str, PublishedTown]]:
    """Two towns on a server; what is there for the second one is something else."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("CARLA_ROOT", raising=False)
    (tmp_path / "Town04.xodr").write_bytes(TOWN)
    (tmp_path / "Town05.xodr").write_bytes(b"404: not found")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path))) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.01,))
        thread.start()
        digest = hashlib.sha256(TOWN).hexdigest()
        url = f"http://127.0.0.1:{http.server_port}"
        names = ("Town04", "Town05", "Town01")
        yield {name: PublishedTown(f"{url}/{name}.xodr", digest) for name in names}
        http.shutdown()
        thread.join()


def test_a_town_is_fetched_once_and_found_by_a_server_that_runs(towns, tmp_path):
    store = MapStore()
    with pytest.raises(UserError, match="bicameral maps get Town04"):
        store.load("Town04")
    assert fetch_town("Town04", towns)
    assert not fetch_town("Town04", towns)
    assert (tmp_path / "data" / "bicameral" / "maps" / "Town04.xodr").read_bytes() == TOWN
    assert store.load("/Game/Carla/Maps/Town04_Opt").name == "Town04_Opt"
    assert "Town04" in MapStore().names()


def test_another_file_is_not_kept(towns, tmp_path):
    with pytest.raises(DataError, match="nothing was kept"):
        fetch_town("Town05", towns)
    with pytest.raises(MachineError, match="404"):
        fetch_town("Town01", towns)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Town02", "no public copy is known whose content was checked.*--maps FOLDER"),
        ("Town99", "unknown town of CARLA 'Town99'.*--maps FOLDER"),
    ],
)
def test_towns_without_a_known_address_are_refused_with_the_way_out(name, reason, towns):
    with pytest.raises(UserError, match=reason):
        fetch_town(name)


def test_the_command_fetches_and_prints_the_attribution(towns, monkeypatch, capsys):
    monkeypatch.setattr(carla_towns, "PUBLISHED_TOWNS", {"Town04": towns["Town04"]})
    monkeypatch.setattr(carla_towns, "fetch_town", partial(fetch_town, towns=towns))
    assert app(["maps", "get"]) == 0
    assert app(["maps", "get", "Town04"]) == 0
    out = capsys.readouterr().out
    assert "Town04: fetched" in out
    assert "Town04: here already" in out
    assert out.count("CC BY 4.0") == 2


def test_the_command_makes_a_folder_that_stands_for_carla(towns, monkeypatch, capsys):
    monkeypatch.setattr(carla_towns, "PUBLISHED_TOWNS", {})
    assert app(["maps", "get"]) == 0
    launcher = carla_root() / "CarlaUE4.sh"
    assert os.access(launcher, os.X_OK)
    assert f"CARLA_ROOT={carla_root()}" in capsys.readouterr().out


def test_the_known_towns_have_the_checksums_of_carlas_own():
    assert set(PUBLISHED_TOWNS) <= set(CARLA_TOWNS)
    for name, town in PUBLISHED_TOWNS.items():
        path = REAL_TOWNS / f"{name}.xodr"
        if not path.is_file():
            pytest.skip(f"{path.name} of CARLA is not at {path.parent}")
        assert hashlib.sha256(path.read_bytes()).hexdigest() == town.sha256
