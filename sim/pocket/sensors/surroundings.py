"""What rays of a sensor meet: the scenery, vehicles, walkers, props and traffic lights."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Set
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.pocket.geometry import Transform, Vector3, rotation_matrix
from sim.pocket.sensors.ray_kernels import Nearest, cast_packets, cones_of
from sim.pocket.sensors.ray_tree import RayTree, build_tree
from sim.pocket.sensors.sweep_kernels import sweep_sphere
from sim.pocket.world.actors import Actor, Sensor
from sim.pocket.world.episode import Episode

Array = NDArray[np.float64]

_SCENERY = "scenery"
#: A cone that touches every other one.
_EVERYWHERE = np.array((1.0, 0.0, 0.0, -1.0, 0.0))


class Thing:
    """A mesh at its place.

    Args:
        tree: Of the mesh.
        transform: Pose of its origin, world frame.
        actor: What it is; None for the scenery.
    """

    def __init__(self, tree: RayTree, transform: Transform, actor: Actor | None) -> None:
        self.tree = tree
        self.transform = transform
        self.actor = actor

    @functools.cached_property
    def axes(self) -> Array:
        """(3, 3) the columns are the axes of the mesh in the world."""
        return rotation_matrix(self.transform.rotation)

    def is_within(self, reach_m: float, place: Vector3) -> bool:
        """Say whether a ray of a length that starts at a place may meet it."""
        gap_m = math.dist(place, self.transform.location) - self.tree.radius_m
        return self.actor is None or gap_m <= reach_m

    def cone_from(self, place: Vector3) -> Array:
        """Return the cone around it as it is seen from a place; see `ray_kernels.cones_of`."""
        radius_m = self.tree.radius_m
        distance_m = math.dist(place, self.transform.location)
        if self.actor is None or distance_m <= radius_m * 1.001:
            return _EVERYWHERE
        sine = radius_m / distance_m
        direction = np.subtract(self.transform.location, place) / distance_m
        return np.array((*direction, math.sqrt(1.0 - sine * sine), sine))


@dataclass(frozen=True, slots=True, kw_only=True)
class Hits:
    """The first surface on each of N rays; what else is known of it is worked out when asked.

    Attributes:
        distance_m: (N,) float64; infinite where a ray meets nothing.
        things: What rays were cast at.
        rays: (N, 3) float64, unit vectors, world frame.
        nearest: Which of the things, and which of its triangles.
    """

    distance_m: Array
    things: list[Thing]
    rays: Array
    nearest: Nearest

    def actor_ids(self) -> NDArray[np.uint32]:
        """Return the (N,) actors; 0 for the scenery and for nothing."""
        ids = [0 if thing.actor is None else thing.actor.id for thing in self.things]
        return np.array([*ids, 0], np.uint32)[self.nearest.owners]

    def velocities(self) -> Array:
        """Return how fast the origins of the actors move, (N, 3) m/s, world frame."""
        still = (0.0, 0.0, 0.0)
        motion = [still if t.actor is None else t.actor.motion[0] for t in self.things]
        return np.array([*motion, still])[self.nearest.owners]

    def tags(self) -> NDArray[np.uint8]:
        """Return the (N,) classes, `CityObjectLabel`; 0 for nothing."""
        tags = np.zeros(len(self.rays), np.uint8)
        for thing, mine in self._met():
            tags[mine] = thing.tree.tags[self.nearest.rows[mine]]
        return tags

    def cosines(self) -> Array:
        """Return the (N,) cosines of the angles between rays and normals, 0 to 1."""
        cosines = np.zeros(len(self.rays))
        for thing, mine in self._met():
            normals = thing.tree.normals[self.nearest.rows[mine]]
            cosines[mine] = np.abs((normals * (self.rays[mine] @ thing.axes)).sum(axis=1))
        return cosines

    def _met(self) -> Iterator[tuple[Thing, NDArray[np.intp]]]:
        owners = self.nearest.owners
        for number in np.flatnonzero(np.bincount(owners + 1)[1:]):
            yield self.things[number], np.flatnonzero(owners == number)


class Surroundings:
    """Everything that rays may meet, as it stands after a tick.

    Args:
        episode: Whose things they are; the trees of their meshes are kept with its town.
    """

    def __init__(self, episode: Episode) -> None:
        self._episode = episode

    @functools.cached_property
    def things(self) -> list[Thing]:
        """The scenery first, then what moves."""
        trees = self._episode.town.ray_trees
        if _SCENERY not in trees:
            trees[_SCENERY] = build_tree(self._episode.town.scene.static)
        return [Thing(trees[_SCENERY], Transform(), None), *self._moving]

    @functools.cached_property
    def _moving(self) -> list[Thing]:
        trees = self._episode.town.ray_trees
        things = []
        for seen in self._episode.visible:
            key = seen.instance.mesh_key
            if key not in trees:
                trees[key] = build_tree(seen.make_mesh())
            things.append(Thing(trees[key], seen.instance.transform, seen.actor))
        return things

    def cast_from(self, sensor: Sensor, directions: Array, limit_m: Array) -> Hits:
        """Cast rays from a sensor.

        The vehicle that carries the sensor is met, too, but its surfaces only from their front: a
        sensor that stands inside the body looks out, as in CARLA.

        Args:
            sensor: Where the rays start.
            directions: (N, 3) unit vectors, the sensor's frame.
            limit_m: (N,) how far each of them reaches.
        """
        rays = np.ascontiguousarray(directions @ rotation_matrix(sensor.transform.rotation).T)
        eye = sensor.transform.location
        things = _near(self.things, eye, float(limit_m.max(initial=0.0)), sensor.ignored_ids)
        return self._cast(things, eye, rays, limit_m, sensor.identity.parent_id)

    def sweep_from(
        self, sensor: Sensor, radius_m: float, limit_m: float, *, only_actors: bool
    ) -> tuple[Thing, float, int] | None:
        """Move a ball ahead from a sensor until it touches anything but what carries the sensor.

        Args:
            sensor: Where the ball starts, and whose x axis it follows.
            radius_m: Of the ball.
            limit_m: How far it moves at most.
            only_actors: Whether it passes through what belongs to the map.

        Returns:
            What it touches first, how far it has moved then (0 where it touches from the start)
            and the class of the surface; None if it touches nothing.
        """
        place = sensor.transform.location
        ahead = rotation_matrix(sensor.transform.rotation)[:, 0]
        ignored = {*sensor.ignored_ids, sensor.identity.parent_id}
        found = None
        for thing in _near(self.things, place, limit_m + radius_m, ignored):
            if only_actors and (thing.actor is None or thing.actor.type_id.startswith("traffic.")):
                continue
            origin = np.subtract(place, thing.transform.location) @ thing.axes
            moved_m, row = sweep_sphere(thing.tree, origin, ahead @ thing.axes, radius_m, limit_m)
            if row >= 0:
                limit_m = moved_m
                found = (thing, moved_m, int(thing.tree.tags[row]))
        return found

    def actors_between(self, start: Vector3, end: Vector3) -> list[tuple[float, int]]:
        """Return where a ray enters each actor on its way, m from the start, and its class."""
        way = np.subtract(end, start)
        length_m = float(np.linalg.norm(way))
        if length_m == 0.0:
            return []
        ray, limit_m = (way / length_m)[None], np.array([length_m])
        met = []
        for thing in _near(self._moving, start, length_m):
            hits = self._cast([thing], start, ray, limit_m)
            if math.isfinite(hits.distance_m[0]):
                met.append((float(hits.distance_m[0]), int(hits.tags()[0])))
        return met

    def _cast(
        self, things: list[Thing], place: Vector3, rays: Array, limit_m: Array, carrier: int = 0
    ) -> Hits:
        """Cast rays, (N, 3) unit vectors in the world, at things; the carrier is one-sided."""
        count = len(rays)
        nearest = Nearest(
            np.array(limit_m, np.float64), np.full(count, -1, np.int32), np.zeros(count, np.int32)
        )
        cones = cones_of(rays)
        solid = self._episode.town.solid_texels
        for number, thing in enumerate(things):
            origin = np.subtract(place, thing.transform.location) @ thing.axes
            carries = thing.actor is not None and thing.actor.id == carrier
            target = thing.cone_from(place)
            cast_packets(
                thing.tree, solid, origin, thing.axes, rays, cones, target, carries, number, nearest
            )
        distance_m = np.where(nearest.owners >= 0, nearest.distance_m, np.inf)
        return Hits(distance_m=distance_m, things=things, rays=rays, nearest=nearest)


def _near(
    things: list[Thing], place: Vector3, reach_m: float, ignored: Set[int] = frozenset()
) -> list[Thing]:
    """Return what is within reach of a place, but for some actors."""
    return [
        thing
        for thing in things
        if thing.is_within(reach_m, place)
        and (thing.actor is None or thing.actor.id not in ignored)
    ]
