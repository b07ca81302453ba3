"""Navigation meshes: their building can be waited for, and their files be read."""

from __future__ import annotations

import struct
from unittest.mock import patch

import numpy as np

from sim.pocket.map_process import MapProcess
from sim.pocket.navigation import files
from sim.pocket.navigation.files import NavigationFiles
from sim.pocket.navigation.mesh import NavigationMesh


class _AwaitedProcess(MapProcess):
    """A process whose end can be waited for."""

    newest: _AwaitedProcess

    def __init__(self, module: str, text: str) -> None:
        super().__init__(module, text)
        _AwaitedProcess.newest = self

    def wait(self) -> None:
        self._process.wait(300.0)


def build_mesh(meshes: NavigationFiles, town: str, opendrive: str) -> None:
    """Build the mesh of a map, unless it is there, and wait until it is."""
    with patch.object(files, "MapProcess", _AwaitedProcess):
        if meshes.must_wait(town, opendrive):
            _AwaitedProcess.newest.wait()
    assert not meshes.must_wait(town, opendrive)


def read_mesh(data: bytes) -> NavigationMesh:
    """Return the mesh of a file of one tile, laid out as Recast's samples and Detour do it."""
    assert struct.unpack_from("<4s2i", data) == (b"TESM", 1, 1)
    tile = data[48:]
    assert struct.unpack_from("<4si", tile) == (b"VAND", 7)
    count, corner_count = struct.unpack_from("<2i", tile, 24)
    points = np.frombuffer(tile, "<f4", 3 * corner_count, 100).reshape(-1, 3)
    layout = [("link", "<u4"), ("corners", "<u2", 6), ("beyond", "<u2", 6), ("flags", "<u2")]
    layout += [("corner_count", "u1"), ("area", "u1")]
    polygons = np.frombuffer(tile, np.dtype(layout), count, 100 + points.nbytes)
    return NavigationMesh(
        vertices=points[:, [0, 2, 1]].astype(np.float64),
        triangles=polygons["corners"][:, :3].astype(np.int64),
        areas=polygons["area"].copy(),
    )
