"""A world without clients: for measuring ticks, and for compiling the kernels beforehand."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sim.pocket.camera.shading_kernels import shade
from sim.pocket.collision_kernels import collide
from sim.pocket.geometry import Transform
from sim.pocket.protocol.values import ActorDescription
from sim.pocket.world import cameras, spawning, tick
from sim.pocket.world.town import TownShelf
from sim.pocket.world.world import World

#: What the first client is likely to want; the kernels of the others compile within a second.
_SENSORS = ("sensor.camera.rgb", "sensor.lidar.ray_cast", "sensor.other.radar")


class Silence:
    """A publisher with one subscriber who is told nothing: the world does all its own work."""

    def token(self, stream_id: int) -> bytes:
        """Return a token of the right size."""
        del stream_id
        return bytes(24)

    def has_subscribers(self, stream_id: int) -> bool:
        """Say that somebody would receive a message."""
        del stream_id
        return True

    def publish(self, stream_id: int, parts: Sequence[bytes]) -> None:
        """Drop a message."""
        del stream_id, parts


def compile_kernels(shelf: TownShelf, town: str, seed: int) -> None:
    """Tick a car with sensors once, so that no client waits while kernels are compiled.

    On a machine that has not run them yet this takes half a minute of CPU time, and scripts give
    up a call after ten seconds. Of two servers that start at once, one begins with the pictures:
    each finds on disk what the other has compiled meanwhile.

    Args:
        shelf: The towns; the one that is built for this is kept.
        town: Name of the map.
        seed: Seed of scenery and noise.
    """
    world = World(shelf, Silence(), town=town, seed=seed)
    points = world.episode.town.map.spawn_points
    if not points:
        return
    car = spawning.spawn(world.episode, ActorDescription(0, "vehicle.tesla.model3"), points[0])
    for name in _SENSORS:
        spawning.spawn(world.episode, ActorDescription(0, name), Transform(), car.id)
    with _first_to_compile() as first:
        if not first:
            cameras.publish_images(world)
        tick.advance(world)


def are_compiled() -> bool:
    """Return whether the largest kernels lie on disk, newer than their source."""
    return all(map(_is_compiled, (collide, shade)))


def _is_compiled(kernel: Any) -> bool:
    source = Path(kernel.py_func.__code__.co_filename)
    kept = Path(kernel.stats.cache_path).glob(f"{source.stem}.{kernel.__name__}-*.nbi")
    return any(one.stat().st_mtime >= source.stat().st_mtime for one in kept)


@contextmanager
def _first_to_compile() -> Iterator[bool]:
    """Say whether no other process of this installation compiles at the moment."""
    with Path(__file__).open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True
