"""What is the same for every episode on a map: map, scene, ground, obstacles, rasteriser."""

from __future__ import annotations

import copy
import functools
import hashlib
from collections import OrderedDict
from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from sim.opendrive import read_roads
from sim.pocket.camera.rasteriser import Rasteriser
from sim.pocket.collision import StaticObstacles
from sim.pocket.ground import Ground
from sim.pocket.map_store import MapSource, MapStore, TownMap, parse, source_of_text
from sim.pocket.scene.build import Scene, build_scene
from sim.pocket.scene.hiding import find_owners, without
from sim.pocket.scene.textures import make_textures
from sim.pocket.sensors.ray_tree import RayTree
from sim.pocket.world.speed_limits import SpeedLimits

#: Towns kept after use, so that reloading one is cheap; a large one takes about 100 MB.
_KEPT_TOWNS = 2
_SOLID_ALPHA = 128


class Town:
    """One map and all that is derived from it, on first use or by `build`.

    Args:
        town_map: The map.
        seed: Seed of the scenery.
        camera_threads: How many threads render a picture.

    Attributes:
        name: Name of the map without folders.
        map: The map.
        ray_trees: Trees of the meshes that rays were cast at, by name; made on first use.
    """

    def __init__(self, town_map: TownMap, seed: int, camera_threads: int = 1) -> None:
        self.name = town_map.name
        self.map = town_map
        self.ray_trees: dict[str, RayTree] = {}
        self._seed = seed
        self._camera_threads = camera_threads

    def build(self) -> None:
        """Build now what vehicles need; a server without cameras never needs more."""
        _ = self.obstacles, self.ground, self.speed_limits

    @functools.cached_property
    def scene(self) -> Scene:
        """Meshes and boxes of everything that never moves."""
        return build_scene(self.map.opendrive, self.map.carla_map, self._seed)

    @functools.cached_property
    def obstacles(self) -> StaticObstacles:
        """The boxes, indexed."""
        return StaticObstacles(self.scene.obstacles)

    @functools.cached_property
    def ground(self) -> Ground:
        """Heights."""
        return Ground(self.map.carla_map, self.scene.terrain_z_m)

    @functools.cached_property
    def speed_limits(self) -> SpeedLimits:
        """Limits by place."""
        return SpeedLimits(read_roads(self.map.opendrive), self.map.carla_map)

    @functools.cached_property
    def rasteriser(self) -> Rasteriser:
        """What renders pictures of it."""
        return Rasteriser(self.scene, self._textures, threads=self._camera_threads)

    def without(self, tags: Collection[int], numbers: Collection[int]) -> Town:
        """Return the town without some of its things; see `scene.hiding.without`."""
        if not tags and not numbers:
            return self
        town = copy.copy(self)
        for name in ("obstacles", "rasteriser"):
            vars(town).pop(name, None)
        town.scene = without(self.scene, self._owners, tags, numbers)
        town.ray_trees = {}
        return town

    @functools.cached_property
    def _owners(self) -> NDArray[np.int64]:
        return find_owners(self.scene)

    @functools.cached_property
    def solid_texels(self) -> NDArray[np.bool_]:
        """(layers, N, N) where the textures of the scene have no holes."""
        return np.ascontiguousarray(self._textures[..., 3] >= _SOLID_ALPHA)

    @functools.cached_property
    def _textures(self) -> NDArray[np.uint8]:
        return make_textures(self._seed)


class TownShelf:
    """Builds towns and keeps the last few.

    Args:
        store: Where maps come from.
        seed: Seed of the scenery.
        camera_threads: How many threads render a picture.
        build_late: Whether the scenery of a town is built only when something needs it; else it is
            when the town is loaded, for clients that wait longest there.
    """

    def __init__(
        self, store: MapStore, seed: int, camera_threads: int = 1, *, build_late: bool = False
    ) -> None:
        self._store = store
        self._build_late = build_late
        self._seed = seed
        self._camera_threads = camera_threads
        self._towns: OrderedDict[tuple[str, bytes], Town] = OrderedDict()
        self._by_name: dict[str, Town] = {}

    def names(self) -> list[str]:
        """Return the names of all maps."""
        return self._store.names()

    def town(self, name: str) -> Town:
        """Return a town by the name of its map, with or without CARLA's folders.

        A kept town is returned as it was read; only one that is named by its file is read again.

        Raises:
            UserError: There is no such map.
        """
        known = self._by_name.get(name)
        if known is not None:
            return self._shelved(known.map)
        town = self._shelved(self._store.load(name))
        if not name.endswith(".xodr"):
            self._by_name[name] = town
        return town

    def source(self, name: str) -> MapSource | None:
        """Return the text of a town that has to be read; None for a kept one.

        Raises:
            UserError: There is no such map.
        """
        return None if name in self._by_name else self._store.source(name)

    def town_from_opendrive(self, name: str, opendrive: str) -> Town:
        """Return a town made from an OpenDRIVE text.

        Raises:
            UserError: The text is no usable map.
        """
        return self._shelved(parse(source_of_text(name, opendrive)))

    def _shelved(self, town_map: TownMap) -> Town:
        digest = hashlib.sha256(town_map.opendrive.encode("utf-8", "surrogateescape")).digest()
        key = (town_map.name, digest)
        town = self._towns.pop(key, None) or Town(town_map, self._seed, self._camera_threads)
        if not self._build_late:
            town.build()
        self._towns[key] = town
        while len(self._towns) > _KEPT_TOWNS:
            _key, dropped = self._towns.popitem(last=False)
            self._by_name = {
                name: known for name, known in self._by_name.items() if known is not dropped
            }
        return town
