"""Transforms in CARLA's left-handed world frame (x forward, y right, z up).

Angles are degrees, as everywhere on CARLA's wire: positive pitch lifts the nose, positive yaw turns
x towards y (right), positive roll lowers the right side. The order is yaw, then pitch, then roll.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


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


def rotation_from_matrix(matrix: NDArray[np.float64]) -> Rotation:
    """Invert `rotation_matrix`; pitch in [-90, 90], yaw and roll in (-180, 180]."""
    pitch = math.degrees(math.asin(max(-1.0, min(1.0, float(matrix[2, 0])))))
    yaw = math.degrees(math.atan2(float(matrix[1, 0]), float(matrix[0, 0])))
    roll = math.degrees(math.atan2(-float(matrix[2, 1]), float(matrix[2, 2])))
    return Rotation(pitch, yaw, roll)


def compose(parent: Transform, relative: Transform) -> Transform:
    """Return the world transform of something mounted at `relative` on `parent`."""
    turn = rotation_matrix(parent.rotation)
    offset = turn @ np.asarray(relative.location)
    location = Vector3(*(float(a + b) for a, b in zip(parent.location, offset, strict=True)))
    rotation = rotation_from_matrix(turn @ rotation_matrix(relative.rotation))
    return Transform(location, rotation)
