"""Scan conversion: which triangle does each pixel, or each ray of the sun, meet first."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from sim.pocket.camera.buffers import ScreenTriangles, Visibility
from sim.pocket.camera.geometry_kernels import LINE_TAG
from sim.pocket.camera.textures import TexturePyramid
from sim.pocket.compiled import compiled_lean, compiled_part, inlined_part

#: Coverage (of 255) above which a texel of a cut-out texture is solid.
_SOLID = 110
#: A road line this wide, in pixels, is drawn one pixel wide: a line that a camera would show as
#: a pale stroke must not fall apart into dots between the pixel centres.
_THINNEST_LINE_PX = 0.25
#: Blocks of this many pixels squared are known by the farthest thing that they show.
_BLOCK_BITS = 3
_BLOCK_PX = 1 << _BLOCK_BITS
#: The blocks are looked at after so many triangles, which come from near to far, and anew whenever
#: there are a quarter more.
_FIRST_LOOK = 256
_LARGEST_INT32 = 0x7FFFFFFF
#: More than rounding does to a sum of three products, as a part of them.
_ROUNDING = 1e-12


@compiled_part
def mip_level(texels_per_pixel: float, coarsest: int) -> int:
    """Choose the mip level for an area ratio: half its binary exponent, rounded.

    The area ratio is the product of both axes of the pixel's footprint, so an oblique road is
    blurred less than by the longer axis and shimmers less than by the shorter one.
    """
    exponent = (int(np.float32(texels_per_pixel).view(np.int32)) >> 23) - 127
    return max(0, min(coarsest, (exponent + 1) >> 1))


@compiled_lean
def rasterise(
    triangles: ScreenTriangles,
    count: int,
    texture: NDArray[np.int32],
    tag: NDArray[np.uint8],
    pyramid: TexturePyramid,
    out: Visibility,
    first_row: int,
    end_row: int,
) -> None:
    """Fill rows of the visibility buffer: a pixel is the nearest triangle's over its centre.

    Args:
        triangles: Projected triangles.
        count: How many of them are valid.
        texture: (T,) texture layer of the triangle table.
        tag: (T,) semantic label of the triangle table.
        pyramid: Textures, for those with cut-outs (leaves).
        out: These rows of it are filled completely.
        first_row: Of the rows.
        end_row: The row after the last one.
    """
    inverse_depth = out.inverse_depth
    owner = out.triangle
    width = owner.shape[1]
    inverse_depth[first_row:end_row] = np.float32(0.0)
    owner[first_row:end_row] = np.int32(-1)
    coarsest = pyramid.starts.shape[0] - 1
    next_look = _FIRST_LOOK
    for triangle in range(count):
        if triangle == next_look:
            _find_farthest(out, first_row, end_row)
            next_look += max(_FIRST_LOOK, triangle >> 2)
        outline = triangles.outline[triangle]
        if outline[5] < first_row or outline[1] > end_row:
            continue
        xa, ya, xb, yb, xc, yc = (
            outline[0], outline[1], outline[2], outline[3], outline[4], outline[5],
        )  # fmt: skip
        plane = triangles.planes[triangle]
        q0, q1, q2 = plane[0], plane[1], plane[2]
        first = max(first_row, math.ceil(ya - 0.5))
        last = min(end_row, math.ceil(yc - 0.5))
        left = max(0, math.floor(min(xa, xb, xc)) - 1)
        right = min(width, math.ceil(max(xa, xb, xc)) + 1)
        if first >= last or left >= right:
            continue
        if triangle >= _FIRST_LOOK and _is_hidden(
            out.least, q0, q1, q2, left, right, first, last, first_row
        ):
            continue
        layer = texture[triangles.source[triangle]]
        cut_out = pyramid.cut_out[layer]
        is_line = tag[triangles.source[triangle]] == LINE_TAG
        slope_long = (xc - xa) / (yc - ya)
        slope_above = (xb - xa) / (yb - ya) if yb > ya else 0.0
        slope_below = (xc - xb) / (yc - yb) if yc > yb else 0.0
        for y in range(first, last):
            centre_y = y + 0.5
            one = xa + (centre_y - ya) * slope_long
            if centre_y < yb:
                other = xa + (centre_y - ya) * slope_above
            else:
                other = xb + (centre_y - yb) * slope_below
            first_x = math.ceil(min(one, other) - 0.5)
            end_x = math.ceil(max(one, other) - 0.5)
            if is_line and end_x <= first_x and abs(one - other) > _THINNEST_LINE_PX:
                first_x = math.floor(0.5 * (one + other))
                end_x = first_x + 1
            start, end = max(0, first_x), min(width, end_x)
            base = q0 + q2 * centre_y
            depth_row = inverse_depth[y]
            owner_row = owner[y]
            if not cut_out:
                for x in range(start, end):
                    inverse = np.float32(base + q1 * (x + 0.5))
                    if inverse > depth_row[x]:
                        depth_row[x] = inverse
                        owner_row[x] = triangle
                continue
            for x in range(start, end):
                centre_x = x + 0.5
                inverse = np.float32(base + q1 * centre_x)
                if inverse > depth_row[x]:
                    depth = 1.0 / inverse
                    density = triangles.density[triangle] * depth * depth * depth
                    level = mip_level(density, coarsest)
                    u = (plane[3] + plane[4] * centre_x + plane[5] * centre_y) * depth
                    v = (plane[6] + plane[7] * centre_x + plane[8] * centre_y) * depth
                    if is_solid(pyramid, layer, level, u, v):
                        depth_row[x] = inverse
                        owner_row[x] = triangle


@inlined_part
def _find_farthest(out: Visibility, first_row: int, end_row: int) -> None:
    """Write the least inverse depth of each block of pixels, counted from the first row."""
    width = out.triangle.shape[1]
    # Floats from 0 up are in the order of their bits, and the least integer is found faster.
    smallest = out.scratch[first_row]
    for first in range(first_row, end_row, _BLOCK_PX):
        smallest[:] = np.int32(_LARGEST_INT32)
        for y in range(first, min(end_row, first + _BLOCK_PX)):
            row = out.inverse_depth[y].view(np.int32)
            for x in range(width):
                smallest[x] = min(smallest[x], row[x])
        # Each takes in who stands so far to the right: the first of a block knows all of it.
        for reach in (4, 2, 1):
            for x in range(width - reach):
                smallest[x] = min(smallest[x], smallest[x + reach])
        found = smallest.view(np.float32)
        least = out.least[first_row + ((first - first_row) >> _BLOCK_BITS)]
        for block in range(least.shape[0]):
            least[block] = found[block << _BLOCK_BITS]


@inlined_part
def _is_hidden(
    least: NDArray[np.float32],
    q0: float,
    q1: float,
    q2: float,
    left: int,
    right: int,
    top: int,
    bottom: int,
    first_row: int,
) -> bool:
    """Tell whether a plane is nowhere in a rectangle nearer than what its blocks show already."""
    across = max(q1 * (left + 0.5), q1 * (right - 0.5))
    down = max(q2 * (top + 0.5), q2 * (bottom - 0.5))
    rounding = _ROUNDING * (abs(q0) + abs(across) + abs(down))
    nearest = np.float32(q0 + across + down + rounding)
    top, bottom = top - first_row, bottom - 1 - first_row
    for block_row in range(top >> _BLOCK_BITS, (bottom >> _BLOCK_BITS) + 1):
        for block in range(left >> _BLOCK_BITS, ((right - 1) >> _BLOCK_BITS) + 1):
            if nearest > least[first_row + block_row, block]:
                return False
    return True


@inlined_part
def is_solid(pyramid: TexturePyramid, layer: int, level: int, u: float, v: float) -> bool:
    """Tell whether a cut-out texture covers a place, by the nearest texel of a mip level."""
    size = pyramid.size >> level
    row = math.floor(v * size) & (size - 1)
    column = math.floor(u * size) & (size - 1)
    texel = pyramid.starts[level] + (layer * size + row) * size + column
    return bool(pyramid.coverage[texel] > _SOLID)
