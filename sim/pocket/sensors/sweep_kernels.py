"""A ball that moves straight ahead until it touches a triangle of a tree, compiled."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from sim.pocket.compiled import compiled, compiled_part
from sim.pocket.sensors.ray_tree import RayTree

Array = NDArray[np.float64]

_DEEPEST = 64
_PARALLEL = 1e-12


@compiled_part
def _dot(a: Array, b: Array) -> float:
    return float(a[0] * b[0] + a[1] * b[1] + a[2] * b[2])


@compiled_part
def _cross(a: Array, b: Array) -> Array:
    return np.array(
        (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])
    )


@compiled_part
def _enters(box: Array, origin: Array, way: Array, radius: float, limit: float) -> bool:
    """Say whether the middle of the ball comes as near to a box as its radius."""
    first, last = 0.0, limit
    for axis in range(3):
        low = box[axis] - radius - origin[axis]
        high = box[3 + axis] + radius - origin[axis]
        if abs(way[axis]) < _PARALLEL:
            if low > 0.0 or high < 0.0:
                return False
            continue
        one, other = low / way[axis], high / way[axis]
        first = max(first, min(one, other))
        last = min(last, max(one, other))
    return first <= last


@compiled_part
def _onto_corner(corner: Array, origin: Array, way: Array, radius: float) -> float:
    """Return how far the ball moves until it touches a point, or infinity."""
    offset = origin - corner
    outside = _dot(offset, offset) - radius * radius
    if outside <= 0.0:
        return 0.0
    along = _dot(offset, way)
    under_root = along * along - outside
    return -along - math.sqrt(under_root) if under_root >= 0.0 and along < 0.0 else np.inf


@compiled_part
def _onto_edge(corner: Array, edge: Array, origin: Array, way: Array, radius: float) -> float:
    """Return how far the ball moves until it touches an edge between its ends, or infinity."""
    length = math.sqrt(_dot(edge, edge))
    if length < _PARALLEL:
        return np.inf
    axis = edge / length
    offset = origin - corner
    place, speed = _dot(offset, axis), _dot(way, axis)
    aside, sideways = offset - place * axis, way - speed * axis
    outside = _dot(aside, aside) - radius * radius
    if outside <= 0.0:
        moved = 0.0
    else:
        square, along = _dot(sideways, sideways), _dot(aside, sideways)
        under_root = along * along - square * outside
        if under_root < 0.0 or along >= 0.0 or square < _PARALLEL:
            return np.inf
        moved = (-along - math.sqrt(under_root)) / square
    return moved if 0.0 <= place + moved * speed <= length else np.inf


@compiled_part
def _onto_face(triangle: Array, origin: Array, way: Array, radius: float) -> float:
    """Return how far the ball moves until it touches the inside of a triangle, or infinity."""
    a, b = triangle[3:6], triangle[6:9]
    normal = _cross(a, b)
    square = _dot(normal, normal)
    if square < _PARALLEL:
        return np.inf
    offset = origin - triangle[:3]
    height = _dot(offset, normal) / math.sqrt(square)
    moved = 0.0
    if abs(height) > radius:
        sinking = -_dot(way, normal) / math.sqrt(square) * (1.0 if height > 0.0 else -1.0)
        if sinking < _PARALLEL:
            return np.inf
        moved = (abs(height) - radius) / sinking
    place = offset + moved * way
    u = _dot(_cross(place, b), normal) / square
    v = _dot(_cross(a, place), normal) / square
    return moved if u >= 0.0 and v >= 0.0 and u + v <= 1.0 else np.inf


@compiled_part
def _onto_triangle(triangle: Array, origin: Array, way: Array, radius: float) -> float:
    """Return how far the ball moves until it touches a triangle, or infinity."""
    moved = _onto_face(triangle, origin, way, radius)
    one, a, b = triangle[:3], triangle[3:6], triangle[6:9]
    for corner, edge in ((one, a), (one, b), (one + a, b - a)):
        moved = min(moved, _onto_edge(corner, edge, origin, way, radius))
        moved = min(moved, _onto_corner(corner, origin, way, radius))
        moved = min(moved, _onto_corner(corner + edge, origin, way, radius))
    return moved


@compiled
def sweep_sphere(
    tree: RayTree, origin: Array, way: Array, radius: float, limit: float
) -> tuple[float, int]:
    """Move a ball until it touches a mesh.

    Args:
        tree: Of the mesh.
        origin: (3,) m, where the middle of the ball starts, in the mesh's frame.
        way: (3,) unit vector, where it goes.
        radius: Of the ball, m.
        limit: How far it moves at most, m.

    Returns:
        How far it has moved when it touches, and the row of the triangle; -1 where it touches none.
    """
    leaves = tree.boxes.shape[0] // 2
    stack = np.empty(_DEEPEST, np.int64)
    stack[0] = 1
    waiting = 1
    touched = -1
    while waiting > 0:
        waiting -= 1
        node = stack[waiting]
        if not _enters(tree.boxes[node], origin, way, radius, limit):
            continue
        if node < leaves:
            stack[waiting], stack[waiting + 1] = 2 * node, 2 * node + 1
            waiting += 2
            continue
        for row in range((node - leaves) * tree.leaf, (node - leaves + 1) * tree.leaf):
            moved = _onto_triangle(tree.triangles[row], origin, way, radius)
            if moved < limit or (touched < 0 and moved <= limit):
                limit = moved
                touched = row
    return limit, touched
