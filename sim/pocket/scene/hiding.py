"""Scenes without some of their things: map layers that were unloaded, objects that were disabled.

A triangle belongs to the thing of its tag whose box it lies in, or, since crowns are wider than
trunks and lamps hang from arms, to the nearest one.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from sim.pocket.geometry import OrientedBox
from sim.pocket.scene.build import Scene, sort_into_tiles
from sim.pocket.scene.labels import CityObjectLabel
from sim.pocket.scene.mesh import Mesh, reorder_triangles
from sim.pocket.scene.textures import texture_index

#: Parts of a thing are at most so far from the middle of its box.
_REACH_M = 12.0
#: Walls stand this far outside the box that stops a vehicle, at most.
_MARGIN_M = 0.6

#: What CARLA's map layers hold, by flag of ``carla.MapLayer``. Other layers hold nothing here.
LAYER_TAGS = {
    1: CityObjectLabel.BUILDINGS,
    4: CityObjectLabel.VEGETATION,
}


def find_owners(scene: Scene) -> NDArray[np.int64]:
    """Return for each of the T triangles of a scene whose it is.

    Returns:
        (T,) int64, an index into the obstacles and then the signs of the scene; -1 for what
        belongs to none, such as roads.
    """
    from scipy.spatial import KDTree  # most servers hide nothing, and it takes half a second

    mesh = scene.static
    middles = mesh.positions[mesh.triangles].astype(np.float64).mean(axis=1)
    owners = np.full(len(middles), -1, np.int64)
    things = (*scene.obstacles, *scene.signs)
    tags = np.array([thing.tag for thing in things], np.int64)
    for tag in set(tags.tolist()):
        rows, numbers = np.flatnonzero(_stands(mesh, [tag])), np.flatnonzero(tags == tag)
        if not len(rows):
            continue
        centres = np.array([things[number].location[:2] for number in numbers])
        places = middles[rows]
        distance_m, nearest = KDTree(centres).query(places[:, :2])
        near = distance_m <= _REACH_M
        owners[rows[near]] = numbers[nearest[near]]
        if tag == CityObjectLabel.BUILDINGS:
            for number in numbers.tolist():
                owners[rows[_within(places, scene.obstacles[number])]] = number
    return owners


def without(
    scene: Scene, owners: NDArray[np.int64], tags: Collection[int], numbers: Collection[int]
) -> Scene:
    """Return a scene without all things of some tags, and without some single ones.

    Args:
        scene: The whole one.
        owners: See `find_owners`.
        tags: What is hidden altogether.
        numbers: Indices of hidden things into the obstacles and then the signs.
    """
    mesh = scene.static
    hidden = _stands(mesh, tags) | np.isin(owners, list(numbers))
    static, tiles = sort_into_tiles(reorder_triangles(mesh, np.flatnonzero(~hidden)))
    count = len(scene.obstacles)
    return dataclasses.replace(
        scene,
        static=static,
        tiles=tiles,
        obstacles=tuple(
            thing
            for number, thing in enumerate(scene.obstacles)
            if thing.tag not in tags and number not in numbers
        ),
        signs=tuple(
            thing
            for number, thing in enumerate(scene.signs, start=count)
            if thing.tag not in tags and number not in numbers
        ),
    )


def _stands(mesh: Mesh, tags: Collection[int]) -> NDArray[np.bool_]:
    """Say of each triangle whether it has one of the tags and is no ground, as below woods."""
    stands: NDArray[np.bool_] = np.isin(mesh.tags, list(tags))
    stands &= mesh.textures != texture_index("grass")
    return stands


def _within(places: NDArray[np.float64], box: OrientedBox) -> NDArray[np.bool_]:
    yaw = math.radians(box.yaw_deg)
    offsets = places - np.asarray(box.location)
    along = offsets[:, 0] * math.cos(yaw) + offsets[:, 1] * math.sin(yaw)
    across = -offsets[:, 0] * math.sin(yaw) + offsets[:, 1] * math.cos(yaw)
    half = box.half_extent
    within: NDArray[np.bool_] = np.abs(across) <= half.y + _MARGIN_M
    within &= np.abs(along) <= half.x + _MARGIN_M
    return within
