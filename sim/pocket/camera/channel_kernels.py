"""What a picture holds besides colours: tags, depths, instances and normals."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sim.pocket.camera.buffers import ScreenTriangles, Visibility
from sim.pocket.compiled import compiled_lean

SKY_TAG = 11
_FAR_M = 1000.0


@compiled_lean
def write_numbers(
    visibility: Visibility,
    owner: NDArray[np.int32],
    numbers: NDArray[np.integer],
    nothing: int,
    out: NDArray[np.integer],
) -> None:
    """Write a number of what each pixel shows, (H, W): its tag, or its instance.

    Args:
        visibility: Who is seen where.
        owner: Whose each projected triangle is.
        numbers: The number of each owner.
        nothing: The number of pixels that show nothing.
        out: Filled completely.
    """
    height, width = out.shape
    for y in range(height):
        for x in range(width):
            triangle = visibility.triangle[y, x]
            out[y, x] = numbers[owner[triangle]] if triangle >= 0 else nothing


@compiled_lean
def write_depth(visibility: Visibility, out: NDArray[np.float32]) -> None:
    """Write each pixel's depth in metres, (H, W) float32, at most 1000."""
    height, width = out.shape
    for y in range(height):
        for x in range(width):
            inverse = visibility.inverse_depth[y, x]
            out[y, x] = min(1.0 / inverse, _FAR_M) if inverse > 0.0 else _FAR_M


@compiled_lean
def write_normals(
    visibility: Visibility,
    triangles: ScreenTriangles,
    surface: NDArray[np.float32],
    turns: NDArray[np.float64],
    out: NDArray[np.float32],
) -> None:
    """Write each pixel's normal, (H, W, 3) float32, world frame; 0 where nothing is.

    Args:
        visibility: Who is seen where.
        triangles: Projected triangles.
        surface: (T, 8) of the triangle table.
        turns: (I, 3, 3) the columns are the axes of each instance in the world.
        out: Filled completely.
    """
    height, width, _ = out.shape
    for y in range(height):
        last = -1
        nx, ny, nz = 0.0, 0.0, 0.0
        for x in range(width):
            triangle = visibility.triangle[y, x]
            if triangle != last:
                last = triangle
                nx, ny, nz = 0.0, 0.0, 0.0
                if triangle >= 0:
                    turn = turns[triangles.instance[triangle]]
                    source = triangles.source[triangle]
                    a, b, c = surface[source, 0], surface[source, 1], surface[source, 2]
                    nx = turn[0, 0] * a + turn[0, 1] * b + turn[0, 2] * c
                    ny = turn[1, 0] * a + turn[1, 1] * b + turn[1, 2] * c
                    nz = turn[2, 0] * a + turn[2, 1] * b + turn[2, 2] * c
            out[y, x, 0], out[y, x, 1], out[y, x, 2] = nx, ny, nz
