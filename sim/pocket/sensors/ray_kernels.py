"""Rays cast at the triangles of a tree, compiled.

Rays are cast in packets of neighbours: a packet goes down the tree together, so that what is read
there is read once, and the same sums are done for all its rays at a time.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim.pocket.compiled import compiled, inlined_part
from sim.pocket.sensors.ray_tree import RayTree

Array = NDArray[np.float64]

#: Rays of a packet.
PACKET = 16
#: Surfaces nearer than this are where the ray starts, m.
_NEAREST_M = 1e-3
_DEEPEST = 64
#: Single precision may not make a distance shorter.
_ROUNDED_UP = 1.0 + 1e-6


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


class _Packet(NamedTuple):
    """The rays of a packet in the frame of a mesh, an axis a row; what is wanted of them.

    Attributes:
        directions: (3, PACKET) float64, unit vectors.
        inverse: (3, PACKET) float32, one over them.
        best: (PACKET,) float64; distance to the first surface so far, m.
        reach: (PACKET,) float32, no less than `best`.
        met: (PACKET,) float64; distance to the triangle that is looked at, or infinity.
    """

    directions: Array
    inverse: NDArray[np.float32]
    best: Array
    reach: NDArray[np.float32]
    met: Array


@inlined_part
def _enters(boxes: Array, node: int, origin: Array, packet: _Packet) -> bool:
    """Say whether any ray of a packet enters a box before the first surface it has met."""
    low_x = np.float32(boxes[node, 0] - origin[0])
    low_y = np.float32(boxes[node, 1] - origin[1])
    low_z = np.float32(boxes[node, 2] - origin[2])
    high_x = np.float32(boxes[node, 3] - origin[0])
    high_y = np.float32(boxes[node, 4] - origin[1])
    high_z = np.float32(boxes[node, 5] - origin[2])
    inside = 0
    for lane in range(PACKET):
        one, other = low_x * packet.inverse[0, lane], high_x * packet.inverse[0, lane]
        first = one if one < other else other
        last = other if one < other else one
        one, other = low_y * packet.inverse[1, lane], high_y * packet.inverse[1, lane]
        near = one if one < other else other
        far = other if one < other else one
        first = near if near > first else first
        last = far if far < last else last
        one, other = low_z * packet.inverse[2, lane], high_z * packet.inverse[2, lane]
        near = one if one < other else other
        far = other if one < other else one
        first = near if near > first else first
        last = far if far < last else last
        reach = packet.reach[lane]
        last = reach if reach < last else last
        first = first if first > np.float32(0.0) else np.float32(0.0)
        inside += 1 if first <= last else 0
    return inside > 0


@inlined_part
def _strike(triangles: Array, row: int, o: Array, packet: _Packet, one_sided: bool) -> int:
    """Note where the rays meet a triangle (Moeller and Trumbore); say for how many it is nearer."""
    ax, ay, az = triangles[row, 3], triangles[row, 4], triangles[row, 5]
    bx, by, bz = triangles[row, 6], triangles[row, 7], triangles[row, 8]
    tx, ty, tz = o[0] - triangles[row, 0], o[1] - triangles[row, 1], o[2] - triangles[row, 2]
    sx, sy, sz = ty * az - tz * ay, tz * ax - tx * az, tx * ay - ty * ax
    along = bx * sx + by * sy + bz * sz
    least = 1e-12 if one_sided else -np.inf
    nearer = 0
    for lane in range(PACKET):
        dx, dy, dz = (
            packet.directions[0, lane],
            packet.directions[1, lane],
            packet.directions[2, lane],
        )
        px = dy * bz - dz * by
        py = dz * bx - dx * bz
        pz = dx * by - dy * bx
        determinant = ax * px + ay * py + az * pz
        inverse = 1.0 / determinant
        u = (tx * px + ty * py + tz * pz) * inverse
        v = (dx * sx + dy * sy + dz * sz) * inverse
        distance = along * inverse
        hit = (
            (u >= 0.0)
            & (v >= 0.0)
            & (u + v <= 1.0)
            & (distance > _NEAREST_M)
            & (abs(determinant) > 1e-12)
            & (determinant > least)
        )
        distance = distance if hit else np.inf
        packet.met[lane] = distance
        nearer += 1 if distance < packet.best[lane] else 0
    return nearer


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
def cones_of(directions: Array) -> Array:
    """Return a cone around each packet of rays.

    Args:
        directions: (N, 3) unit vectors.

    Returns:
        (P, 5) direction of the axis, cosine and sine of the angle between it and the side. A
        packet whose rays go everywhere has the cosine -1.
    """
    count = directions.shape[0]
    cones = np.zeros((-(-count // PACKET), 5))
    for line in range(cones.shape[0]):
        first, end = line * PACKET, min((line + 1) * PACKET, count)
        for axis in range(3):
            for ray in range(first, end):
                cones[line, axis] += directions[ray, axis]
        length = math.sqrt(cones[line, 0] ** 2 + cones[line, 1] ** 2 + cones[line, 2] ** 2)
        narrowest = -1.0
        if length > 1e-9:
            narrowest = 1.0
            for axis in range(3):
                cones[line, axis] /= length
            for ray in range(first, end):
                cosine = 0.0
                for axis in range(3):
                    cosine += cones[line, axis] * directions[ray, axis]
                narrowest = min(narrowest, cosine)
        cones[line, 3] = narrowest
        cones[line, 4] = math.sqrt(max(0.0, 1.0 - narrowest * narrowest))
    return cones


@inlined_part
def _touch(one: Array, other: Array) -> bool:
    """Say whether two cones may have a direction in common."""
    if one[3] <= 0.0 or other[3] <= 0.0:
        return True
    cosine = one[0] * other[0] + one[1] * other[1] + one[2] * other[2]
    return bool(cosine >= one[3] * other[3] - one[4] * other[4] - 1e-9)


@compiled
def cast_packets(
    tree: RayTree,
    solid: NDArray[np.bool_],
    origin: Array,
    axes: Array,
    directions: Array,
    cones: Array,
    target: Array,
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
        cones: (P, 5) around the packets; see `cones_of`.
        target: (5,) such a cone around the mesh as it is seen from where the rays start; packets
            that do not touch it are passed over.
        one_sided: Whether rays pass through surfaces from behind.
        number: The mesh's number among those that are cast at.
        out: Nearer surfaces replace what is there.
    """
    leaves = tree.boxes.shape[0] // 2
    stack = np.empty(_DEEPEST, np.int64)
    d = np.empty(3)
    packet = _Packet(
        np.empty((3, PACKET)),
        np.empty((3, PACKET), np.float32),
        np.empty(PACKET),
        np.empty(PACKET, np.float32),
        np.empty(PACKET),
    )
    last = directions.shape[0] - 1
    for line in range(cones.shape[0]):
        if not _touch(cones[line], target):
            continue
        for lane in range(PACKET):
            ray = min(line * PACKET + lane, last)
            for axis in range(3):
                part = (
                    directions[ray, 0] * axes[0, axis]
                    + directions[ray, 1] * axes[1, axis]
                    + directions[ray, 2] * axes[2, axis]
                )
                packet.directions[axis, lane] = part
                packet.inverse[axis, lane] = 1.0 / (part if abs(part) > 1e-12 else 1e-12)
            packet.best[lane] = out.distance_m[ray]
            packet.reach[lane] = out.distance_m[ray] * _ROUNDED_UP
        stack[0] = 1
        waiting = 1
        while waiting > 0:
            waiting -= 1
            node = stack[waiting]
            if not _enters(tree.boxes, node, origin, packet):
                continue
            if node < leaves:
                # The child that lies nearer is looked at first: it may hide the other one.
                apart = 0.0
                for axis in range(3):
                    left = tree.boxes[2 * node, axis] + tree.boxes[2 * node, 3 + axis]
                    right = tree.boxes[2 * node + 1, axis] + tree.boxes[2 * node + 1, 3 + axis]
                    apart += (right - left) * packet.directions[axis, PACKET // 2]
                nearer = 2 * node if apart > 0.0 else 2 * node + 1
                stack[waiting] = 4 * node + 1 - nearer
                stack[waiting + 1] = nearer
                waiting += 2
                continue
            for row in range((node - leaves) * tree.leaf, (node - leaves + 1) * tree.leaf):
                if _strike(tree.triangles, row, origin, packet, one_sided) == 0:
                    continue
                for lane in range(PACKET):
                    distance = packet.met[lane]
                    if distance < packet.best[lane]:
                        for axis in range(3):
                            d[axis] = packet.directions[axis, lane]
                        if _is_solid(tree, solid, row, origin, d, distance):
                            ray = min(line * PACKET + lane, last)
                            packet.best[lane] = distance
                            packet.reach[lane] = distance * _ROUNDED_UP
                            out.distance_m[ray] = distance
                            out.owners[ray] = number
                            out.rows[ray] = row
