"""Boxes of all that can be seen, by semantic tag: what data collectors label pictures with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from sim.pocket.geometry import Rotation, Transform, Vector3, compose
from sim.pocket.protocol.values import BoundingBox
from sim.pocket.scene.build import Scene
from sim.pocket.scene.labels import CityObjectLabel
from sim.pocket.world.actors import TrafficLightActor, TrafficSign
from sim.pocket.world.episode import Episode

ANY_LABEL = 255
#: A signal head with its plate, and where its middle is above the place it hangs from.
_HEAD_HALF_EXTENT = Vector3(0.14, 0.32, 0.64)
_HEAD_MIDDLE_M = 0.54
#: Surfaces that are drawn but are no obstacles; each has a box per tile of the scene.
_SURFACES = (
    CityObjectLabel.ROADS,
    CityObjectLabel.SIDEWALKS,
    CityObjectLabel.ROAD_LINES,
    CityObjectLabel.TERRAIN,
)
_THINNEST_M = 0.01


class LevelObject(NamedTuple):
    """One thing with a box, world frame, and its `CityObjectLabel`."""

    box: BoundingBox
    tag: int


def level_objects(episode: Episode) -> Iterator[LevelObject]:
    """Yield what belongs to the map: obstacles, signs, lights, surfaces; always in one order."""
    scene = episode.whole_town.scene
    for item in (*scene.obstacles, *scene.signs):
        rotation = Rotation(0.0, item.yaw_deg, 0.0)
        yield LevelObject(BoundingBox(item.location, item.half_extent, rotation), item.tag)
    for light in episode.actors.of_class(TrafficLightActor):
        for box in light_boxes(scene, light):
            yield LevelObject(box, CityObjectLabel.TRAFFIC_LIGHT)
    yield from _surfaces(scene)


def actor_objects(episode: Episode) -> Iterator[LevelObject]:
    """Yield the vehicles, walkers and props; lights and signs belong to the map."""
    for actor in episode.actors:
        tag, box = actor.identity.semantic_tag, actor.identity.bounding_box
        if tag and not isinstance(actor, TrafficLightActor | TrafficSign):
            pose = compose(actor.transform, Transform(box.location, box.rotation))
            place = BoundingBox(pose.location, box.extent, pose.rotation, actor.id)
            yield LevelObject(place, tag)


def light_boxes(scene: Scene, actor: TrafficLightActor) -> list[BoundingBox]:
    """Return the boxes of a light's heads, world frame."""
    heads = [
        head.transform for head in scene.signal_heads if head.opendrive_id == actor.opendrive_id
    ]
    return [
        BoundingBox(
            pose.location._replace(z=pose.location.z + _HEAD_MIDDLE_M),
            _HEAD_HALF_EXTENT,
            Rotation(0.0, pose.rotation.yaw, 0.0),
            actor.id,
        )
        for pose in heads or [actor.transform]
    ]


def _surfaces(scene: Scene) -> Iterator[LevelObject]:
    """Yield a box around what every tile of the scene holds of each surface."""
    mesh, counts = scene.static, scene.tiles[:, 7].astype(np.int64)
    tile_of = np.repeat(np.arange(len(counts)), counts)
    for tag in _SURFACES:
        chosen = np.flatnonzero(mesh.tags == tag)
        if not len(chosen):
            continue
        corners = mesh.positions[mesh.triangles[chosen]].astype(np.float64)
        starts = np.flatnonzero(np.diff(tile_of[chosen], prepend=-1))
        lows = np.minimum.reduceat(corners.min(axis=1), starts, axis=0)
        highs = np.maximum.reduceat(corners.max(axis=1), starts, axis=0)
        middles = 0.5 * (lows + highs)
        halves = np.maximum(0.5 * (highs - lows), _THINNEST_M)
        for middle, half in zip(middles.tolist(), halves.tolist(), strict=True):
            yield LevelObject(BoundingBox(Vector3(*middle), Vector3(*half)), tag)
