"""Culling, projection and near-plane clipping of triangles."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim.pocket.camera.buffers import ScreenTriangles, TriangleTable
from sim.pocket.compiled import compiled_lean, compiled_part

#: Nearest depth that is drawn, in metres.
NEAR_M = 0.1
#: `CityObjectLabel.ROAD_LINES`.
LINE_TAG = 24
#: Smallest doubled area in square pixels that can still be interpolated over.
_SMALLEST_AREA_PX = 1e-9
#: Triangles that are transformed together; their coordinates stay in the first-level cache.
_BLOCK = 256


class Workbench(NamedTuple):
    """Room for a few triangles on their way to the screen.

    Attributes:
        corner: (3, 5): depth, right, up or 1/depth, x, y; u, v.
        clipped: (4, 5) likewise.
        block: (3, 3, N) corner, axis, triangle.
        visible: (N,) whether a triangle of the block may be in the picture.
        whole: (N,) whether it needs no clipping.
    """

    corner: NDArray[np.float64]
    clipped: NDArray[np.float64]
    block: NDArray[np.float64]
    visible: NDArray[np.bool_]
    whole: NDArray[np.bool_]


def make_workbench() -> Workbench:
    """Make room for one block."""
    return Workbench(
        corner=np.empty((3, 5)),
        clipped=np.empty((4, 5)),
        block=np.empty((3, 3, _BLOCK)),
        visible=np.empty(_BLOCK, np.bool_),
        whole=np.empty(_BLOCK, np.bool_),
    )


@compiled_lean
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


@compiled_part
def _clip_near(
    corners: NDArray[np.float32],
    source: int,
    pose: NDArray[np.float64],
    corner: NDArray[np.float64],
    clipped: NDArray[np.float64],
) -> int:
    """Cut a triangle at the near plane.

    Args:
        corners: The table's corners.
        source: The triangle.
        pose: (3, 4) camera forward, right, up from its frame.
        corner: (3, 5) scratch; u and v are given in the last two columns.
        clipped: (4, 5) output: depth, right, up, u, v of each corner of the rest.

    Returns:
        The number of corners of the rest, 0, 3 or 4.
    """
    for k in range(3):
        for axis in range(3):
            # In the order of `_place_axis`: shared corners must come out equal to the last bit.
            total = 0.0
            for c in range(3):
                total += pose[axis, c] * corners[k, c, source]
            corner[k, axis] = total + pose[axis, 3]
    left = 0
    for k in range(3):
        n = (k + 1) % 3
        here = corner[k, 0] > NEAR_M
        there = corner[n, 0] > NEAR_M
        if here:
            for c in range(5):
                clipped[left, c] = corner[k, c]
            left += 1
        if here != there:
            # Cut from the visible end, so that both neighbours find the same point.
            start, end = (k, n) if here else (n, k)
            part = (NEAR_M - corner[start, 0]) / (corner[end, 0] - corner[start, 0])
            for c in range(5):
                clipped[left, c] = corner[start, c] + part * (corner[end, c] - corner[start, c])
            left += 1
    return left


@compiled_part
def _set_up(
    polygon: NDArray[np.float64],
    k: int,
    width: float,
    height: float,
    texels: float,
    margin: float,
    out: ScreenTriangles,
    row: int,
) -> bool:
    """Set up the triangle of corners 0, k, k + 1 (1/depth, x, y, u, v) in a row of the output.

    Returns:
        False if it covers no pixel centre for sure; the row is then free again.
    """
    xa, ya = polygon[0, 1], polygon[0, 2]
    xb, yb = polygon[k, 1], polygon[k, 2]
    xc, yc = polygon[k + 1, 1], polygon[k + 1, 2]
    left, right = min(xa, xb, xc) - margin, max(xa, xb, xc) + margin
    top, bottom = min(ya, yb, yc), max(ya, yb, yc)
    if left >= width or right <= 0.0 or top >= height or bottom <= 0.0:
        return False
    if math.ceil(top - 0.5) >= math.ceil(bottom - 0.5):
        return False
    if math.ceil(left - 0.5) >= math.ceil(right - 0.5):
        return False
    area = (xb - xa) * (yc - ya) - (xc - xa) * (yb - ya)
    if abs(area) < _SMALLEST_AREA_PX:
        return False
    inverse_area = 1.0 / area
    # Barycentric slopes: how the weights of corners b and c change to the right and down.
    b_right, b_down = (yc - ya) * inverse_area, -(xc - xa) * inverse_area
    c_right, c_down = -(yb - ya) * inverse_area, (xb - xa) * inverse_area
    planes = out.planes
    for c in range(3):
        va, vb, vc = polygon[0, 0], polygon[k, 0], polygon[k + 1, 0]
        if c > 0:
            va *= polygon[0, 2 + c]
            vb *= polygon[k, 2 + c]
            vc *= polygon[k + 1, 2 + c]
        slope_right = (vb - va) * b_right + (vc - va) * c_right
        slope_down = (vb - va) * b_down + (vc - va) * c_down
        planes[row, 3 * c] = va - slope_right * xa - slope_down * ya
        planes[row, 3 * c + 1] = slope_right
        planes[row, 3 * c + 2] = slope_down
    q0, q1, q2 = planes[row, 0], planes[row, 1], planes[row, 2]
    s0, s1, s2 = planes[row, 3], planes[row, 4], planes[row, 5]
    t0, t1, t2 = planes[row, 6], planes[row, 7], planes[row, 8]
    # The Jacobian of a projective map is this determinant over the denominator cubed.
    out.density[row] = texels * abs(
        s1 * (t2 * q0 - t0 * q2) - s2 * (t1 * q0 - t0 * q1) + s0 * (t1 * q2 - t2 * q1)
    )
    # From top to bottom: neighbours then walk a shared edge from the same end.
    if yb < ya:
        xa, ya, xb, yb = xb, yb, xa, ya
    if yc < ya:
        xa, ya, xc, yc = xc, yc, xa, ya
    if yc < yb:
        xb, yb, xc, yc = xc, yc, xb, yb
    out.outline[row, 0] = xa
    out.outline[row, 1] = ya
    out.outline[row, 2] = xb
    out.outline[row, 3] = yb
    out.outline[row, 4] = xc
    out.outline[row, 5] = yc
    return True


@compiled_part
def _place_block(
    corners: NDArray[np.float32],
    begin: int,
    size: int,
    pose: NDArray[np.float64],
    block: NDArray[np.float64],
) -> None:
    """Turn triangles from `begin` on into camera coordinates: (corner, axis, triangle).

    Only one-dimensional slices of whole rows go to the loops: those are known to be contiguous.
    """
    end = begin + size
    for k in range(3):
        xs = corners[k, 0, begin:end]
        ys = corners[k, 1, begin:end]
        zs = corners[k, 2, begin:end]
        for axis in range(3):
            _place_axis(xs, ys, zs, pose[axis], block[k, axis, :size])


@compiled_part
def _place_axis(
    xs: NDArray[np.float32],
    ys: NDArray[np.float32],
    zs: NDArray[np.float32],
    row: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    """One row of an affine map over many points; kept this plain so that it is vectorised."""
    a, b, c, d = row[0], row[1], row[2], row[3]
    for i in range(out.shape[0]):
        out[i] = a * xs[i] + b * ys[i] + c * zs[i] + d


@compiled_part
def _test_block(
    block: NDArray[np.float64],
    size: int,
    slope_x: float,
    slope_y: float,
    visible: NDArray[np.bool_],
    whole: NDArray[np.bool_],
) -> None:
    """Mark triangles that may be in the picture, and those that need no clipping."""
    depth_a, depth_b, depth_c = block[0, 0, :size], block[1, 0, :size], block[2, 0, :size]
    for i in range(size):
        a, b, c = depth_a[i] > NEAR_M, depth_b[i] > NEAR_M, depth_c[i] > NEAR_M
        visible[i] = a | b | c
        whole[i] = a & b & c
    for axis in range(1, 3):
        _test_axis(
            (depth_a, depth_b, depth_c),
            (block[0, axis, :size], block[1, axis, :size], block[2, axis, :size]),
            slope_x if axis == 1 else slope_y,
            visible,
        )


@compiled_part
def _test_axis(
    depth: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]],
    place: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]],
    slope: float,
    visible: NDArray[np.bool_],
) -> None:
    """Unmark triangles that lie beyond one of two opposite sides of the viewing pyramid."""
    depth_a, depth_b, depth_c = depth
    place_a, place_b, place_c = place
    for i in range(depth_a.shape[0]):
        a, b, c = slope * depth_a[i], slope * depth_b[i], slope * depth_c[i]
        over = (place_a[i] > a) & (place_b[i] > b) & (place_c[i] > c)
        under = (place_a[i] < -a) & (place_b[i] < -b) & (place_c[i] < -c)
        visible[i] &= not (over | under)


@compiled_part
def _project_block(
    block: NDArray[np.float64],
    size: int,
    half_width: float,
    half_height: float,
    focal: float,
    tag: NDArray[np.uint8],
    visible: NDArray[np.bool_],
    whole: NDArray[np.bool_],
) -> None:
    """Turn depth, right, up into 1/depth, x, y; unmark triangles that cover no pixel centre.

    What is not `whole` comes out meaningless and keeps its mark.
    """
    for k in range(3):
        _project_corner(
            block[k, 0, :size],
            block[k, 1, :size],
            block[k, 2, :size],
            half_width,
            half_height,
            focal,
        )
    for axis in range(1, 3):
        _test_cover(
            block[0, axis, :size],
            block[1, axis, :size],
            block[2, axis, :size],
            2.0 * (half_width if axis == 1 else half_height),
            tag,
            0.5 if axis == 1 else 0.0,
            visible,
            whole,
        )


@compiled_part
def _project_corner(
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    third: NDArray[np.float64],
    half_width: float,
    half_height: float,
    focal: float,
) -> None:
    for i in range(first.shape[0]):
        inverse = 1.0 / first[i]
        first[i] = inverse
        second[i] = half_width + focal * second[i] * inverse
        third[i] = half_height - focal * third[i] * inverse


@compiled_part
def _test_cover(
    one: NDArray[np.float64],
    other: NDArray[np.float64],
    third: NDArray[np.float64],
    size: float,
    tag: NDArray[np.uint8],
    line_margin: float,
    visible: NDArray[np.bool_],
    whole: NDArray[np.bool_],
) -> None:
    """Unmark whole triangles that no pixel centre along one axis of the image falls into.

    Road lines get a margin, because they are drawn even where they are thinner than a pixel.
    """
    for i in range(one.shape[0]):
        a, b, c = one[i], other[i], third[i]
        low = a if a < b else b
        low = c if c < low else low
        high = a if a > b else b
        high = c if c > high else high
        margin = line_margin if tag[i] == LINE_TAG else 0.0
        low, high = low - margin, high + margin
        covers = (np.ceil(low - 0.5) < np.ceil(high - 0.5)) & (low < size) & (high > 0.0)
        visible[i] &= covers | (not whole[i])


@compiled_lean
def project_triangles(
    table: TriangleTable,
    ranges: NDArray[np.int64],
    poses: NDArray[np.float64],
    image: tuple[float, float, float],
    texels: float,
    bench: Workbench,
    out: ScreenTriangles,
) -> int:
    """Project triangles to the screen, clip them at the near plane and set up their planes.

    Args:
        table: All triangles.
        ranges: (Q, 3) first triangle, end, instance.
        poses: (I, 3, 4) per instance: camera forward, right, up from the mesh's own frame.
        image: Width, height and focal length in pixels.
        texels: Texels of one texture repeat, as an area.
        bench: Room to work in.
        out: Filled from the start.

    Returns:
        The number of screen triangles, or -1 if `out` is too small.
    """
    width, height, focal = image
    slope_x = 0.5 * width / focal
    slope_y = 0.5 * height / focal
    capacity = out.source.shape[0]
    count = int(np.int64(0))  # a plain 0 would be typed, and compiled for, twice
    corner, clipped, block = bench.corner, bench.clipped, bench.block
    for row in range(ranges.shape[0]):
        instance = ranges[row, 2]
        pose = poses[instance]
        for begin in range(ranges[row, 0], ranges[row, 1], _BLOCK):
            size = min(_BLOCK, ranges[row, 1] - begin)
            visible, whole = bench.visible[:size], bench.whole[:size]
            tag = table.tag[begin : begin + size]
            _place_block(table.corners, begin, size, pose, block)
            _test_block(block, size, slope_x, slope_y, visible, whole)
            _project_block(block, size, 0.5 * width, 0.5 * height, focal, tag, visible, whole)
            for member in range(size):
                if not visible[member]:
                    continue
                source = begin + member
                for k in range(3):
                    corner[k, 0] = block[k, 0, member]
                    corner[k, 1] = block[k, 1, member]
                    corner[k, 2] = block[k, 2, member]
                    corner[k, 3] = table.uvs[source, k, 0]
                    corner[k, 4] = table.uvs[source, k, 1]
                polygon, corners = corner, 3
                if not whole[member]:
                    corners = _clip_near(table.corners, source, pose, corner, clipped)
                    polygon = clipped
                    for k in range(corners):
                        inverse = 1.0 / clipped[k, 0]
                        clipped[k, 0] = inverse
                        clipped[k, 1] = 0.5 * width + focal * clipped[k, 1] * inverse
                        clipped[k, 2] = 0.5 * height - focal * clipped[k, 2] * inverse
                for k in range(1, corners - 1):
                    if count >= capacity:
                        return -1
                    margin = 0.5 if tag[member] == LINE_TAG else 0.0
                    if _set_up(polygon, k, width, height, texels, margin, out, count):
                        out.source[count] = source
                        out.instance[count] = instance
                        count += 1
    return count
