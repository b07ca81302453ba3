"""How the simulator's cost grows: with vehicles, with cameras, and with the size of the map.

CPU time of one thread. All sizes are measured in turns, round after round; a slope is that of the
straight line through the medians.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sim.pocket.camera.lighting import lighting_from_weather
from sim.pocket.camera.view import CameraView, Channels
from sim.pocket.geometry import Rotation, Transform, Vector3, compose
from sim.pocket.map_store import MapStore
from sim.pocket.protocol.values import ActorDescription
from sim.pocket.silent_world import Silence
from sim.pocket.world import spawning, tick
from sim.pocket.world.town import TownShelf
from sim.pocket.world.visible import VisibleThings
from sim.pocket.world.world import DEFAULT_WEATHER, World

VEHICLES = (0, 25, 50, 100)
CAMERAS = (1, 2, 4, 6)
#: Shipped maps, by size.
TOWNS = ("Millbrook", "Harbour", "Ridgeway")
_VEHICLE = "vehicle.tesla.model3"
_SIDE_PX = 448
_MOUNT = Vector3(1.5, 0.0, 2.4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """CPU milliseconds of one part by a size, and how much each unit of it adds."""

    part: str
    unit: str
    sizes: tuple[float, ...]
    medians_ms: tuple[float, ...]

    @property
    def slope_ms(self) -> float:
        """Milliseconds that a further unit costs."""
        return float(np.polyfit(self.sizes, self.medians_ms, 1)[0])


def measure_growth(rounds: int = 5, ticks: int = 10) -> list[Growth]:
    """Measure ticks and pictures by vehicles, pictures by cameras, and pictures by maps."""
    shelf = TownShelf(MapStore(()), seed=0)
    crowded = {count: _world(shelf, TOWNS[1], count) for count in VEHICLES}
    maps = {town: _world(shelf, town, 0) for town in TOWNS}
    empty = crowded[0]
    triangles = [len(maps[town].episode.town.scene.static.triangles) / 1e5 for town in TOWNS]
    ticking = [_ticking(crowded[count]) for count in VEHICLES]
    seeing = [_rendering(crowded[count], 1) for count in VEHICLES]
    around = [_rendering(empty, count) for count in CAMERAS]
    elsewhere = [_rendering(maps[town], 1) for town in TOWNS]
    spent = _in_turns([*ticking, *seeing, *around, *elsewhere], rounds, ticks)
    few, many = len(VEHICLES), 2 * len(VEHICLES) + len(CAMERAS)
    return [
        _growth("tick without camera", "vehicle", VEHICLES, spent[:few]),
        _growth("448x448 rgb", "vehicle", VEHICLES, spent[few : 2 * few]),
        _growth("448x448 rgb, all around", "camera", CAMERAS, spent[2 * few : many]),
        _growth("448x448 rgb", "100,000 triangles of map", triangles, spent[many:]),
    ]


def _growth(
    part: str, unit: str, sizes: tuple[int, ...] | list[float], medians_ms: list[float]
) -> Growth:
    return Growth(
        part=part,
        unit=unit,
        sizes=tuple(float(size) for size in sizes),
        medians_ms=tuple(medians_ms),
    )


def _in_turns(parts: list[Callable[[], None]], rounds: int, count: int) -> list[float]:
    """Return the median CPU milliseconds of each part over the rounds."""
    for part in parts:  # compile and warm up
        part()
    samples: list[list[float]] = [[] for _ in parts]
    for _ in range(rounds):
        for part, times in zip(parts, samples, strict=True):
            begin_s = time.thread_time()
            for _ in range(count):
                part()
            times.append((time.thread_time() - begin_s) * 1e3 / count)
    return [statistics.median(times) for times in samples]


def _world(shelf: TownShelf, town: str, vehicles: int) -> World:
    """Open a town in which vehicles stand on its spawn points."""
    world = World(shelf, Silence(), town=town, seed=0)
    points = world.episode.town.map.spawn_points
    for point in points[1 : 1 + vehicles]:
        spawning.spawn(world.episode, ActorDescription(0, _VEHICLE), point)
    tick.advance(world)
    return world


def _ticking(world: World) -> Callable[[], None]:
    def advance() -> None:
        tick.advance(world)

    return advance


def _rendering(world: World, cameras: int) -> Callable[[], None]:
    """Return what renders from the first spawn point to so many sides."""
    start = world.episode.town.map.spawn_points[0]
    rasteriser = world.episode.town.rasteriser
    rasteriser.set_lighting(lighting_from_weather(DEFAULT_WEATHER))
    things = list(VisibleThings(world.episode))
    for thing in things:
        rasteriser.register_mesh(thing.instance.mesh_key, thing.make_mesh())
    instances = [thing.instance for thing in things]
    views = [
        CameraView(
            width=_SIDE_PX,
            height=_SIDE_PX,
            fov_deg=90.0,
            transform=compose(start, Transform(_MOUNT, Rotation(0.0, 60.0 * number, 0.0))),
        )
        for number in range(cameras)
    ]

    def render() -> None:
        for view in views:
            rasteriser.render(view, instances, want=Channels.RGB)

    return render
