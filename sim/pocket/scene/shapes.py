"""Parts that the models of vehicles, people and things are put together from."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim.pocket.scene.labels import CityObjectLabel
from sim.pocket.scene.mesh import Colour, Material, MeshBuilder

Array = NDArray[np.float64]

TYRE: Colour = (0.06, 0.06, 0.065)
RIM: Colour = (0.62, 0.63, 0.65)
GLASS: Colour = (0.09, 0.12, 0.15)
TRIM: Colour = (0.1, 0.1, 0.11)
HEADLAMP: Colour = (0.98, 0.98, 0.9)
TAIL_LAMP: Colour = (0.72, 0.05, 0.05)


def plain(tag: CityObjectLabel, colour: Colour, emissive: float = 0.0) -> Material:
    """Return an untextured material; exactly white takes the paint of its instance."""
    return Material("plain", tag, colour, emissive)


def add_faces(
    builder: MeshBuilder, material: Material, quads: ArrayLike, inside: ArrayLike
) -> None:
    """Add (N, 4, 3) quads whose normals look away from the point `inside`."""
    corners = np.asarray(quads, np.float64).reshape(-1, 4, 3)
    normals = np.cross(corners[:, 2] - corners[:, 0], corners[:, 3] - corners[:, 1])
    away = corners.mean(axis=1) - np.asarray(inside, np.float64)
    normals *= np.where(np.einsum("ij,ij->i", normals, away) < 0.0, -1.0, 1.0)[:, None]
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    builder.add_quads(material, corners, normals, np.zeros((4, 2)))


def add_disc(
    builder: MeshBuilder, material: Material, centre: ArrayLike, axis: ArrayLike, radius_m: float
) -> None:
    """Add an octagon that looks along the unit vector `axis`, which must not be vertical."""
    forward = np.asarray(axis, np.float64)
    sideways = np.array((-forward[1], forward[0], 0.0))
    sideways /= np.linalg.norm(sideways)
    upward = np.cross(forward, sideways)
    angle = (np.arange(8) + 0.5) * np.pi / 4.0
    rim = np.cos(angle)[:, None] * sideways + np.sin(angle)[:, None] * upward
    fan = [(0, index, index + 1) for index in range(1, 7)]
    positions = np.asarray(centre, np.float64) + radius_m * rim
    builder.add(material, positions, forward, np.zeros((8, 2)), fan)


def add_wheel(
    builder: MeshBuilder,
    tag: CityObjectLabel,
    centre: tuple[float, float, float],
    size: tuple[float, float],
    *,
    both_sides: bool = False,
) -> None:
    """Add a wheel about the y axis; `size` is its radius and width; it shows its outer side."""
    radius, width = size
    angle = (np.arange(10) + 0.5) * np.pi / 5.0
    rim = np.stack([np.cos(angle) * radius, np.zeros(10), np.sin(angle) * radius], axis=1)
    half = np.array((0.0, width / 2.0, 0.0))
    middle = np.array(centre)
    following = np.roll(rim, -1, axis=0)
    tread = np.stack([rim - half, following - half, following + half, rim + half], 1) + middle
    add_faces(builder, plain(tag, TYRE), tread, middle)
    outer = 1.0 if centre[1] >= 0.0 else -1.0
    fan = [(0, index, index + 1) for index in range(1, 9)]
    for side in (outer, -outer)[: 2 if both_sides else 1]:
        normal = (0.0, side, 0.0)
        flank = middle + half * side
        builder.add(plain(tag, TYRE), flank + rim, normal, np.zeros((10, 2)), fan)
        hub = flank + np.array((0.0, 0.006 * side, 0.0))
        add_disc(builder, plain(tag, RIM), hub, normal, radius * 0.62)


def add_block(builder: MeshBuilder, material: Material, low: ArrayLike, high: ArrayLike) -> None:
    """Add all six sides of an upright box between two corners."""
    x0, y0, z0 = np.asarray(low, np.float64)
    x1, y1, z1 = np.asarray(high, np.float64)
    add_hexahedron(
        builder,
        material,
        [(x0, y0, z0), (x1, y0, z0), (x1, y1, z0), (x0, y1, z0)],
        [(x0, y0, z1), (x1, y0, z1), (x1, y1, z1), (x0, y1, z1)],
    )


def add_hexahedron(
    builder: MeshBuilder, material: Material, bottom: ArrayLike, top: ArrayLike
) -> None:
    """Add the six sides between two (4, 3) rings of corners."""
    low, high = np.asarray(bottom, np.float64), np.asarray(top, np.float64)
    sides = [[low[k], low[(k + 1) % 4], high[(k + 1) % 4], high[k]] for k in range(4)]
    middle = np.concatenate([low, high]).mean(axis=0)
    add_faces(builder, material, np.array([*sides, list(low), list(high)]), middle)


def add_limb(
    builder: MeshBuilder, material: Material, start: ArrayLike, end: ArrayLike, width_m: float
) -> None:
    """Add a straight bar with square section in any direction."""
    first, last = np.asarray(start, np.float64), np.asarray(end, np.float64)
    along = (last - first) / np.linalg.norm(last - first)
    reference = np.array((0.0, 1.0, 0.0) if abs(along[1]) < 0.9 else (1.0, 0.0, 0.0))
    side = np.cross(along, reference)
    side *= width_m / 2.0 / np.linalg.norm(side)
    other = np.cross(along, side)
    square = np.array([side + other, side - other, -side - other, -side + other])
    add_hexahedron(builder, material, first + square, last + square)
