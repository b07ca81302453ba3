"""Triangles with everything a renderer needs, and the builder that collects them.

Positions are metres in CARLA's left-handed frame (x forward, y right, z up) or in an actor's own
frame. Both sides of a triangle are drawn; its normal decides the light.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim.pocket.scene.labels import CityObjectLabel
from sim.pocket.scene.textures import texture_index

Colour = tuple[float, float, float]
WHITE: Colour = (1.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mesh:
    """A set of textured triangles.

    Attributes:
        positions: (V, 3) float32, metres.
        normals: (V, 3) float32, unit vectors pointing out of the surface.
        uvs: (V, 2) float32, texture repeats; row `v * 256` and column `u * 256` of the texture.
        colours: (V, 3) float32, 0..1, multiplies the texture.
        triangles: (T, 3) int32, vertex indices.
        textures: (T,) uint8, index into `textures.TEXTURE_NAMES`.
        tags: (T,) uint8, `CityObjectLabel`.
        emissive: (T,) float32, 0..1; how much of the colour glows without any light falling on it.
    """

    positions: NDArray[np.float32]
    normals: NDArray[np.float32]
    uvs: NDArray[np.float32]
    colours: NDArray[np.float32]
    triangles: NDArray[np.int32]
    textures: NDArray[np.uint8]
    tags: NDArray[np.uint8]
    emissive: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Material:
    """How a surface looks and what it is."""

    texture: str
    tag: CityObjectLabel
    colour: Colour = WHITE
    emissive: float = 0.0


class MeshBuilder:
    """Collects surfaces and joins them into one `Mesh`."""

    def __init__(self) -> None:
        """Start empty."""
        self._vertices: list[NDArray[np.float32]] = []
        self._triangles: list[NDArray[np.int32]] = []
        self._faces: list[NDArray[np.float32]] = []
        self._vertex_count = 0

    def add(
        self,
        material: Material,
        positions: ArrayLike,
        normals: ArrayLike,
        uvs: ArrayLike,
        triangles: ArrayLike,
    ) -> None:
        """Append one surface.

        Args:
            material: Its texture, tag and colour.
            positions: (V, 3) metres.
            normals: (V, 3), or one (3,) normal for all vertices.
            uvs: (V, 2) texture repeats.
            triangles: (T, 3) indices into `positions`.
        """
        points = np.asarray(positions, np.float32)
        vertices = np.empty((len(points), 11), np.float32)
        vertices[:, :3] = points
        vertices[:, 3:6] = normals
        vertices[:, 6:8] = uvs
        vertices[:, 8:11] = material.colour
        corners = np.asarray(triangles, np.int32).reshape(-1, 3)
        face = (texture_index(material.texture), material.tag, material.emissive)
        self._vertices.append(vertices)
        self._triangles.append(corners + np.int32(self._vertex_count))
        self._faces.append(np.broadcast_to(np.array(face, np.float32), (len(corners), 3)))
        self._vertex_count += len(points)

    def add_quads(
        self, material: Material, corners: ArrayLike, normals: ArrayLike, uvs: ArrayLike
    ) -> None:
        """Append N separate quads.

        Args:
            material: Their texture, tag and colour.
            corners: (N, 4, 3) metres, in order around each quad.
            normals: (N, 3) or (3,).
            uvs: (N, 4, 2) or (4, 2).
        """
        quads = np.asarray(corners, np.float32).reshape(-1, 4, 3)
        count = len(quads)
        repeated = np.repeat(np.broadcast_to(np.asarray(normals, np.float32), (count, 3)), 4, 0)
        first = 4 * np.arange(count)[:, None, None]
        triangles = first + np.array([[0, 1, 2], [0, 2, 3]])
        spread = np.broadcast_to(np.asarray(uvs, np.float32), (count, 4, 2)).reshape(-1, 2)
        self.add(material, quads.reshape(-1, 3), repeated, spread, triangles)

    def build(self) -> Mesh:
        """Return everything added so far as one mesh."""
        vertices = np.concatenate([np.empty((0, 11), np.float32), *self._vertices])
        faces = np.concatenate([np.empty((0, 3), np.float32), *self._faces])
        return Mesh(
            positions=np.ascontiguousarray(vertices[:, :3]),
            normals=np.ascontiguousarray(vertices[:, 3:6]),
            uvs=np.ascontiguousarray(vertices[:, 6:8]),
            colours=np.ascontiguousarray(vertices[:, 8:11]),
            triangles=np.concatenate([np.empty((0, 3), np.int32), *self._triangles]),
            textures=faces[:, 0].astype(np.uint8),
            tags=faces[:, 1].astype(np.uint8),
            emissive=np.ascontiguousarray(faces[:, 2]),
        )


def reorder_triangles(mesh: Mesh, order: NDArray[np.intp]) -> Mesh:
    """Return the mesh with its triangles in the given order."""
    return replace(
        mesh,
        triangles=np.ascontiguousarray(mesh.triangles[order]),
        textures=mesh.textures[order],
        tags=mesh.tags[order],
        emissive=mesh.emissive[order],
    )
