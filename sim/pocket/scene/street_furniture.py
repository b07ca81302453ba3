"""Street lamps and traffic signs."""

from __future__ import annotations

import math
from collections.abc import Sequence

import carla
import numpy as np
from numpy.typing import NDArray

from sim.pocket.geometry import OrientedBox, Vector3
from sim.pocket.scene.labels import CityObjectLabel
from sim.pocket.scene.mesh import Material
from sim.pocket.scene.placing import Roadside, Site, free_spot, lanes_of_landmark, rectangle, square
from sim.pocket.scene.solids import Box, add_beam, add_box, add_prism, ring
from sim.pocket.scene.textures import SIGN_CELLS, SIGN_FACES

Array = NDArray[np.float64]

LAMP_SPACING_M = 32.0
LAMP_HEIGHT_M = 7.6
LAMP_ARM_M = 2.2
SIGN_HEIGHT_M = 2.3
SIGN_RADIUS_M = 0.38
SIGN_VIEW_M = 10.0
"""No tree grows this far before a sign."""
TRAFFIC_LIGHT_TYPE = "1000001"
SPEED_LIMIT_TYPE = "274"
_SIGN_TYPES = {"206": "stop", "205": "yield"}

STEEL = Material("plain", CityObjectLabel.POLES, (0.42, 0.44, 0.46))
_LAMP = Material("plain", CityObjectLabel.POLES, (0.3, 0.31, 0.33))
_SIGN_POLE = Material("plain", CityObjectLabel.POLES, (0.58, 0.6, 0.61))
_SIGN_FACE = Material("signs", CityObjectLabel.TRAFFIC_SIGNS)
_SIGN_BACK = Material("plain", CityObjectLabel.TRAFFIC_SIGNS, (0.55, 0.56, 0.57))


def add_pole(
    site: Site, foot: Array, top_z_m: float, radius_m: float, material: Material = STEEL
) -> float:
    """Stand a pole on the ground and make it an obstacle; return the height of its foot."""
    base = float(site.terrain.height(foot[0], foot[1])) - 0.3
    low = ring((foot[0], foot[1], base), radius_m, 4)
    high = ring((foot[0], foot[1], top_z_m), radius_m * 0.7, 4)
    add_prism(site.builder, [low, high], material)
    half = (top_z_m - base) / 2.0
    site.obstacles.append(
        OrientedBox(
            location=Vector3(float(foot[0]), float(foot[1]), base + half),
            half_extent=Vector3(radius_m, radius_m, half),
            yaw_deg=0.0,
            tag=material.tag,
        )
    )
    site.plan.take(square(foot, max(4.0 * radius_m, 0.8)))
    return base


def add_street_lamps(site: Site, sides: Sequence[Roadside]) -> Array:
    """Stand lamps behind the sidewalks, and beside fast roads at greater distance.

    Returns:
        (N, 3) places on the ground below their heads, metres.
    """
    lit = []
    for side in sides:
        if not side.urban and not side.highway:
            continue
        spacing = LAMP_SPACING_M if side.urban else 1.6 * LAMP_SPACING_M
        count = int(side.length_m / spacing)
        for index in range(count):
            distance = (index + 0.5) * side.length_m / count
            place, _ = side.at(distance, 0.6 if side.urban else 1.6)
            towards = side.at(distance, 0.0)[0] - place
            if site.plan.is_free(square(place, 0.6)):
                towards /= np.linalg.norm(towards)
                _add_lamp(site, place, towards)
                lit.append(place + towards * LAMP_ARM_M)
    return np.array(lit).reshape(-1, 3)


def _add_lamp(site: Site, place: Array, towards_road: Array) -> None:
    top = float(place[2]) + LAMP_HEIGHT_M
    add_pole(site, place, top, 0.11)
    head = np.array((place[0], place[1], top)) + towards_road * LAMP_ARM_M
    head[2] = top - 0.06
    add_beam(site.builder, (place[0], place[1], top - 0.06), head, 0.09, STEEL)
    yaw = math.atan2(float(towards_road[1]), float(towards_road[0]))
    box = Box(base=(head[0], head[1], top - 0.2), size=(0.75, 0.28, 0.14), yaw_rad=yaw)
    add_box(site.builder, box, _LAMP, _LAMP)


def add_traffic_signs(site: Site, carla_map: carla.Map) -> list[OrientedBox]:
    """Stand the map's static signs beside the road, facing the traffic they speak to.

    Returns:
        The boxes of their faces, too high to be run into.
    """
    seen, boxes = set(), []
    for landmark in carla_map.get_all_landmarks():
        if landmark.type == TRAFFIC_LIGHT_TYPE or landmark.id in seen:
            continue
        face = _face_of(landmark)
        lanes = lanes_of_landmark(carla_map, landmark)
        if face is None or not lanes:
            continue
        seen.add(landmark.id)
        waypoint = lanes[0]
        right = waypoint.transform.get_right_vector()
        location = landmark.transform.location
        outward = np.array((right.x, right.y))
        foot = free_spot(site.plan, np.array((location.x, location.y)), outward, 0.6)
        if foot is not None:
            yaw_rad = math.radians(waypoint.transform.rotation.yaw) + math.pi
            road_z_m = float(waypoint.transform.location.z)
            boxes.append(_add_sign(site, foot, road_z_m, yaw_rad, face))
    return boxes


def _face_of(landmark: carla.Landmark) -> str | None:
    """Return the face of a sign in the atlas, or None if we have no picture of it."""
    if landmark.type in _SIGN_TYPES:
        return _SIGN_TYPES[landmark.type]
    if landmark.type != SPEED_LIMIT_TYPE:
        return None
    for text in (landmark.sub_type, f"{landmark.value:.0f}"):
        if text in SIGN_FACES:
            return text
    return None


def _add_sign(site: Site, foot: Array, road_z_m: float, yaw_rad: float, face: str) -> OrientedBox:
    """Add a pole with a disc that looks along `yaw_rad`; return the disc's box."""
    centre_z = road_z_m + SIGN_HEIGHT_M
    add_pole(site, foot, centre_z + SIGN_RADIUS_M * 0.8, 0.05, _SIGN_POLE)
    ahead = foot + np.array((math.cos(yaw_rad), math.sin(yaw_rad))) * SIGN_VIEW_M / 2.0
    site.plan.take(rectangle(ahead, (SIGN_VIEW_M, 1.6), yaw_rad))
    angle = np.arange(10) * 2.0 * np.pi / 10 + np.pi / 2
    sideways, up = np.cos(angle), np.sin(angle)
    forward = np.array((math.cos(yaw_rad), math.sin(yaw_rad), 0.0))
    # seen from its front, a sign's left is on the right hand of its own forward axis
    left = np.array((math.sin(yaw_rad), -math.cos(yaw_rad), 0.0)) * -1.0
    rim = SIGN_RADIUS_M * (sideways[:, None] * -left + up[:, None] * np.array((0.0, 0.0, 1.0)))
    centre = np.array((foot[0], foot[1], centre_z)) + forward * 0.07
    row, column = divmod(SIGN_FACES.index(face), SIGN_CELLS)
    uvs = np.stack([column + 0.5 + 0.46 * sideways, row + 0.5 + 0.46 * up], 1) / SIGN_CELLS
    fan = [(0, index, index + 1) for index in range(1, 9)]
    site.builder.add(_SIGN_FACE, centre + rim, forward, uvs, fan)
    site.builder.add(_SIGN_BACK, centre - forward * 0.02 + rim, -forward, uvs, fan)
    return OrientedBox(
        location=Vector3(*(float(side) for side in centre - forward * 0.01)),
        half_extent=Vector3(0.02, SIGN_RADIUS_M, SIGN_RADIUS_M),
        yaw_deg=math.degrees(yaw_rad),
        tag=CityObjectLabel.TRAFFIC_SIGNS,
    )
