"""The arrays that the camera's kernels hand to one another.

They are named tuples because numba takes those as arguments.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim.pocket.scene.mesh import Mesh

#: Columns of `TriangleTable.surface`.
NORMAL = 0
COLOUR = 3
EMISSIVE = 6
PAINTED = 7


class TriangleTable(NamedTuple):
    """Meshes as separate triangles, laid out so that the transform runs on whole vectors.

    Attributes:
        corners: (3, 3, T) float32; corner, axis, triangle; metres in the frame of the mesh.
        uvs: (T, 3, 2) float32, texture repeats.
        surface: (T, 8) float32: unit normal, colour 0..1, emission 0..1, 1 where the paint shows.
        texture: (T,) int32, texture layer.
        tag: (T,) uint8, semantic label.
    """

    corners: NDArray[np.float32]
    uvs: NDArray[np.float32]
    surface: NDArray[np.float32]
    texture: NDArray[np.int32]
    tag: NDArray[np.uint8]


class ScreenTriangles(NamedTuple):
    """Triangles after projection and clipping, in pixels.

    Attributes:
        planes: (N, 9) float64: a, b, c of `a + b x + c y` for 1/depth, u/depth and v/depth.
        density: (N,) float64; texels per pixel (as areas) times depth cubed.
        outline: (N, 6) float64: x, y of the corners from top to bottom.
        source: (N,) int32, row of the triangle table.
        instance: (N,) int32, row of the instance table.
    """

    planes: NDArray[np.float64]
    density: NDArray[np.float64]
    outline: NDArray[np.float64]
    source: NDArray[np.int32]
    instance: NDArray[np.int32]


class Visibility(NamedTuple):
    """What each pixel sees.

    Attributes:
        inverse_depth: (H, W) float32, 1/m; 0 where nothing is.
        triangle: (H, W) int32, row of `ScreenTriangles`; -1 where nothing is.
        least: (H, W / 8) float32; while it is being filled, the least inverse depth of blocks.
        scratch: (H, W) int32.
    """

    inverse_depth: NDArray[np.float32]
    triangle: NDArray[np.int32]
    least: NDArray[np.float32]
    scratch: NDArray[np.int32]


def triangle_table(meshes: Sequence[Mesh]) -> TriangleTable:
    """Flatten meshes one after the other into one table; normals are averaged per triangle."""
    corners = np.concatenate([mesh.positions[mesh.triangles] for mesh in meshes])
    return TriangleTable(
        corners=np.ascontiguousarray(corners.transpose(1, 2, 0)),
        uvs=np.concatenate([mesh.uvs[mesh.triangles] for mesh in meshes]),
        surface=np.concatenate([_surface_of(mesh) for mesh in meshes]),
        texture=np.concatenate([mesh.textures for mesh in meshes]).astype(np.int32),
        tag=np.concatenate([mesh.tags for mesh in meshes]),
    )


def screen_triangles(capacity: int) -> ScreenTriangles:
    """Make room for a number of projected triangles."""
    return ScreenTriangles(
        planes=np.zeros((capacity, 9)),
        density=np.zeros(capacity),
        outline=np.zeros((capacity, 6)),
        source=np.zeros(capacity, np.int32),
        instance=np.zeros(capacity, np.int32),
    )


def visibility_buffer(height: int, width: int) -> Visibility:
    """Make room for a picture."""
    return Visibility(
        inverse_depth=np.zeros((height, width), np.float32),
        triangle=np.zeros((height, width), np.int32),
        least=np.zeros((height, -(-width // 8)), np.float32),
        scratch=np.zeros((height, width), np.int32),
    )


def _surface_of(mesh: Mesh) -> NDArray[np.float32]:
    corner_colours = mesh.colours[mesh.triangles]
    surface = np.empty((len(mesh.triangles), 8), np.float32)
    normal = mesh.normals[mesh.triangles].mean(axis=1)
    length = np.linalg.norm(normal, axis=1, keepdims=True)
    surface[:, NORMAL : NORMAL + 3] = normal / np.maximum(length, 1e-6)
    surface[:, COLOUR : COLOUR + 3] = corner_colours.mean(axis=1)
    surface[:, EMISSIVE] = mesh.emissive
    surface[:, PAINTED] = (corner_colours == 1.0).all(axis=(1, 2))
    return surface
