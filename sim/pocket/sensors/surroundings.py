"""What rays of a sensor meet: the scenery, vehicles, walkers, props and traffic lights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.pocket.geometry import Transform, rotation_matrix
from sim.pocket.sensors.ray_kernels import Nearest, cast_rays
from sim.pocket.sensors.ray_tree import RayTree, build_tree
from sim.pocket.world.actors import Actor, Sensor
from sim.pocket.world.episode import Episode
from sim.pocket.world.visible import visible_things

_SCENERY = "scenery"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hits:
    """The first surface on each of N rays.

    Attributes:
        distance_m: (N,) float64; infinite where a ray meets nothing.
        actor_ids: (N,) uint32; 0 for the scenery and for nothing.
        velocities: (N, 3) float64, m/s, world frame; of the actor's origin.
        tags: (N,) uint8, `CityObjectLabel`.
        cosines: (N,) float64; of the angle between the ray and the surface's normal, 0..1.
    """

    distance_m: NDArray[np.float64]
    actor_ids: NDArray[np.uint32]
    velocities: NDArray[np.float64]
    tags: NDArray[np.uint8]
    cosines: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Thing:
    tree: RayTree
    transform: Transform
    actor: Actor | None


def cast_from(
    sensor: Sensor, episode: Episode, directions: NDArray[np.float64], limit_m: NDArray[np.float64]
) -> Hits:
    """Cast rays from a sensor.

    The vehicle that carries the sensor is met, too, but its surfaces only from their front: a
    sensor that stands inside the body looks out, as in CARLA.

    Args:
        sensor: Where the rays start.
        episode: What they may meet.
        directions: (N, 3) unit vectors, the sensor's frame.
        limit_m: (N,) how far each of them reaches.
    """
    turn = rotation_matrix(sensor.transform.rotation)
    eye = np.array(sensor.transform.location)
    rays = np.ascontiguousarray(directions @ turn.T)
    nearest = Nearest(
        np.array(limit_m, np.float64),
        np.full(len(rays), -1, np.int32),
        np.zeros(len(rays), np.int32),
    )
    things = [
        thing
        for thing in _things(episode)
        if thing.actor is None or thing.actor.id not in sensor.ignored_ids
    ]
    solid = episode.town.solid_texels
    furthest_m = float(limit_m.max(initial=0.0))
    for number, thing in enumerate(things):
        axes = rotation_matrix(thing.transform.rotation)
        origin = (eye - np.array(thing.transform.location)) @ axes
        if _gap_m(thing.tree, origin) > furthest_m:
            continue
        carrier = thing.actor is not None and thing.actor.id == sensor.identity.parent_id
        cast_rays(thing.tree, solid, origin, axes, rays, carrier, number, nearest)
    return _hits(things, rays, nearest)


def _hits(things: list[_Thing], rays: NDArray[np.float64], nearest: Nearest) -> Hits:
    owners, rows = nearest.owners, nearest.rows
    hits = Hits(
        distance_m=np.where(owners >= 0, nearest.distance_m, np.inf),
        actor_ids=np.zeros(len(rays), np.uint32),
        velocities=np.zeros((len(rays), 3)),
        tags=np.zeros(len(rays), np.uint8),
        cosines=np.zeros(len(rays)),
    )
    for number in np.unique(owners[owners >= 0]):
        thing = things[number]
        mine = np.flatnonzero(owners == number)
        edges = thing.tree.triangles[rows[mine], 3:]
        normals = np.cross(edges[:, :3], edges[:, 3:]) @ rotation_matrix(thing.transform.rotation).T
        normals /= np.linalg.norm(normals, axis=1, keepdims=True)
        hits.cosines[mine] = np.abs((normals * rays[mine]).sum(axis=1))
        hits.tags[mine] = thing.tree.tags[rows[mine]]
        if thing.actor is not None:
            hits.actor_ids[mine] = thing.actor.id
            hits.velocities[mine] = thing.actor.motion[0]
    return hits


def _things(episode: Episode) -> list[_Thing]:
    trees = episode.town.ray_trees
    if _SCENERY not in trees:
        trees[_SCENERY] = build_tree(episode.town.scene.static)
    things = [_Thing(trees[_SCENERY], Transform(), None)]
    for seen in visible_things(episode):
        if seen.mesh_key not in trees:
            trees[seen.mesh_key] = build_tree(seen.make_mesh())
        things.append(_Thing(trees[seen.mesh_key], seen.transform, seen.actor))
    return things


def _gap_m(tree: RayTree, place: NDArray[np.float64]) -> float:
    """Return how far a place is from the box around a mesh."""
    low, high = tree.boxes[1, :3], tree.boxes[1, 3:]
    return float(np.linalg.norm(place - np.clip(place, low, high)))
