"""Rays cast at the triangles of a tree, compiled."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim.pocket.compiled import compiled, inlined_part
from sim.pocket.sensors.ray_tree import RayTree

Array = NDArray[np.float64]

#: Surfaces nearer than this are where the ray starts, m.
_NEAREST_M = 1e-3
_DEEPEST = 64


class Nearest(NamedTuple):
    """The first surface on each of N rays so far; kernels write into it.

    Attributes:
        distance_m: (N,) float64; at first how far the ray reaches.
        owners: (N,) int32; number of the mesh that is met, or -1.
        rows: (N,) int32; row of the triangle in the tree of that mesh.
    """

    distance_m: Array
    owners: NDArray[np.int32]
    rows: NDArray[np.int32]


@inlined_part
def _enter(boxes: Array, node: int, origin: Array, inverse: Array, limit: float) -> float:
    """Return the distance at which a ray enters a box, or infinity."""
    first, last = 0.0, limit
    for axis in range(3):
        near = (boxes[node, axis] - origin[axis]) * inverse[axis]
        far = (boxes[node, 3 + axis] - origin[axis]) * inverse[axis]
        first = max(first, min(near, far))
        last = min(last, max(near, far))
    return first if first <= last else np.inf


@inlined_part
def _strike(triangles: Array, row: int, o: Array, d: Array, one_sided: bool) -> float:
    """Return the distance at which a ray meets a triangle, or infinity (Moeller and Trumbore)."""
    q = triangles[row]
    px = d[1] * q[8] - d[2] * q[7]
    py = d[2] * q[6] - d[0] * q[8]
    pz = d[0] * q[7] - d[1] * q[6]
    determinant = q[3] * px + q[4] * py + q[5] * pz
    distance = np.inf
    if abs(determinant) > 1e-12 and (determinant > 0.0 or not one_sided):
        inverse = 1.0 / determinant
        tx, ty, tz = o[0] - q[0], o[1] - q[1], o[2] - q[2]
        u = (tx * px + ty * py + tz * pz) * inverse
        if 0.0 <= u <= 1.0:
            sx, sy, sz = ty * q[5] - tz * q[4], tz * q[3] - tx * q[5], tx * q[4] - ty * q[3]
            v = (d[0] * sx + d[1] * sy + d[2] * sz) * inverse
            met_m = (q[6] * sx + q[7] * sy + q[8] * sz) * inverse
            if v >= 0.0 and u + v <= 1.0 and met_m > _NEAREST_M:
                distance = met_m
    return distance


@inlined_part
def _is_solid(
    tree: RayTree, solid: NDArray[np.bool_], row: int, o: Array, d: Array, distance: float
) -> bool:
    """Say whether the texture has no hole where a ray meets a triangle."""
    q = tree.triangles[row]
    x, y, z = (
        o[0] + distance * d[0] - q[0],
        o[1] + distance * d[1] - q[1],
        o[2] + distance * d[2] - q[2],
    )
    aa = q[3] * q[3] + q[4] * q[4] + q[5] * q[5]
    ab = q[3] * q[6] + q[4] * q[7] + q[5] * q[8]
    bb = q[6] * q[6] + q[7] * q[7] + q[8] * q[8]
    pa = x * q[3] + y * q[4] + z * q[5]
    pb = x * q[6] + y * q[7] + z * q[8]
    whole = aa * bb - ab * ab
    a, b = (bb * pa - ab * pb) / whole, (aa * pb - ab * pa) / whole
    uv = tree.uvs[row]
    size = solid.shape[1]
    column = math.floor((uv[0] + a * uv[2] + b * uv[4]) * size) & (size - 1)
    line = math.floor((uv[1] + a * uv[3] + b * uv[5]) * size) & (size - 1)
    return bool(solid[tree.textures[row], line, column])


@compiled
def cast_rays(
    tree: RayTree,
    solid: NDArray[np.bool_],
    origin: Array,
    axes: Array,
    directions: Array,
    one_sided: bool,
    number: int,
    out: Nearest,
) -> None:
    """Look for the first surface of one mesh on every ray.

    Args:
        tree: Of the mesh.
        solid: (layers, N, N) the texels of all textures that are no holes; N a power of two.
        origin: (3,) m, where the rays start, in the mesh's frame.
        axes: (3, 3) the columns are the mesh's axes in the frame of the rays.
        directions: (N, 3) unit vectors in the frame of the rays.
        one_sided: Whether rays pass through surfaces from behind.
        number: The mesh's number among those that are cast at.
        out: Nearer surfaces replace what is there.
    """
    leaves = tree.boxes.shape[0] // 2
    stack = np.empty(_DEEPEST, np.int64)
    d = np.empty(3)
    inverse = np.empty(3)
    for ray in range(directions.shape[0]):
        for axis in range(3):
            d[axis] = (
                directions[ray, 0] * axes[0, axis]
                + directions[ray, 1] * axes[1, axis]
                + directions[ray, 2] * axes[2, axis]
            )
            inverse[axis] = 1.0 / (d[axis] if abs(d[axis]) > 1e-12 else 1e-12)
        best = out.distance_m[ray]
        waiting = 0
        if _enter(tree.boxes, 1, origin, inverse, best) < np.inf:
            stack[0] = 1
            waiting = 1
        while waiting > 0:
            waiting -= 1
            node = stack[waiting]
            if node >= leaves:
                for row in range((node - leaves) * tree.leaf, (node - leaves + 1) * tree.leaf):
                    distance = _strike(tree.triangles, row, origin, d, one_sided)
                    if distance < best and _is_solid(tree, solid, row, origin, d, distance):
                        best = distance
                        out.owners[ray] = number
                        out.rows[ray] = row
                continue
            left = _enter(tree.boxes, 2 * node, origin, inverse, best)
            right = _enter(tree.boxes, 2 * node + 1, origin, inverse, best)
            # The nearer child is looked at first: what it holds may hide the other one.
            nearer = 2 * node if left <= right else 2 * node + 1
            if max(left, right) < np.inf:
                stack[waiting] = 4 * node + 1 - nearer
                waiting += 1
            if min(left, right) < np.inf:
                stack[waiting] = nearer
                waiting += 1
        out.distance_m[ray] = best
