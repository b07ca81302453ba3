"""Transforms in CARLA's left-handed world frame (x forward, y right, z up).

Angles are degrees, as everywhere on CARLA's wire: positive pitch lifts the nose, positive yaw turns
x towards y (right), positive roll lowers the right side. The order is yaw, then pitch, then roll.
"""

from __future__ import annotations

import functools
import math
import operator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bicameral.units import wrap_deg


class Vector3(NamedTuple):
    """Three numbers: a location in metres, a velocity in m/s, ..."""

    x: float = 0.0
    y: float = 0.0
    z: float = 0.0


class Rotation(NamedTuple):
    """Pitch, yaw and roll in degrees, in the order of the wire."""

    pitch: float = 0.0
    yaw: float = 0.0
    roll: float = 0.0


class Transform(NamedTuple):
    """A location in metres and a rotation in degrees."""

    location: Vector3 = Vector3()
    rotation: Rotation = Rotation()


@dataclass(frozen=True, slots=True, kw_only=True)
class OrientedBox:
    """An upright box, world frame.

    Attributes:
        location: Centre, m.
        half_extent: Half of length, width and height, m.
        yaw_deg: Direction of the length.
        tag: CityObjectLabel of what it stands for.
    """

    location: Vector3
    half_extent: Vector3
    yaw_deg: float
    tag: int = 0


def rotation_matrix(rotation: Rotation) -> NDArray[np.float64]:
    """Return the (3, 3) matrix whose columns are the forward, right and up axes."""
    pitch, yaw, roll = (math.radians(angle) for angle in rotation)
    cp, sp = math.cos(pitch), math.sin(pitch)
    cy, sy = math.cos(yaw), math.sin(yaw)
    cr, sr = math.cos(roll), math.sin(roll)
    return np.array(
        [
            [cp * cy, cy * sp * sr - sy * cr, -cy * sp * cr - sy * sr],
            [cp * sy, sy * sp * sr + cy * cr, -sy * sp * cr + cy * sr],
            [sp, -cp * sr, cp * cr],
        ]
    )


@functools.lru_cache(maxsize=4096)
def known_rotation_matrix(rotation: Rotation) -> NDArray[np.float64]:
    """Return the matrix of a rotation that is asked for again and again; it cannot be changed."""
    # 0.0 and -0.0 are equal: which of them is asked for first must not decide what the other gets.
    matrix = rotation_matrix(Rotation(*(angle + 0.0 for angle in rotation)))
    matrix.setflags(write=False)
    return matrix


def rotation_from_matrix(matrix: NDArray[np.float64]) -> Rotation:
    """Invert `rotation_matrix`; pitch in [-90, 90], yaw and roll in (-180, 180]."""
    (forward_x, _, _), (forward_y, _, _), (forward_z, right_z, up_z) = matrix.tolist()
    pitch = math.degrees(math.asin(max(-1.0, min(1.0, forward_z))))
    yaw = math.degrees(math.atan2(forward_y, forward_x))
    roll = math.degrees(math.atan2(-right_z, up_z))
    return Rotation(pitch, yaw, roll)


def between(one: Transform, other: Transform, share: float) -> Transform:
    """Return the pose at a share of the way from one to another; angles the short way round."""
    place = (a + share * (b - a) for a, b in zip(one.location, other.location, strict=True))
    turn = (a + share * wrap_deg(b - a) for a, b in zip(one.rotation, other.rotation, strict=True))
    return Transform(Vector3(*place), Rotation(*turn))


def compose(parent: Transform, relative: Transform) -> Transform:
    """Return the world transform of something mounted at `relative` on `parent`."""
    turn = known_rotation_matrix(parent.rotation)
    offset = turn @ np.asarray(relative.location)
    location = Vector3(*map(operator.add, parent.location, offset.tolist()))
    rotation = rotation_from_matrix(turn @ known_rotation_matrix(relative.rotation))
    return Transform(location, rotation)
