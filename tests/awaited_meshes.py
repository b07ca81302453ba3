"""Navigation meshes whose building can be waited for."""

from __future__ import annotations

from unittest.mock import patch

from sim.pocket.map_process import MapProcess
from sim.pocket.navigation import files
from sim.pocket.navigation.files import NavigationFiles


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
