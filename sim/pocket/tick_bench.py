"""What one tick of the simulator costs, part by part, in CPU time of one thread.

Every round measures all parts one after the other, so that a busy moment of the machine hits them
alike; the table shows the median and the range over the rounds.
"""

from __future__ import annotations

import socket
import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sim.pocket.camera.lighting import lighting_from_weather
from sim.pocket.camera.view import CameraView, Channels
from sim.pocket.geometry import Rotation, Transform, Vector3, compose
from sim.pocket.map_store import MapStore
from sim.pocket.protocol.values import ActorDescription, VehicleControl
from sim.pocket.silent_world import Silence
from sim.pocket.world import spawning, tick
from sim.pocket.world.town import TownShelf
from sim.pocket.world.world import DEFAULT_WEATHER, World

_CAMERA_MOUNT = Transform(Vector3(1.5, 0.0, 2.4), Rotation())


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchSettings:
    """What to measure.

    Attributes:
        town: Map, by name or as an OpenDRIVE file.
        map_folders: Further folders with OpenDRIVE files.
        side_px: Width and height of the camera's picture.
        rounds: Number of rounds.
        ticks: Ticks per round and part.
    """

    town: str = "Harbour"
    map_folders: tuple[Path, ...] = ()
    side_px: int = 448
    rounds: int = 7
    ticks: int = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """CPU milliseconds per tick of one part: median, smallest and largest round."""

    part: str
    median_ms: float
    least_ms: float
    most_ms: float


def measure(settings: BenchSettings) -> list[Cost]:
    """Measure one driving vehicle, with and without a camera.

    Returns:
        Costs of: a tick without camera; rendering; copying the picture out; sending it over the
        loopback; and, as the limit that no renderer can beat, writing a picture of that size.
    """
    world = World(
        TownShelf(MapStore(settings.map_folders), seed=0), Silence(), town=settings.town, seed=0
    )
    vehicle = _spawn_vehicle(world)
    rasteriser = world.episode.town.rasteriser
    rasteriser.set_lighting(lighting_from_weather(DEFAULT_WEATHER))
    picture = np.zeros((settings.side_px, settings.side_px, 4), np.uint8)

    def step() -> None:
        tick.advance(world)

    def view() -> CameraView:
        return CameraView(
            width=settings.side_px,
            height=settings.side_px,
            fov_deg=110.0,
            transform=compose(world.episode.dynamics.state(vehicle).transform, _CAMERA_MOUNT),
        )

    def render() -> None:
        rasteriser.render(view(), (), want=Channels.RGB)

    def encode() -> None:
        picture.tobytes()

    def write() -> None:
        picture.fill(7)

    with _Loopback(picture.nbytes) as loopback:
        parts: dict[str, Callable[[], None]] = {
            "tick without camera (dynamics, collisions, snapshot)": step,
            f"render {settings.side_px}x{settings.side_px} rgb": render,
            "copy the picture out": encode,
            "send it over the loopback": loopback.send,
            "limit: write such a picture once": write,
        }
        return _measure_rounds(parts, settings, step)


def _measure_rounds(
    parts: dict[str, Callable[[], None]], settings: BenchSettings, drive: Callable[[], None]
) -> list[Cost]:
    for part in parts.values():  # compile and warm up
        part()
    samples: dict[str, list[float]] = {name: [] for name in parts}
    for _ in range(settings.rounds):
        for name, part in parts.items():
            samples[name].append(_cpu_ms(part, settings.ticks))
        for _ in range(settings.ticks):  # the next round sees another street
            drive()
    return [
        Cost(part=name, median_ms=statistics.median(v), least_ms=min(v), most_ms=max(v))
        for name, v in samples.items()
    ]


def _cpu_ms(part: Callable[[], None], count: int) -> float:
    begin_s = time.thread_time()
    for _ in range(count):
        part()
    return (time.thread_time() - begin_s) * 1000.0 / count


def _spawn_vehicle(world: World) -> int:
    description = ActorDescription(0, "vehicle.tesla.model3")
    actor = spawning.spawn(world.episode, description, world.episode.town.map.spawn_points[0])
    world.episode.dynamics.set_control(actor.id, VehicleControl(throttle=0.25))
    return actor.id


class _Loopback:
    """A socket whose other end is read by a thread as fast as it can."""

    def __init__(self, size: int) -> None:
        self._data = bytes(size)

    def __enter__(self) -> _Loopback:
        listener = socket.create_server(("127.0.0.1", 0))
        self._sender = socket.create_connection(listener.getsockname())
        self._receiver, _ = listener.accept()
        listener.close()
        self._thread = threading.Thread(target=self._drain, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._sender.close()
        self._thread.join()
        self._receiver.close()

    def send(self) -> None:
        self._sender.sendall(self._data)

    def _drain(self) -> None:
        buffer = bytearray(1 << 20)
        while self._receiver.recv_into(buffer):
            pass
