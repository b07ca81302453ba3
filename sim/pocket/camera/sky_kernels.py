"""The sky: painted once for a light, and looked up where nothing else is."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim.pocket.compiled import compiled_lean, inlined_part

#: Perspective, air and the sky are worked out this often; a straight line is drawn between.
SPAN_PX = 8
OPAQUE = 0xFF000000


class Row(NamedTuple):
    """A row of the picture: rays of it are these plus steps to the right.

    Attributes:
        x: Of the ray in the middle, world frame, as y and z; one metre long ahead.
        square: Its length squared.
    """

    x: float
    y: float
    z: float
    square: float


@compiled_lean
def paint_sky(
    density: NDArray[np.float32],
    colours: NDArray[np.float64],
    cloudiness: float,
    fog_depth: float,
    out: NDArray[np.int64],
) -> None:
    """Paint the sky texture.

    Args:
        density: (S, S) cloud density 0..1.
        colours: (6, 3) zenith, horizon, glow, cloud, fog (0..1) and the direction to the sun.
        cloudiness: Share of sky under clouds, 0..1.
        fog_depth: Optical depth of the fog straight up.
        out: (S, S) output in lanes of 16 bits.
    """
    size = out.shape[0]
    # Fractal noise is nearly normal (mean 0.5, deviation about 0.12).
    threshold = 0.78 - 0.6 * cloudiness
    for row in range(size):
        for column in range(size):
            across = (column + 0.5) / size * 2.0 - 1.0
            down = (row + 0.5) / size * 2.0 - 1.0
            x = 0.5 * (across + down)
            y = 0.5 * (across - down)
            z = max(0.0, 1.0 - abs(x) - abs(y))
            length = math.sqrt(x * x + y * y + z * z)
            x, y, z = x / length, y / length, z / length
            overhead = math.sqrt(z)
            towards = max(0.0, x * colours[5, 0] + y * colours[5, 1] + z * colours[5, 2])
            near_sun = towards**8 * 0.3 + towards**120 * 0.5
            disc = min(1.0, max(0.0, (towards - 0.99985) * 12000.0))
            thickness = (density[row, column] - threshold) / 0.16
            thickness = max(0.0, min(1.0, thickness)) * min(1.0, z * 7.0)
            cover = thickness * thickness * (3.0 - 2.0 * thickness) * 0.92
            rim = 1.0 - 0.22 * thickness * (1.0 - near_sun)
            clear_air = math.exp(-fog_depth / max(z, 0.04))
            packed = 0
            for channel in range(3):
                value = colours[1, channel] + (colours[0, channel] - colours[1, channel]) * overhead
                value += colours[2, channel] * near_sun * (1.0 - 0.6 * cover)
                value += (colours[3, channel] * rim - value) * cover
                value += colours[2, channel] * disc * 2.0 * (1.0 - cover)
                value = colours[4, channel] + (value - colours[4, channel]) * clear_air
                packed |= int(max(0.0, min(value, 1.0)) * 255.0 + 0.5) << (16 * channel)
            out[row, column] = packed


@inlined_part
def shade_sky(
    sky: NDArray[np.int64],
    row: Row,
    camera: NDArray[np.float64],
    rights: NDArray[np.float64],
    start: int,
    end: int,
    out: NDArray[np.uint32],
) -> None:
    """Colour a run of pixels in which nothing is."""
    while start < end:
        last = min(start + SPAN_PX, end) - 1
        right = rights[start]
        across, down = _sky_place(
            sky,
            row.x + right * camera[2, 0],
            row.y + right * camera[2, 1],
            row.z + right * camera[2, 2],
        )
        right = rights[last]
        end_across, end_down = _sky_place(
            sky,
            row.x + right * camera[2, 0],
            row.y + right * camera[2, 1],
            row.z + right * camera[2, 2],
        )
        part = 1.0 / max(1, last - start)
        across_step, down_step = (end_across - across) * part, (end_down - down) * part
        for x in range(start, last + 1):
            out[x] = _sky_colour(sky, across, down)
            across, down = across + across_step, down + down_step
        start = last + 1


@inlined_part
def _sky_place(sky: NDArray[np.int64], x: float, y: float, z: float) -> tuple[float, float]:
    """Return where in the picture of the sky a direction (not normalised) lies."""
    z = max(z, 0.0)
    scale = 1.0 / (abs(x) + abs(y) + z)
    across = max(0.0, ((x + y) * scale * 0.5 + 0.5) * sky.shape[0] - 0.5)
    down = max(0.0, ((x - y) * scale * 0.5 + 0.5) * sky.shape[0] - 0.5)
    return across, down


@inlined_part
def _sky_colour(sky: NDArray[np.int64], across: float, down: float) -> int:
    """Interpolate the picture of the sky; packed B, G, R, A."""
    last = sky.shape[0] - 1
    column = min(int(across), last)
    row = min(int(down), last)
    right = min(int((across - column) * 16.0), 16)
    below = min(int((down - row) * 16.0), 16)
    next_column = min(column + 1, last)
    next_row = min(row + 1, last)
    upper, lower = np.uint64(row), np.uint64(next_row)
    left, beside = np.uint64(column), np.uint64(next_column)
    mixed = (
        sky[upper, left] * ((16 - right) * (16 - below))
        + sky[upper, beside] * (right * (16 - below))
        + sky[lower, left] * ((16 - right) * below)
        + sky[lower, beside] * (right * below)
    )
    red, green, blue = mixed >> 8 & 0xFF, mixed >> 24 & 0xFF, mixed >> 40
    return int(OPAQUE | red << 16 | green << 8 | blue)
