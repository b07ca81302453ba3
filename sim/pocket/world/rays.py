"""Rays against ground, scenery and actors, for clients that ask what is where."""

from __future__ import annotations

import math
from typing import NamedTuple

import carla
import numpy as np

from sim.pocket.geometry import OrientedBox, Vector3
from sim.pocket.scene.labels import CityObjectLabel
from sim.pocket.sensors.surroundings import Surroundings
from sim.pocket.world.episode import Episode
from sim.pocket.world.town import Town

#: The ground is looked for in steps of this length, at most so many.
_STEP_M = 1.0
_MOST_STEPS = 1000
_BISECTIONS = 20


class RayHit(NamedTuple):
    """Where a ray meets something, and what."""

    location: Vector3
    label: int


def cast(episode: Episode, start: Vector3, end: Vector3) -> list[RayHit]:
    """Return what lies between two points, near to far.

    Boxes of the scenery count where the ray enters them, actors where it first meets a triangle of
    their models, the ground where the ray first goes below it. Rays longer than a kilometre are
    looked at more coarsely.
    """
    town = episode.town
    hits = [
        (share, RayHit(_between(start, end, share), item.tag))
        for item in town.scene.obstacles
        if (share := _entry(item, start, end)) is not None
    ]
    length_m = math.dist(start, end)
    for distance_m, label in Surroundings(episode).actors_between(start, end):
        share = distance_m / length_m
        hits.append((share, RayHit(_between(start, end, share), label)))
    ground = _ground_share(town, start, end)
    if ground is not None:
        location = _between(start, end, ground)
        hits.append((ground, RayHit(location, _ground_label(town, location))))
    return [hit for _share, hit in sorted(hits, key=lambda pair: pair[0])]


def _between(start: Vector3, end: Vector3, share: float) -> Vector3:
    return Vector3(*(a + (b - a) * share for a, b in zip(start, end, strict=True)))


def _entry(item: OrientedBox, start: Vector3, end: Vector3) -> float | None:
    """Return the share of the way at which a ray enters a box, or None (slab method)."""
    yaw = math.radians(item.yaw_deg)
    cos_yaw, sin_yaw = math.cos(yaw), math.sin(yaw)
    offset = np.subtract(start, item.location)
    way = np.subtract(end, start)
    turn = np.array([[cos_yaw, sin_yaw, 0.0], [-sin_yaw, cos_yaw, 0.0], [0.0, 0.0, 1.0]])
    first, last = 0.0, 1.0
    for place, move, half in zip(turn @ offset, turn @ way, item.half_extent, strict=True):
        if abs(move) < 1e-12:
            if abs(place) > half:
                return None
            continue
        near, far = sorted(((-half - place) / move, (half - place) / move))
        first, last = max(first, near), min(last, far)
        if first > last:
            return None
    return float(first) if first > 0.0 else None


def _ground_share(town: Town, start: Vector3, end: Vector3) -> float | None:
    def above(share: float) -> float:
        point = _between(start, end, share)
        return point.z - town.ground.sample(*point).z_m

    if above(0.0) < 0.0:
        return None
    flat = start.x == end.x and start.y == end.y
    steps = 1 if flat else min(_MOST_STEPS, max(1, math.ceil(math.dist(start, end) / _STEP_M)))
    for number in range(1, steps + 1):
        if above(number / steps) > 0.0:
            continue
        low, high = (number - 1) / steps, number / steps
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2.0
            low, high = (middle, high) if above(middle) > 0.0 else (low, middle)
        return high
    return None


def _ground_label(town: Town, location: Vector3) -> int:
    point = carla.Location(*location)
    for lane_type, label in (
        (carla.LaneType.Driving, CityObjectLabel.ROADS),
        (carla.LaneType.Sidewalk, CityObjectLabel.SIDEWALKS),
    ):
        if town.map.carla_map.get_waypoint(point, False, lane_type) is not None:
            return label
    return CityObjectLabel.TERRAIN
