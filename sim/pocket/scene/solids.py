"""Boxes, prisms and beams: what buildings, poles and vehicles are put together from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim.pocket.scene.mesh import Material, MeshBuilder

Array = NDArray[np.float64]

_CORNERS = np.array(
    [(x, y, z) for z in (-1.0, 1.0) for x, y in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
)
_SIDES = np.array([[0, 1, 5, 4], [1, 2, 6, 5], [2, 3, 7, 6], [3, 0, 4, 7]])
_SIDE_NORMALS = np.array([(0.0, -1.0, 0.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (-1.0, 0.0, 0.0)])
_UNIT_UVS = np.array([(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """An upright box: middle of its underside, full size (m), yaw (rad)."""

    base: tuple[float, float, float]
    size: tuple[float, float, float]
    yaw_rad: float = 0.0


def turn(points: ArrayLike, yaw_rad: float) -> Array:
    """Rotate (..., 2) or (..., 3) points about the z axis, x towards y."""
    result = np.array(points, np.float64)
    cosine, sine = np.cos(yaw_rad), np.sin(yaw_rad)
    x, y = result[..., 0].copy(), result[..., 1].copy()
    result[..., 0] = cosine * x - sine * y
    result[..., 1] = sine * x + cosine * y
    return result


def upright(left: Array, right: Array, low_z: float, high_z: float) -> Array:
    """Return (N, 4, 3) corners of upright rectangles over lines (N, 2) from left to right."""
    corners = np.stack([left, right, right, left], axis=1)
    heights = np.array((low_z, low_z, high_z, high_z))
    return np.dstack([corners, np.broadcast_to(heights, corners.shape[:2])])


def add_box(
    builder: MeshBuilder,
    box: Box,
    sides: Material,
    top: Material | None,
    repeat_m: float = 4.0,
) -> None:
    """Add the four sides of a box and, unless `top` is None, its lid."""
    half = np.array(box.size) / 2.0
    corners = turn(_CORNERS * half, box.yaw_rad) + np.array(box.base) + (0.0, 0.0, half[2])
    lengths = np.array((box.size[0], box.size[1], box.size[0], box.size[1])) / repeat_m
    uvs = _UNIT_UVS * np.stack([lengths, np.full(4, box.size[2] / repeat_m)], 1)[:, None, :]
    builder.add_quads(sides, corners[_SIDES], turn(_SIDE_NORMALS, box.yaw_rad), uvs)
    if top is not None:
        lid = _UNIT_UVS * np.array(box.size[:2]) / repeat_m
        builder.add_quads(top, corners[4:][None], (0.0, 0.0, 1.0), lid)


def add_prism(
    builder: MeshBuilder, rings: ArrayLike, material: Material, *, closed_top: bool = True
) -> None:
    """Add an upright solid between rings of equally many corners, from bottom to top.

    Args:
        builder: Where to add it.
        rings: (R, N, 3) corners of each ring, metres.
        material: Its texture, tag and colour; one texture repeat goes round it and up it.
        closed_top: Whether to close the last ring.
    """
    stack = np.asarray(rings, np.float64)
    following = np.roll(stack, -1, axis=1)
    corners = np.stack([stack[:-1], following[:-1], following[1:], stack[1:]], axis=2)
    quads = corners.reshape(-1, 4, 3)
    middle = stack.reshape(-1, 3).mean(axis=0)
    normals = np.cross(quads[:, 1] - quads[:, 0], quads[:, 3] - quads[:, 0])
    degenerate = np.linalg.norm(normals, axis=1) < 1e-9
    normals[degenerate] = (quads.mean(axis=1) - middle)[degenerate]
    outwards = np.einsum("ij,ij->i", normals, quads.mean(axis=1) - middle)
    normals *= np.where(outwards < 0.0, -1.0, 1.0)[:, None]
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    builder.add_quads(material, quads, normals, _UNIT_UVS)
    if closed_top:
        count = stack.shape[1]
        fan = [(0, index, index + 1) for index in range(1, count - 1)]
        builder.add(material, stack[-1], (0.0, 0.0, 1.0), stack[-1][:, :2] * 0.25, fan)


def ring(centre: ArrayLike, radius_m: float, count: int) -> Array:
    """Return (count, 3) corners of a level regular polygon round `centre`."""
    angle = np.arange(count) * 2.0 * np.pi / count + np.pi / count
    offsets = np.stack([np.cos(angle), np.sin(angle), np.zeros(count)], axis=1)
    return np.asarray(centre, np.float64) + radius_m * offsets


def add_beam(
    builder: MeshBuilder, start: ArrayLike, end: ArrayLike, width_m: float, material: Material
) -> None:
    """Add a level bar with square section between two points."""
    first, last = np.asarray(start, np.float64), np.asarray(end, np.float64)
    along = last - first
    length = float(np.linalg.norm(along))
    middle = (first + last) / 2.0
    yaw = float(np.arctan2(along[1], along[0]))
    box = Box(
        base=(middle[0], middle[1], middle[2] - width_m / 2.0),
        size=(length, width_m, width_m),
        yaw_rad=yaw,
    )
    add_box(builder, box, material, material)
