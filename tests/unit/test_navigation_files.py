"""Meshes are built in another process, once a map, and nobody waits for long."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from sim.pocket.navigation import files
from sim.pocket.navigation.files import NavigationFiles
from tests.awaited_meshes import build_mesh, read_mesh


def street(sidewalk: str) -> str:
    """Return a street of 80 m with a lane of a type on one side."""
    width = '<width sOffset="0" a="3.5" b="0" c="0" d="0"/>'
    return (
        '<?xml version="1.0"?><OpenDRIVE><header revMajor="1" revMinor="4"/>'
        '<road id="1" junction="-1" length="80"><planView>'
        '<geometry s="0" x="0" y="0" hdg="0" length="80"><line/></geometry></planView>'
        '<lanes><laneSection s="0"><center><lane id="0" type="none"/></center><right>'
        f'<lane id="-1" type="driving">{width}</lane><lane id="-2" type="{sidewalk}">{width}</lane>'
        "</right></laneSection></lanes></road></OpenDRIVE>"
    )


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "bicameral" / "navigation-meshes"


@pytest.fixture
def meshes(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[NavigationFiles]:
    monkeypatch.setattr(files, "_LONGEST_WAIT_S", 300.0)
    meshes = NavigationFiles()
    yield meshes
    meshes.close()


def test_a_mesh_is_built_offered_under_a_name_of_its_content_and_found_by_the_next_server(
    meshes: NavigationFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_mesh(meshes, "Street", street("sidewalk"))
    file = meshes.of_map(street("sidewalk"))
    assert file is not None
    assert file.name.startswith("pocket/Nav/Street-")
    assert meshes.find(file.name) == file.data
    assert meshes.find("pocket/Nav/Street.bin") is None
    corners = read_mesh(file.data).vertices
    assert corners[:, 0].min() > -0.1
    assert corners[:, 0].max() < 80.1
    monkeypatch.setattr(files, "MapProcess", None)
    later = NavigationFiles()
    assert not later.must_wait("Street", street("sidewalk"))
    assert later.of_map(street("sidewalk")) == file


def test_a_map_without_sidewalks_has_none_and_is_not_built_again(
    meshes: NavigationFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_mesh(meshes, "Street", street("shoulder"))
    assert meshes.of_map(street("shoulder")) is None
    monkeypatch.setattr(files, "MapProcess", None)
    assert not NavigationFiles().must_wait("Street", street("shoulder"))


def test_who_has_waited_too_long_is_answered_and_the_log_says_so(
    meshes: NavigationFiles, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(files, "_LONGEST_WAIT_S", 0.0)
    with caplog.at_level(logging.WARNING):
        assert not meshes.must_wait("Street", street("sidewalk"))
    assert "mesh of Street is not built yet" in caplog.text
    assert meshes.of_map(street("sidewalk")) is None


def test_a_map_that_cannot_be_meshed_is_named(
    meshes: NavigationFiles, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        build_mesh(meshes, "Street", "<OpenDRIVE>")
    assert "no navigation mesh of Street could be built" in caplog.text
    assert meshes.of_map("<OpenDRIVE>") is None
