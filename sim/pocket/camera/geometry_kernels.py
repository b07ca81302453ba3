"""Culling, projection and near-plane clipping of triangles."""

# ruff: noqa: PLR0913 -- kernels take arrays, not objects

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from sim.pocket.camera.buffers import ScreenTriangles, TriangleTable
from sim.pocket.compiled import compiled

#: Nearest depth that is drawn, in metres.
NEAR_M = 0.1
#: Smallest doubled area in square pixels that can still be interpolated over.
_SMALLEST_AREA_PX = 1e-9


@compiled
def cull_tiles(
    tiles: NDArray[np.float64],
    eye: NDArray[np.float64],
    axes: NDArray[np.float64],
    slopes: tuple[float, float],
    far_m: float,
    nearness: NDArray[np.float64],
) -> None:
    """Measure how far each tile of the scene is, and which tiles cannot be seen.

    Args:
        tiles: (K, 8) min x, y, z, max x, y, z, first triangle, triangle count.
        eye: (3,) camera position.
        axes: (3, 3) rows forward, right, up.
        slopes: Half width and half height of the image at depth 1.
        far_m: Tiles farther than this are not drawn.
        nearness: (K,) output: distance in metres to the nearest point of the tile, or -1 if the
            tile lies outside the view.
    """
    for tile in range(tiles.shape[0]):
        distance_squared = 0.0
        middle = (0.0, 0.0, 0.0)
        extent = (0.0, 0.0, 0.0)
        for axis in range(3):
            low = tiles[tile, axis] - eye[axis]
            high = tiles[tile, 3 + axis] - eye[axis]
            outside = max(low, -high, 0.0)
            distance_squared += outside * outside
        middle = (
            0.5 * (tiles[tile, 0] + tiles[tile, 3]) - eye[0],
            0.5 * (tiles[tile, 1] + tiles[tile, 4]) - eye[1],
            0.5 * (tiles[tile, 2] + tiles[tile, 5]) - eye[2],
        )
        extent = (
            0.5 * (tiles[tile, 3] - tiles[tile, 0]),
            0.5 * (tiles[tile, 4] - tiles[tile, 1]),
            0.5 * (tiles[tile, 5] - tiles[tile, 2]),
        )
        seen = distance_squared <= far_m * far_m
        for side in range(5):
            # Inward normal of a side of the viewing pyramid; side 4 is the camera plane itself.
            along = (slopes[0], slopes[0], slopes[1], slopes[1], 1.0)[side]
            right = (1.0, -1.0, 0.0, 0.0, 0.0)[side]
            up = (0.0, 0.0, 1.0, -1.0, 0.0)[side]
            reach = 0.0
            for axis in range(3):
                normal = along * axes[0, axis] + right * axes[1, axis] + up * axes[2, axis]
                reach += normal * middle[axis] + abs(normal) * extent[axis]
            if reach < 0.0:
                seen = False
        nearness[tile] = math.sqrt(distance_squared) if seen else -1.0


@compiled
def project_triangles(
    table: TriangleTable,
    ranges: NDArray[np.int64],
    poses: NDArray[np.float64],
    image: tuple[float, float, float],
    texels: float,
    out: ScreenTriangles,
) -> int:
    """Project triangles to the screen, clip them at the near plane and set up their planes.

    Args:
        table: All triangles.
        ranges: (Q, 3) first triangle, end, instance.
        poses: (I, 3, 4) per instance: camera forward, right, up from the mesh's own frame.
        image: Width, height and focal length in pixels.
        texels: Texels of one texture repeat, as an area.
        out: Filled from the start.

    Returns:
        The number of screen triangles, or -1 if `out` is too small.
    """
    width, height, focal = image
    slope_x = 0.5 * width / focal
    slope_y = 0.5 * height / focal
    capacity = out.source.shape[0]
    count = 0
    corner = np.empty((3, 5))
    clipped = np.empty((4, 5))
    for row in range(ranges.shape[0]):
        instance = ranges[row, 2]
        pose = poses[instance]
        f0, f1, f2, f3 = pose[0, 0], pose[0, 1], pose[0, 2], pose[0, 3]
        r0, r1, r2, r3 = pose[1, 0], pose[1, 1], pose[1, 2], pose[1, 3]
        u0, u1, u2, u3 = pose[2, 0], pose[2, 1], pose[2, 2], pose[2, 3]
        for source in range(ranges[row, 0], ranges[row, 1]):
            in_front = 0
            beyond = 15
            for k in range(3):
                x = float(table.corners[source, k, 0])
                y = float(table.corners[source, k, 1])
                z = float(table.corners[source, k, 2])
                depth = f0 * x + f1 * y + f2 * z + f3
                right = r0 * x + r1 * y + r2 * z + r3
                up = u0 * x + u1 * y + u2 * z + u3
                corner[k, 0] = depth
                corner[k, 1] = right
                corner[k, 2] = up
                in_front += depth > NEAR_M
                side_x = slope_x * depth
                side_y = slope_y * depth
                beyond &= (
                    (right > side_x)
                    | ((right < -side_x) << 1)
                    | ((up > side_y) << 2)
                    | ((up < -side_y) << 3)
                )
            if in_front == 0 or beyond != 0:
                continue
            for k in range(3):
                corner[k, 3] = table.uvs[source, k, 0]
                corner[k, 4] = table.uvs[source, k, 1]
            corners = 0
            if in_front == 3:
                clipped[:3] = corner
                corners = 3
            else:
                for k in range(3):
                    n = (k + 1) % 3
                    here = corner[k, 0] > NEAR_M
                    there = corner[n, 0] > NEAR_M
                    if here:
                        clipped[corners] = corner[k]
                        corners += 1
                    if here != there:
                        # Cut from the visible end, so that both neighbours find the same point.
                        start, end = (k, n) if here else (n, k)
                        part = (NEAR_M - corner[start, 0]) / (corner[end, 0] - corner[start, 0])
                        for c in range(5):
                            clipped[corners, c] = corner[start, c] + part * (
                                corner[end, c] - corner[start, c]
                            )
                        corners += 1
            for k in range(corners):
                inverse = 1.0 / clipped[k, 0]
                clipped[k, 0] = inverse
                clipped[k, 1] = 0.5 * width + focal * clipped[k, 1] * inverse
                clipped[k, 2] = 0.5 * height - focal * clipped[k, 2] * inverse
            for k in range(1, corners - 1):
                xa, ya = clipped[0, 1], clipped[0, 2]
                xb, yb = clipped[k, 1], clipped[k, 2]
                xc, yc = clipped[k + 1, 1], clipped[k + 1, 2]
                left, rightmost = min(xa, xb, xc), max(xa, xb, xc)
                top, bottom = min(ya, yb, yc), max(ya, yb, yc)
                if left >= width or rightmost <= 0.0 or top >= height or bottom <= 0.0:
                    continue
                if math.ceil(top - 0.5) >= math.ceil(bottom - 0.5) or math.ceil(
                    left - 0.5
                ) >= math.ceil(rightmost - 0.5):
                    continue
                area = (xb - xa) * (yc - ya) - (xc - xa) * (yb - ya)
                if abs(area) < _SMALLEST_AREA_PX:
                    continue
                if count >= capacity:
                    return -1
                inverse_area = 1.0 / area
                for c in range(3):
                    if c == 0:
                        va, vb, vc = clipped[0, 0], clipped[k, 0], clipped[k + 1, 0]
                    else:
                        va = clipped[0, 2 + c] * clipped[0, 0]
                        vb = clipped[k, 2 + c] * clipped[k, 0]
                        vc = clipped[k + 1, 2 + c] * clipped[k + 1, 0]
                    slope_right = ((vb - va) * (yc - ya) - (vc - va) * (yb - ya)) * inverse_area
                    slope_down = ((vc - va) * (xb - xa) - (vb - va) * (xc - xa)) * inverse_area
                    out.planes[count, 3 * c] = va - slope_right * xa - slope_down * ya
                    out.planes[count, 3 * c + 1] = slope_right
                    out.planes[count, 3 * c + 2] = slope_down
                q0, q1, q2 = out.planes[count, 0], out.planes[count, 1], out.planes[count, 2]
                s0, s1, s2 = out.planes[count, 3], out.planes[count, 4], out.planes[count, 5]
                t0, t1, t2 = out.planes[count, 6], out.planes[count, 7], out.planes[count, 8]
                # The Jacobian of a projective map is this determinant over the denominator cubed.
                out.density[count] = texels * abs(
                    s1 * (t2 * q0 - t0 * q2) - s2 * (t1 * q0 - t0 * q1) + s0 * (t1 * q2 - t2 * q1)
                )
                # From top to bottom: neighbours then walk a shared edge from the same end.
                if yb < ya:
                    xa, ya, xb, yb = xb, yb, xa, ya
                if yc < ya:
                    xa, ya, xc, yc = xc, yc, xa, ya
                if yc < yb:
                    xb, yb, xc, yc = xc, yc, xb, yb
                out.outline[count, 0] = xa
                out.outline[count, 1] = ya
                out.outline[count, 2] = xb
                out.outline[count, 3] = yb
                out.outline[count, 4] = xc
                out.outline[count, 5] = yc
                out.source[count] = source
                out.instance[count] = instance
                count += 1
    return count
