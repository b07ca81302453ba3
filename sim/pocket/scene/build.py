"""Assemble a town's scene from its OpenDRIVE text."""

from __future__ import annotations

from dataclasses import dataclass

import carla
import numpy as np
from numpy.typing import NDArray

from sim.opendrive import read_roads
from sim.pocket.geometry import OrientedBox
from sim.pocket.scene.buildings import add_buildings
from sim.pocket.scene.embankments import add_embankments
from sim.pocket.scene.ground_plan import GroundPlan
from sim.pocket.scene.junctions import add_crosswalks, add_paving, add_stop_lines, find_gaps
from sim.pocket.scene.markings import add_markings
from sim.pocket.scene.mesh import Mesh, MeshBuilder, reorder_triangles
from sim.pocket.scene.placing import Site, roadsides
from sim.pocket.scene.roads import add_roads
from sim.pocket.scene.sampling import sample_sections
from sim.pocket.scene.street_furniture import add_street_lamps, add_traffic_signs
from sim.pocket.scene.terrain import add_terrain, shape_terrain
from sim.pocket.scene.traffic_signals import (
    SignalHead,
    add_traffic_signals,
    find_approaches,
    stop_places,
)
from sim.pocket.scene.vegetation import add_street_trees, add_woods

TILE_M = 48.0
MARGIN_M = 160.0
"""How far the shaped ground reaches beyond the roads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A town that can be drawn and run into.

    Attributes:
        static: All triangles that never move, sorted by tile.
        tiles: (K, 8) float64: least x, y, z, greatest x, y, z (metres), first triangle, count.
        obstacles: Boxes that stop a vehicle.
        signs: Boxes of the faces of traffic signs.
        signal_heads: Where traffic-light heads are to be drawn.
        lamps: (N, 3) float64: the ground below the heads of street lamps, metres.
        terrain_z_m: Height of the ground far from any road.
    """

    static: Mesh
    tiles: NDArray[np.float64]
    obstacles: tuple[OrientedBox, ...]
    signs: tuple[OrientedBox, ...]
    signal_heads: tuple[SignalHead, ...]
    lamps: NDArray[np.float64]
    terrain_z_m: float


def build_scene(opendrive: str, carla_map: carla.Map, seed: int = 0) -> Scene:
    """Build the scene of a map.

    Args:
        opendrive: The OpenDRIVE text.
        carla_map: The same map, parsed by carla.
        seed: Seed of everything the map does not say: buildings, trees, hills.

    Returns:
        The scene; the same text and seed give the same bytes.

    Raises:
        DataError: The text is not OpenDRIVE.
    """
    rng = np.random.default_rng(seed)
    sections = sample_sections(carla_map, read_roads(opendrive))
    gaps = find_gaps(sections)
    plan = GroundPlan(sections, gaps, MARGIN_M)
    terrain = shape_terrain(plan, rng)
    builder = MeshBuilder()
    site = Site(builder=builder, plan=plan, terrain=terrain, obstacles=[])
    add_terrain(builder, terrain, rng)
    add_roads(builder, sections, plan)
    add_markings(builder, sections)
    add_paving(builder, gaps)
    add_embankments(builder, sections, plan, terrain)
    add_crosswalks(builder, carla_map)
    approaches = find_approaches(carla_map)
    add_stop_lines(builder, stop_places(approaches, carla_map))
    heads = add_traffic_signals(site, approaches)
    signs = add_traffic_signs(site, carla_map)
    sides = list(roadsides(sections))
    lamps = add_street_lamps(site, sides)
    add_buildings(site, sides, rng)
    add_street_trees(site, sides, rng)
    add_woods(site, rng)
    static, tiles = sort_into_tiles(builder.build())
    return Scene(
        static=static,
        tiles=tiles,
        obstacles=tuple(site.obstacles),
        signs=tuple(signs),
        signal_heads=tuple(heads),
        lamps=lamps,
        terrain_z_m=float(np.median(terrain.z_m)),
    )


def sort_into_tiles(mesh: Mesh) -> tuple[Mesh, NDArray[np.float64]]:
    """Sort triangles into square tiles of the ground.

    Returns:
        The mesh with its triangles in tile order, and (K, 8) float64 tiles: bounds (m), first
        triangle, count.
    """
    corners = mesh.positions[mesh.triangles]
    keys = np.floor(corners[..., :2].astype(np.float64).mean(axis=1) / TILE_M).astype(np.int64)
    _, tile_of, counts = np.unique(keys, axis=0, return_inverse=True, return_counts=True)
    order = np.argsort(tile_of.ravel(), kind="stable")
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    sorted_corners = corners[order].astype(np.float64)
    lows = np.minimum.reduceat(sorted_corners.min(axis=1), starts, axis=0)
    highs = np.maximum.reduceat(sorted_corners.max(axis=1), starts, axis=0)
    return reorder_triangles(mesh, order), np.column_stack([lows, highs, starts, counts])
