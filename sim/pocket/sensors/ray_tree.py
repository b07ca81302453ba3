"""Trees of boxes around the triangles of a mesh, so that rays meet few of them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim.pocket.scene.mesh import Mesh

Array = NDArray[np.float64]

#: Triangles of a leaf are more than half of this.
_LARGEST_LEAF = 6
#: Boxes are larger than what they hold by this, m, so that flat ones have an inside.
_MARGIN_M = 1e-3


class RayTree(NamedTuple):
    """A complete binary tree: node i has the children 2 i and 2 i + 1, the root is node 1.

    Attributes:
        boxes: (2 L, 6) float64, m; least and greatest corner of every node.
        triangles: (L * leaf, 9) float64, m; a corner and the two edges from it, whose cross
            product points out of the surface. Leaf n holds rows n * leaf to (n + 1) * leaf.
        normals: (L * leaf, 3) float64, unit vectors out of the surface.
        tags: (L * leaf,) uint8, `CityObjectLabel`.
        textures: (L * leaf,) uint8; layer of the texture, whose holes rays pass through.
        uvs: (L * leaf, 6) float64, texture repeats; u and v at the corner, and along both edges.
        leaf: Triangles of a leaf; some stand in two leaves so that all are full.
        radius_m: How far the mesh reaches from its origin.
    """

    boxes: Array
    triangles: Array
    normals: Array
    tags: NDArray[np.uint8]
    textures: NDArray[np.uint8]
    uvs: Array
    leaf: int
    radius_m: float


def build_tree(mesh: Mesh) -> RayTree:
    """Build the tree of a mesh by halving along the longest side, all nodes of a level at once."""
    corners = mesh.positions[mesh.triangles].astype(np.float64)
    count = len(corners)
    leaves = 1 << max(0, int(np.floor(np.log2(max(1.0, 2.0 * count / _LARGEST_LEAF)))))
    leaf = -(-count // leaves)
    # Where leaves would not be full, some triangles stand twice, spread over the mesh.
    order = np.linspace(0, count - 1, leaves * leaf).round().astype(np.intp)
    centres = corners.mean(axis=1)
    nodes = 1
    while nodes < leaves:
        order = order.reshape(nodes, -1)
        places = centres[order]
        axes = np.ptp(places, axis=1).argmax(axis=1)
        along = np.take_along_axis(places, axes[:, None, None], axis=2)[..., 0]
        order = np.take_along_axis(order, along.argsort(axis=1, kind="stable"), axis=1)
        nodes *= 2
    order = order.ravel()
    # Corners in the order that turns a triangle to the side where its normals point.
    outward = _outward(corners[order], mesh.normals[mesh.triangles[order]].sum(axis=1))
    rows = order[:, None]
    triangles = _from_corner(corners[rows, outward])
    normals = np.cross(triangles[:, 3:6], triangles[:, 6:9])
    return RayTree(
        boxes=_boxes(corners[order], leaves),
        triangles=triangles,
        normals=normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12),
        tags=mesh.tags[order],
        textures=mesh.textures[order],
        uvs=_from_corner(mesh.uvs[mesh.triangles][rows, outward].astype(np.float64)),
        leaf=leaf,
        radius_m=float(np.linalg.norm(corners, axis=2).max()),
    )


def _boxes(corners: Array, leaves: int) -> Array:
    """Return the boxes of all nodes, from the leaves up to the root."""
    boxes = np.zeros((2 * leaves, 6))
    grouped = corners.reshape(leaves, -1, 3)
    boxes[leaves:, :3] = grouped.min(axis=1) - _MARGIN_M
    boxes[leaves:, 3:] = grouped.max(axis=1) + _MARGIN_M
    first = leaves
    while first > 1:
        pairs = boxes[first : 2 * first].reshape(-1, 2, 6)
        first //= 2
        boxes[first : 2 * first, :3] = pairs[..., :3].min(axis=1)
        boxes[first : 2 * first, 3:] = pairs[..., 3:].max(axis=1)
    return boxes


def _outward(corners: Array, normals: NDArray[np.float32]) -> NDArray[np.intp]:
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    inward = (np.cross(first, second) * normals).sum(axis=1) < 0.0
    return np.where(inward[:, None], [0, 2, 1], [0, 1, 2])


def _from_corner(values: Array) -> Array:
    """Return values at the three corners as the first and the differences from it, in a row."""
    first = values[:, 0]
    parts = [first, values[:, 1] - first, values[:, 2] - first]
    return np.ascontiguousarray(np.concatenate(parts, axis=1))
