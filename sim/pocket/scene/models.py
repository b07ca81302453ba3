"""Models of everything that can move or change its look, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from sim.pocket.blueprints.props import prop_half_extent
from sim.pocket.scene.labels import CityObjectLabel
from sim.pocket.scene.mesh import Colour, Mesh, MeshBuilder
from sim.pocket.scene.shapes import add_block, add_disc, add_faces, plain
from sim.pocket.scene.solids import add_prism, ring

_HOUSING: Colour = (0.07, 0.075, 0.07)
#: Lit and unlit colour of the red, yellow and green lamp, in the order of CARLA's states.
_LAMPS: tuple[tuple[Colour, Colour], ...] = (
    ((0.98, 0.12, 0.08), (0.2, 0.05, 0.05)),
    ((0.98, 0.78, 0.1), (0.2, 0.17, 0.05)),
    ((0.1, 0.95, 0.45), (0.04, 0.18, 0.1)),
)
_ORANGE: Colour = (0.92, 0.34, 0.08)
_PALE: Colour = (0.93, 0.93, 0.92)


def signal_head_mesh(state: int) -> Mesh:
    """Return a traffic-light head whose lamps look along x; the origin is under its middle.

    Args:
        state: CARLA's TrafficLightState: red 0, yellow 1, green 2; any other number is dark.
    """
    builder = MeshBuilder()
    tag = CityObjectLabel.TRAFFIC_LIGHT
    add_block(builder, plain(tag, _HOUSING), (-0.13, -0.19, 0.0), (0.13, 0.19, 1.08))
    plate = [(-0.02, -0.32, -0.1), (-0.02, 0.32, -0.1), (-0.02, 0.32, 1.18), (-0.02, -0.32, 1.18)]
    add_faces(builder, plain(tag, _HOUSING), [plate], (-1.0, 0.0, 0.5))
    for lamp, z in enumerate((0.88, 0.54, 0.2)):
        lit, unlit = _LAMPS[lamp]
        material = plain(tag, lit, 1.0) if lamp == state else plain(tag, unlit)
        add_disc(builder, material, (0.145, 0.0, z), (1.0, 0.0, 0.0), 0.135)
        hood = [
            (0.13, -0.15, z + 0.1),
            (0.13, 0.15, z + 0.1),
            (0.33, 0.13, z + 0.14),
            (0.33, -0.13, z + 0.14),
        ]
        add_faces(builder, plain(tag, _HOUSING), [hood], (0.2, 0.0, 0.0))
    return builder.build()


def prop_mesh(type_id: str) -> Mesh:
    """Return the model of a static prop, as large as its bounding box; a crate if we have none.

    Args:
        type_id: Id of the blueprint, e.g. "static.prop.trafficcone01".

    Raises:
        UserError: There is no such prop.
    """
    builder = MeshBuilder()
    build = next((build for word, build in _PROPS if word in type_id), _add_crate)
    build(builder)
    mesh = builder.build()
    half = prop_half_extent(type_id)
    low, high = mesh.positions.min(axis=0), mesh.positions.max(axis=0)
    scale = 2.0 * np.array(half) / np.maximum(high - low, 1e-6)
    middle = np.array(((low[0] + high[0]) / 2.0, (low[1] + high[1]) / 2.0, low[2]))
    return replace(mesh, positions=((mesh.positions - middle) * scale).astype(np.float32))


def _add_bands(builder: MeshBuilder, levels: list[NDArray[np.float64]]) -> None:
    """Add an orange solid with a pale band between four rings of corners."""
    for index, colour in enumerate((_ORANGE, _PALE, _ORANGE)):
        material = plain(CityObjectLabel.STATIC, colour)
        add_prism(builder, levels[index : index + 2], material, closed_top=index == 2)


def _add_cone(builder: MeshBuilder) -> None:
    tag = CityObjectLabel.STATIC
    add_block(builder, plain(tag, (0.12, 0.12, 0.12)), (-0.2, -0.2, 0.0), (0.2, 0.2, 0.04))
    levels = ((0.04, 0.16), (0.28, 0.11), (0.46, 0.075), (0.7, 0.03))
    _add_bands(builder, [ring((0.0, 0.0, z), radius, 8) for z, radius in levels])


def _add_barrier(builder: MeshBuilder) -> None:
    tag = CityObjectLabel.STATIC
    for index in range(6):
        y = -0.9 + 0.3 * index
        colour = _ORANGE if index % 2 else _PALE
        add_block(builder, plain(tag, colour), (-0.03, y, 0.65), (0.03, y + 0.3, 0.95))
    for y in (-0.75, 0.75):
        add_block(builder, plain(tag, _PALE), (-0.25, y - 0.04, 0.0), (0.25, y + 0.04, 0.08))
        add_block(builder, plain(tag, _PALE), (-0.04, y - 0.04, 0.08), (0.04, y + 0.04, 0.66))


def _add_barrel(builder: MeshBuilder) -> None:
    _add_bands(builder, [ring((0.0, 0.0, z), 0.3, 10) for z in np.linspace(0.0, 0.9, 4)])


def _add_bin(builder: MeshBuilder) -> None:
    tag = CityObjectLabel.STATIC
    body, lid = (0.16, 0.34, 0.22), (0.1, 0.22, 0.15)
    add_block(builder, plain(tag, body), (-0.3, -0.3, 0.0), (0.3, 0.3, 0.95))
    add_block(builder, plain(tag, lid), (-0.33, -0.33, 0.95), (0.33, 0.33, 1.05))


def _add_bench(builder: MeshBuilder) -> None:
    tag = CityObjectLabel.STATIC
    wood, iron = (0.48, 0.32, 0.2), (0.2, 0.2, 0.2)
    add_block(builder, plain(tag, wood), (-0.25, -0.8, 0.42), (0.25, 0.8, 0.48))
    add_block(builder, plain(tag, wood), (-0.3, -0.8, 0.55), (-0.25, 0.8, 0.9))
    for y in (-0.7, 0.62):
        add_block(builder, plain(tag, iron), (-0.28, y, 0.0), (0.22, y + 0.08, 0.42))


def _add_warning_sign(builder: MeshBuilder) -> None:
    tag = CityObjectLabel.STATIC
    add_block(builder, plain(tag, (0.6, 0.6, 0.6)), (-0.04, -0.04, 0.0), (0.0, 0.04, 1.2))
    add_disc(builder, plain(tag, _ORANGE), (0.03, 0.0, 1.2), (1.0, 0.0, 0.0), 0.42)
    add_disc(builder, plain(tag, _PALE), (0.035, 0.0, 1.2), (1.0, 0.0, 0.0), 0.32)
    add_disc(builder, plain(tag, (0.6, 0.6, 0.6)), (-0.05, 0.0, 1.2), (-1.0, 0.0, 0.0), 0.42)


def _add_crate(builder: MeshBuilder) -> None:
    add_block(
        builder,
        plain(CityObjectLabel.STATIC, (0.62, 0.47, 0.3)),
        (-0.4, -0.4, 0.0),
        (0.4, 0.4, 0.8),
    )


_PROPS: tuple[tuple[str, Callable[[MeshBuilder], None]], ...] = (
    ("cone", _add_cone),
    ("warning", _add_warning_sign),
    ("barrier", _add_barrier),
    ("barrel", _add_barrel),
    ("trash", _add_bin),
    ("bin", _add_bin),
    ("container", _add_bin),
    ("bench", _add_bench),
)
