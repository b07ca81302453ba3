"""What the simulator costs: ticks part by part, pictures stage by stage, and how both grow.

CPU time of one thread. All parts are measured in turns, round after round, so that a busy moment
of the machine hits them alike.
"""

from __future__ import annotations

import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np

from bicameral.types import AGENT_CAMERA
from sim.pocket.camera.encode import depth_bgra, semantic_bgra
from sim.pocket.camera.lighting import lighting_from_weather
from sim.pocket.camera.rasteriser import Rasteriser
from sim.pocket.camera.view import CameraView, Channels, Frame, Instance
from sim.pocket.geometry import Rotation, Transform, Vector3, compose
from sim.pocket.map_store import MapStore
from sim.pocket.protocol.values import ActorDescription, VehicleControl
from sim.pocket.silent_world import Silence
from sim.pocket.world import spawning, tick
from sim.pocket.world.town import TownShelf
from sim.pocket.world.visible import VisibleThings
from sim.pocket.world.world import World

VEHICLES = (0, 25, 50, 100)
CAMERAS = (1, 2, 4, 6)
#: Shipped maps, by size.
TOWNS = ("Millbrook", "Harbour", "Ridgeway")
_VEHICLE = ActorDescription(0, "vehicle.tesla.model3")
_SIDE_PX = 448
_MOUNT = Vector3(1.5, 0.0, 2.4)
#: Cameras whose frames are measured stage by stage: width, height, channels.
CAMERA_KINDS = {
    "agent 320x160 rgb": (320, 160, Channels.RGB),
    "448x448 rgb": (448, 448, Channels.RGB),
    "448x448 semantic": (448, 448, Channels.SEMANTIC),
    "448x448 depth": (448, 448, Channels.DEPTH),
    "448x448 all three": (448, 448, Channels.RGB | Channels.SEMANTIC | Channels.DEPTH),
}
STAGES = ("transform", "raster", "shade", "encode")
#: The first frames compile and warm up.
_WARM_UP_FRAMES = 2
PARKED_VEHICLES = 30
_AGENT_MOUNT = Transform(
    Vector3(AGENT_CAMERA.x_m, 0.0, AGENT_CAMERA.z_m), Rotation(AGENT_CAMERA.pitch_deg, 0.0, 0.0)
)

Part = Callable[[], object]


class Cost(NamedTuple):
    """CPU milliseconds per tick of one part: median, smallest and largest round."""

    part: str
    median_ms: float
    least_ms: float
    most_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """CPU milliseconds of one part by a size, and how much each unit of it adds."""

    part: str
    unit: str
    sizes: tuple[float, ...]
    medians_ms: tuple[float, ...]

    @property
    def slope_ms(self) -> float:
        """Milliseconds that a further unit costs: the slope of the line through the medians."""
        return float(np.polyfit(self.sizes, self.medians_ms, 1)[0])


def measure_tick(
    town: str = "Harbour", *, side_px: int = _SIDE_PX, rounds: int = 7, ticks: int = 40
) -> list[Cost]:
    """Measure one driving vehicle, with and without a camera.

    Args:
        town: Map, by name or as an OpenDRIVE file.
        side_px: Width and height of the camera's picture.
        rounds: Number of rounds.
        ticks: Ticks per round and part.

    Returns:
        Costs of: a tick without camera; rendering; copying the picture out; sending it over the
        loopback; and, as the limit that no renderer can beat, writing a picture of that size.
    """
    world = _world(TownShelf(MapStore(), seed=0), town, 0)
    dynamics = world.episode.dynamics
    start = world.episode.town.map.spawn_points[0]
    vehicle = spawning.spawn(world.episode, _VEHICLE, start).id
    dynamics.set_control(vehicle, VehicleControl(throttle=0.25))
    rasteriser = world.episode.town.rasteriser
    picture = np.zeros((side_px, side_px, 4), np.uint8)

    def render() -> None:
        view = _view(dynamics.state(vehicle).transform, side_px, fov_deg=110.0)
        rasteriser.render(view, (), want=Channels.RGB)

    with _loopback(picture.tobytes()) as send:
        parts: dict[str, Part] = {
            "tick without camera (dynamics, collisions, snapshot)": partial(tick.advance, world),
            f"render {side_px}x{side_px} rgb": render,
            "copy the picture out": picture.tobytes,
            "send it over the loopback": send,
            "limit: write such a picture once": partial(picture.fill, 7),
        }
        spent = _in_turns(list(parts.values()), rounds, ticks)
    return [
        Cost(name, statistics.median(times), min(times), max(times))
        for name, times in zip(parts, spent, strict=True)
    ]


def measure_camera(town: str = "Harbour", frames: int = 60) -> dict[str, list[float]]:
    """Measure every kind of camera at spawn points, among parked vehicles and signal heads.

    Args:
        town: Map, by name or as an OpenDRIVE file.
        frames: Frames of every kind; the kinds take turns, frame by frame.

    Returns:
        Mean CPU milliseconds of a frame of each of `CAMERA_KINDS` in each of `STAGES`.
    """
    world = _world(TownShelf(MapStore(), seed=0), town, PARKED_VEHICLES)
    rasteriser, instances = _furnished(world)
    points = world.episode.town.map.spawn_points
    order = np.random.default_rng(0).permutation(len(points))
    spent = np.zeros((len(CAMERA_KINDS), len(STAGES)))
    for number, point in enumerate(np.resize(order, frames + _WARM_UP_FRAMES).tolist()):
        for row, (width, height, want) in enumerate(CAMERA_KINDS.values()):
            view = CameraView(
                width=width,
                height=height,
                fov_deg=AGENT_CAMERA.fov_deg,
                transform=compose(points[point], _AGENT_MOUNT),
            )
            frame = rasteriser.render(view, instances, want=want)
            rendered_s = time.thread_time()
            _encode(frame, want)
            encode_s = time.thread_time() - rendered_s
            if number >= _WARM_UP_FRAMES:
                at = rasteriser.timings
                spent[row] += (at.transform_s, at.raster_s, at.shade_s, encode_s)
    return dict(zip(CAMERA_KINDS, (spent / frames * 1e3).tolist(), strict=True))


def _encode(frame: Frame, want: Channels) -> None:
    if Channels.RGB in want:
        frame.bgra.tobytes()
    if Channels.SEMANTIC in want:
        semantic_bgra(frame.semantic)
    if Channels.DEPTH in want:
        depth_bgra(frame.depth_m)


def measure_growth(rounds: int = 5, ticks: int = 10) -> list[Growth]:
    """Measure ticks and pictures by vehicles, pictures by cameras, and pictures by maps."""
    shelf = TownShelf(MapStore(), seed=0)
    crowded = [_world(shelf, TOWNS[1], count) for count in VEHICLES]
    maps = [_world(shelf, town, 0) for town in TOWNS]
    triangles = [len(world.episode.town.scene.static.triangles) / 1e5 for world in maps]
    rgb = f"{_SIDE_PX}x{_SIDE_PX} rgb"
    kinds: list[tuple[str, str, Sequence[float], list[Part]]] = [
        ("tick without camera", "vehicle", VEHICLES, [partial(tick.advance, w) for w in crowded]),
        (rgb, "vehicle", VEHICLES, [_rendering(w, 1) for w in crowded]),
        (f"{rgb}, all around", "camera", CAMERAS, [_rendering(crowded[0], n) for n in CAMERAS]),
        (rgb, "100,000 triangles of map", triangles, [_rendering(w, 1) for w in maps]),
    ]
    spent = iter(_in_turns([part for *_, parts in kinds for part in parts], rounds, ticks))
    return [
        Growth(
            part=part,
            unit=unit,
            sizes=tuple(map(float, sizes)),
            medians_ms=tuple(statistics.median(next(spent)) for _ in sizes),
        )
        for part, unit, sizes, _ in kinds
    ]


def _in_turns(parts: Sequence[Part], rounds: int, count: int) -> list[list[float]]:
    """Return the CPU milliseconds that each part took in each of the rounds."""
    for part in parts:  # compile and warm up
        part()
    samples: list[list[float]] = [[] for _ in parts]
    for _ in range(rounds):
        for part, times in zip(parts, samples, strict=True):
            begin_s = time.thread_time()
            for _ in range(count):
                part()
            times.append((time.thread_time() - begin_s) * 1e3 / count)
    return samples


def _world(shelf: TownShelf, town: str, vehicles: int) -> World:
    """Open a town in which vehicles stand on its spawn points."""
    world = World(shelf, Silence(), town=town, seed=0)
    points = world.episode.town.map.spawn_points
    for point in points[1 : 1 + vehicles]:
        spawning.spawn(world.episode, _VEHICLE, point)
    tick.advance(world)
    world.episode.town.rasteriser.set_lighting(lighting_from_weather(world.weather))
    return world


def _view(place: Transform, side_px: int, fov_deg: float, yaw_deg: float = 0.0) -> CameraView:
    """Return the view of a camera on a vehicle, turned by an angle."""
    mount = Transform(_MOUNT, Rotation(0.0, yaw_deg, 0.0))
    return CameraView(
        width=side_px, height=side_px, fov_deg=fov_deg, transform=compose(place, mount)
    )


def _furnished(world: World) -> tuple[Rasteriser, list[Instance]]:
    """Return the rasteriser that knows all there is in a world, and where it stands."""
    rasteriser = world.episode.town.rasteriser
    things = list(VisibleThings(world.episode))
    for thing in things:
        rasteriser.register_mesh(thing.instance.mesh_key, thing.make_mesh())
    return rasteriser, [thing.instance for thing in things]


def _rendering(world: World, cameras: int) -> Part:
    """Return what renders from the first spawn point to so many sides."""
    rasteriser, instances = _furnished(world)
    start = world.episode.town.map.spawn_points[0]
    views = [_view(start, _SIDE_PX, 90.0, 60.0 * number) for number in range(cameras)]

    def render() -> None:
        for view in views:
            rasteriser.render(view, instances, want=Channels.RGB)

    return render


@contextmanager
def _loopback(data: bytes) -> Iterator[Part]:
    """Give what sends data to a socket whose other end a thread reads as fast as it can."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sender = socket.create_connection(listener.getsockname())
        receiver, _ = listener.accept()

    def drain() -> None:
        buffer = bytearray(1 << 20)
        with receiver:
            while receiver.recv_into(buffer):
                pass

    thread = threading.Thread(target=drain, daemon=True)
    thread.start()
    with sender:
        yield partial(sender.sendall, data)
    thread.join()
