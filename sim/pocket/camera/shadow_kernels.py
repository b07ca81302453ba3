"""Shadows: of the static scene from a map baked per sun, of instances from their boxes.

The baked map looks along the sun's rays onto a horizontal plane. Each texel holds the highest
point of whatever its ray passes; a surface point is in shadow if its own height is lower.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim.pocket.camera.buffers import ScreenTriangles, TriangleTable, Visibility
from sim.pocket.camera.geometry_kernels import NEAR_M
from sim.pocket.camera.raster_kernels import is_solid
from sim.pocket.camera.textures import TexturePyramid
from sim.pocket.compiled import compiled, compiled_part, inlined_part

#: Heights are stored in steps of 5 cm above `SunShadows.base_m`; 0 is "nothing here".
HEIGHT_STEPS_PER_M = 20.0
#: Mip level at which cut-out textures are sampled for their shadows.
_CUT_OUT_LEVEL = 2
_BLOCK_BITS = 3
#: Wider than what rounding does to a place over the map, in texels and in steps of height.
_ROUNDING = 1e-6
#: Spans are widened by this part of a texel, so that thin poles leave unbroken shadows.
_WIDENING = 0.3
#: Ground this close to a standing box is darkened, in metres beside it and above its foot.
_CONTACT_REACH_M = 0.7
_CONTACT_HEIGHT_M = 0.6
_CONTACT_SHADE = 0.72
_IN_SHADOW = 128
_LONGEST_SHADOW_M = 30.0
#: Shadows are drawn on ground up to this far below the foot of a box.
_BELOW_BOX_M = 0.6


class SunShadows(NamedTuple):
    """The baked shadow map and how to find a point in it.

    Attributes:
        tops: (M, N) uint16; height of the highest occluder along a ray of the sun.
        blocks: (2, M / 8, N / 8) uint16; the lowest and the highest of 8 x 8 of them.
        origin_x_m: World x of the first column on the base plane.
        origin_y_m: World y of the first row on the base plane.
        texels_per_m: Resolution.
        slope_x: Metres that a ray moves along x per metre of height.
        slope_y: The same along y.
        base_m: Height of the base plane.
        flat_bias_m: Height by which a level surface is lifted before the comparison.
        steep_bias_m: The same per unit of the surface's own height change along the map.
        active: Whether the sun casts shadows at all.
    """

    tops: NDArray[np.uint16]
    blocks: NDArray[np.uint16]
    origin_x_m: float
    origin_y_m: float
    texels_per_m: float
    slope_x: float
    slope_y: float
    base_m: float
    flat_bias_m: float
    steep_bias_m: float
    active: bool


@compiled
def bake_tops(
    table: TriangleTable, rows: NDArray[np.int64], pyramid: TexturePyramid, shadows: SunShadows
) -> None:
    """Draw triangles of the table into the shadow map, keeping the highest point per texel."""
    height, width = shadows.tops.shape
    corner = np.empty((3, 5))
    for row in range(rows.shape[0]):
        source = rows[row]
        for k in range(3):
            z = table.corners[k, 2, source] - shadows.base_m
            x = table.corners[k, 0, source] - shadows.slope_x * z - shadows.origin_x_m
            y = table.corners[k, 1, source] - shadows.slope_y * z - shadows.origin_y_m
            corner[k, 0] = x * shadows.texels_per_m
            corner[k, 1] = y * shadows.texels_per_m
            corner[k, 2] = z * HEIGHT_STEPS_PER_M
            corner[k, 3] = table.uvs[source, k, 0]
            corner[k, 4] = table.uvs[source, k, 1]
        layer = table.texture[source]
        cut_out = pyramid.cut_out[layer]
        top = min(corner[0, 1], corner[1, 1], corner[2, 1])
        bottom = max(corner[0, 1], corner[1, 1], corner[2, 1])
        first = max(0, math.ceil(top - 0.5 - _WIDENING))
        last = min(height, math.ceil(bottom - 0.5 + _WIDENING))
        for y in range(first, last):
            centre = min(max(y + 0.5, top), bottom)
            left, right = np.inf, -np.inf
            value = np.zeros((2, 3))
            for k in range(3):
                start, end = corner[k], corner[(k + 1) % 3]
                if min(start[1], end[1]) > centre or max(start[1], end[1]) < centre:
                    continue
                # A level edge contributes both of its ends.
                for pick in range(2):
                    run = end[1] - start[1]
                    part = (centre - start[1]) / run if run != 0.0 else float(pick)
                    x_cut = start[0] + part * (end[0] - start[0])
                    if x_cut < left:
                        left = x_cut
                        for c in range(3):
                            value[0, c] = start[2 + c] + part * (end[2 + c] - start[2 + c])
                    if x_cut > right:
                        right = x_cut
                        for c in range(3):
                            value[1, c] = start[2 + c] + part * (end[2 + c] - start[2 + c])
            if right < left:
                continue
            span = max(right - left, 1e-9)
            for x in range(
                max(0, math.ceil(left - 0.5 - _WIDENING)),
                min(width, math.ceil(right - 0.5 + _WIDENING)),
            ):
                part = min(max((x + 0.5 - left) / span, 0.0), 1.0)
                if cut_out:
                    u = value[0, 1] + part * (value[1, 1] - value[0, 1])
                    v = value[0, 2] + part * (value[1, 2] - value[0, 2])
                    if not is_solid(pyramid, layer, _CUT_OUT_LEVEL, u, v):
                        continue
                level = value[0, 0] + part * (value[1, 0] - value[0, 0])
                code = np.uint16(min(max(level, 0.0), 65535.0))
                if code > shadows.tops[y, x]:
                    shadows.tops[y, x] = code


def block_bounds(tops: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Return `SunShadows.blocks` of a map."""
    side = 1 << _BLOCK_BITS
    whole = np.pad(tops, [(0, -length % side) for length in tops.shape], mode="edge")
    rows = whole.reshape(len(whole) // side, side, -1)
    return np.stack(
        [
            bound(bound(rows, axis=1).reshape(len(rows), -1, side), axis=2)
            for bound in (np.min, np.max)
        ]
    )


@inlined_part
def evenly_lit(
    shadows: SunShadows,
    across: float,
    down: float,
    height: float,
    end_across: float,
    end_down: float,
    end_height: float,
) -> float:
    """Return what `sunlit_share` gives all along a straight line, 0 or 1; -1 if it may differ.

    Where all four texels around a place agree, their mean is exactly 0 or 1.
    """
    left = math.floor(min(across, end_across) - _ROUNDING)
    right = math.floor(max(across, end_across) + _ROUNDING) + 1
    top = math.floor(min(down, end_down) - _ROUNDING)
    bottom = math.floor(max(down, end_down) + _ROUNDING) + 1
    if left < 0 or top < 0 or right >= shadows.tops.shape[1] or bottom >= shadows.tops.shape[0]:
        return -1.0
    least, most = min(height, end_height) - _ROUNDING, max(height, end_height) + _ROUNDING
    lit, dark = 1, 1
    for row in range(top >> _BLOCK_BITS, (bottom >> _BLOCK_BITS) + 1):
        for column in range(left >> _BLOCK_BITS, (right >> _BLOCK_BITS) + 1):
            lit &= shadows.blocks[1, row, column] <= least
            dark &= shadows.blocks[0, row, column] > most
            if lit + dark == 0:
                return -1.0
    return float(lit)


@inlined_part
def shadow_place(
    shadows: SunShadows, x: float, y: float, z: float, bias_m: float
) -> tuple[float, float, float]:
    """Return where a point lies over the map: column, row (texels) and height (its steps)."""
    above = z - shadows.base_m
    return (
        (x - shadows.slope_x * above - shadows.origin_x_m) * shadows.texels_per_m - 0.5,
        (y - shadows.slope_y * above - shadows.origin_y_m) * shadows.texels_per_m - 0.5,
        (above + bias_m) * HEIGHT_STEPS_PER_M,
    )


@inlined_part
def sunlit_share(shadows: SunShadows, across: float, down: float, height: float) -> float:
    """Return how much of the sun reaches a `shadow_place`, 0..1, filtered over four texels."""
    column = math.floor(across)
    row = math.floor(down)
    tops = shadows.tops
    if column < 0 or row < 0 or column + 1 >= tops.shape[1] or row + 1 >= tops.shape[0]:
        return 1.0
    right = across - column
    below = down - row
    left, top = np.uint64(column), np.uint64(row)
    next_left, next_top = np.uint64(column + 1), np.uint64(row + 1)
    upper = (1.0 - right) * (tops[top, left] <= height) + right * (tops[top, next_left] <= height)
    lower = (1.0 - right) * (tops[next_top, left] <= height) + right * (
        tops[next_top, next_left] <= height
    )
    return float(upper + below * (lower - upper))


@compiled
def cast_box_shadows(
    visibility: Visibility,
    triangles: ScreenTriangles,
    boxes: NDArray[np.float64],
    sun: tuple[float, float, float],
    camera: NDArray[np.float64],
    focal_px: float,
    out: NDArray[np.uint8],
    first_row: int,
    end_row: int,
) -> None:
    """Mark what stands in the shadow of boxes in some rows: of the sun's light and the open sky.

    Args:
        visibility: Who is seen where.
        triangles: Projected triangles.
        boxes: (B, 16) instance, centre (3), rows of the axes (9), half extents (3), world frame.
        sun: Direction to the sun; (0, 0, 1) if it casts no shadows.
        camera: (4, 3) eye, forward, right, up.
        focal_px: Focal length.
        out: (H, W) uint8 output; 128 where the sun is hidden, plus 0..127 for the hidden part of
            the sky.
        first_row: Of the rows.
        end_row: The row after the last one.
    """
    height, width = out.shape
    out[first_row:end_row] = 0
    hull = np.empty((16, 3))
    origin, rate = np.empty(3), np.empty(3)
    turn = np.empty((3, 3))
    for b in range(boxes.shape[0]):
        box = boxes[b]
        instance = int(box[0])
        hx, hy, hz = box[13], box[14], box[15]
        _span_shadow(box, sun, camera, hull)
        left, top, right, bottom = _screen_bounds(hull, camera, width, height, focal_px)
        for axis in range(3):
            # In the frame of the box: the eye, one over the sun, and the camera's axes.
            origin[axis], towards = 0.0, 0.0
            for c in range(3):
                part = box[4 + 3 * axis + c]
                origin[axis] += part * (camera[0, c] - box[1 + c])
                towards += part * sun[c]
            rate[axis] = 1.0 / towards if abs(towards) > 1e-9 else 1e9
            for k in range(3):
                turn[axis, k] = 0.0
                for c in range(3):
                    turn[axis, k] += box[4 + 3 * axis + c] * camera[1 + k, c]
        for y in range(max(top, first_row), min(bottom, end_row)):
            ray_up = (0.5 * height - (y + 0.5)) / focal_px
            row_x = turn[0, 0] + ray_up * turn[0, 2]
            row_y = turn[1, 0] + ray_up * turn[1, 2]
            row_z = turn[2, 0] + ray_up * turn[2, 2]
            for x in range(left, right):
                triangle = visibility.triangle[y, x]
                if triangle < 0:
                    continue
                depth = 1.0 / visibility.inverse_depth[y, x]
                ray_right = (x + 0.5 - 0.5 * width) / focal_px
                pz = origin[2] + depth * (row_z + ray_right * turn[2, 1])
                if abs(pz) > hz + _BELOW_BOX_M or triangles.instance[triangle] == instance:
                    continue
                px = origin[0] + depth * (row_x + ray_right * turn[0, 1])
                py = origin[1] + depth * (row_y + ray_right * turn[1, 1])
                # The ray towards the sun runs through the box between these parameters.
                x_one, x_other = (-hx - px) * rate[0], (hx - px) * rate[0]
                y_one, y_other = (-hy - py) * rate[1], (hy - py) * rate[1]
                z_one, z_other = (-hz - pz) * rate[2], (hz - pz) * rate[2]
                enter = max(min(x_one, x_other), min(y_one, y_other), min(z_one, z_other), 0.0)
                leave = min(max(x_one, x_other), max(y_one, y_other), max(z_one, z_other))
                code = int(out[y, x])
                if leave > enter:
                    code |= _IN_SHADOW
                above_foot = abs(pz + hz)
                beside_x, beside_y = max(0.0, abs(px) - hx), max(0.0, abs(py) - hy)
                beside_square = beside_x * beside_x + beside_y * beside_y
                if above_foot < _CONTACT_HEIGHT_M and beside_square < _CONTACT_REACH_M**2:
                    closeness = 1.0 - math.sqrt(beside_square) / _CONTACT_REACH_M
                    closeness *= 1.0 - above_foot / _CONTACT_HEIGHT_M
                    hidden = int(127.0 * _CONTACT_SHADE * closeness)
                    code = (code & _IN_SHADOW) | max(code & 127, hidden)
                out[y, x] = code


@compiled_part
def _span_shadow(
    box: NDArray[np.float64],
    sun: tuple[float, float, float],
    camera: NDArray[np.float64],
    hull: NDArray[np.float64],
) -> None:
    """Find (16, 3) points, relative to the eye, whose hull holds a box and all that it shades."""
    along = min((2.0 * box[15] + _BELOW_BOX_M) / max(sun[2], 0.01), _LONGEST_SHADOW_M)
    for k in range(8):
        for c in range(3):
            offset = box[1 + c] - camera[0, c]
            for axis in range(3):
                sign = 1.0 if k >> axis & 1 else -1.0
                reach = box[13 + axis] + (_CONTACT_REACH_M if axis < 2 else 0.0)
                offset += sign * reach * box[4 + 3 * axis + c]
            hull[k, c] = offset
            hull[8 + k, c] = offset - along * sun[c]


@compiled_part
def _screen_bounds(
    hull: NDArray[np.float64],
    camera: NDArray[np.float64],
    width: int,
    height: int,
    focal_px: float,
) -> tuple[int, int, int, int]:
    """Bound the picture of the convex hull of points relative to the eye: l, t, r, b in pixels."""
    left, top, right, bottom = float(width), float(height), 0.0, 0.0
    count = hull.shape[0]
    seen = np.empty((count, 3))
    for k in range(count):
        for axis in range(3):
            total = 0.0
            for c in range(3):
                total += camera[1 + axis, c] * hull[k, c]
            seen[k, axis] = total
    for k in range(count):
        for n in range(k, count):
            one, other = seen[k], seen[n]
            ahead, also = one[0] > NEAR_M, other[0] > NEAR_M
            if k == n and ahead:
                part = 0.0
            elif ahead != also:
                part = (NEAR_M - one[0]) / (other[0] - one[0])
            else:
                continue
            depth = one[0] + part * (other[0] - one[0])
            x = 0.5 * width + focal_px * (one[1] + part * (other[1] - one[1])) / depth
            y = 0.5 * height - focal_px * (one[2] + part * (other[2] - one[2])) / depth
            left, right = min(left, x), max(right, x)
            top, bottom = min(top, y), max(bottom, y)
    return (
        int(max(0.0, min(math.floor(left), float(width)))),
        int(max(0.0, min(math.floor(top), float(height)))),
        int(max(0.0, min(math.ceil(right), float(width)))),
        int(max(0.0, min(math.ceil(bottom), float(height)))),
    )
