"""The meshes that clients may fetch: built in another process, kept by what map they are of.

A client keeps a file for ever, in a folder that it shares with real CARLA. So a file's name says
what is in it, and that it is not CARLA's.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import logging
import re
from collections import OrderedDict
from pathlib import Path
from typing import NamedTuple

import shapely

from bicameral.files import user_cache_folder, write_bytes_atomic
from sim import opendrive
from sim.pocket import scene
from sim.pocket.map_process import MapProcess

_KEPT_FILES = 8
#: A script that sets no time-out gives a call 5 s.
_LONGEST_WAIT_S = 4.0
_SOURCES = (
    *sorted(Path(__file__).parent.glob("*.py")),
    *sorted(Path(scene.__file__).parent.glob("*.py")),
    Path(opendrive.__file__),
)

logger = logging.getLogger(__name__)


class MeshFile(NamedTuple):
    """A file as a client asks for it.

    Attributes:
        name: With folders.
        data: See `detour`.
    """

    name: str
    data: bytes


class NavigationFiles:
    """Builds the files on demand and keeps the last few.

    Once built they lie under ``$XDG_CACHE_HOME/bicameral/navigation-meshes``, too.
    """

    def __init__(self) -> None:
        self._files: OrderedDict[str, MeshFile | None] = OrderedDict()
        self._builds: dict[str, MapProcess] = {}

    def begin(self, town: str, opendrive: str) -> None:
        """Begin to build the file of a map, unless there is one; never waits."""
        self._is_ready(town, opendrive)

    def must_wait(self, town: str, opendrive: str) -> bool:
        """Say whether to wait for the file of a map; begins to build it, and never waits itself.

        Every client asks for the file when it first sees a world, whether it wants walkers or not,
        and with a time-out. So no one waits long: who is answered too early has no walkers until
        it loads a world again.
        """
        if self._is_ready(town, opendrive):
            return False
        if self._builds[_digest(opendrive)].age_s < _LONGEST_WAIT_S:
            return True
        logger.warning(
            "the navigation mesh of %s is not built yet: the client that asks for it now has no "
            "walkers that find their way until it loads a world again",
            town,
        )
        return False

    def _is_ready(self, town: str, opendrive: str) -> bool:
        key = _digest(opendrive)
        if key in self._files:
            return True
        if key not in self._builds:
            with contextlib.suppress(OSError):
                self._keep(key, town, _kept_at(key).read_bytes())
                return True
            self._builds[key] = MapProcess("sim.pocket.navigation", opendrive)
        build = self._builds[key]
        if build.exit_code is None and not build.is_late:
            return False
        self._keep(key, town, _built(build, town, key))
        del self._builds[key]
        return True

    def of_map(self, opendrive: str) -> MeshFile | None:
        """Return the file of a map that is ready; None if walkers have nowhere to go on it."""
        return self._files.get(_digest(opendrive))

    def find(self, name: str) -> bytes | None:
        """Return what is in a file that was offered; None if none was."""
        files = (file for file in self._files.values() if file is not None)
        return next((file.data for file in files if file.name == name), None)

    def close(self) -> None:
        """End what is being built."""
        for build in self._builds.values():
            build.end()
        self._builds.clear()

    def _keep(self, key: str, town: str, data: bytes | None) -> None:
        self._files[key] = MeshFile(_file_name(town, data), data) if data else None
        while len(self._files) > _KEPT_FILES:
            self._files.popitem(last=False)


def _built(build: MapProcess, town: str, key: str) -> bytes | None:
    """Return what a process has built, and leave it for the next server."""
    data = None
    with contextlib.suppress(FileNotFoundError):
        data = (build.folder / "mesh.bin").read_bytes()
    if build.exit_code != 0:
        reason = build.reason or f"exit code {build.exit_code}"
        logger.warning("no navigation mesh of %s could be built: %s", town, reason)
    else:
        with contextlib.suppress(OSError):
            _kept_at(key).parent.mkdir(parents=True, exist_ok=True)
            write_bytes_atomic(_kept_at(key), data or b"")
    build.end()
    return data


def _file_name(town: str, data: bytes) -> str:
    plain = re.sub(r"[^A-Za-z0-9_-]", "", town)
    return f"pocket/Nav/{plain}-{hashlib.sha256(data).hexdigest()[:16]}.bin"


@functools.lru_cache(maxsize=_KEPT_FILES)
def _digest(opendrive: str) -> str:
    """Name what a mesh depends on: the map, and what builds it."""
    digest = hashlib.sha256(shapely.__version__.encode())
    for path in _SOURCES:
        digest.update(path.read_bytes())
    digest.update(opendrive.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _kept_at(key: str) -> Path:
    return user_cache_folder() / "navigation-meshes" / f"{key}.bin"
