"""Road surfaces, kerbs and raised sidewalks."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from sim.pocket.scene.ground_plan import GroundPlan
from sim.pocket.scene.labels import CityObjectLabel
from sim.pocket.scene.mesh import Material, MeshBuilder
from sim.pocket.scene.sampling import SLIVER_M, LaneStrip, SampledSection, raised
from sim.pocket.scene.surfaces import ASPHALT, SHOULDER, VERGE, Surface, surface_of_lane

Array = NDArray[np.float64]

KERB_WIDTH_M = 0.15
SHOULDER_BELOW_M = 0.008
SHORTEST_PIECE_M = 1.5
KERB_MATERIAL = Material("kerb", CityObjectLabel.SIDEWALKS)
_UP = (0.0, 0.0, 1.0)


def add_roads(builder: MeshBuilder, sections: Sequence[SampledSection], plan: GroundPlan) -> None:
    """Add the surface of every lane of every section."""
    for section in sections:
        for surface, strips in _runs_across(section):
            band = _Band(surface, strips)
            if surface.height_m > 0.0:
                _add_raised(builder, section, band, plan)
            elif surface is SHOULDER:
                # a turning lane may cross it
                look = ASPHALT if section.in_junction else SHOULDER
                low = -SHOULDER_BELOW_M
                add_strip(builder, look, raised(band.first, low), raised(band.last, low))
            else:
                add_strip(builder, surface, band.first, band.last)


class _Band:
    """Neighbouring lanes of one surface, as one strip from its first to its last boundary."""

    def __init__(self, surface: Surface, strips: Sequence[LaneStrip]) -> None:
        self.surface = surface
        self.first = strips[0].inner
        self.last = strips[-1].outer


def _runs_across(section: SampledSection) -> list[tuple[Surface, list[LaneStrip]]]:
    """Group lanes across the road, left to right, into runs of one surface."""
    flipped = [
        LaneStrip(lane=strip.lane, inner=strip.outer, outer=strip.inner)
        for strip in reversed(section.left)
    ]
    strips = [s for s in (*flipped, *section.right) if s.width_m > SLIVER_M]
    while strips and surface_of_lane(strips[0].lane.kind) is VERGE:
        strips.pop(0)
    while strips and surface_of_lane(strips[-1].lane.kind) is VERGE:
        strips.pop()
    runs = groupby(strips, key=lambda strip: surface_of_lane(strip.lane.kind))
    return [(surface, list(run)) for surface, run in runs]


def strip_triangles(count: int) -> NDArray[np.int64]:
    """Return (2 * (count - 1), 3) indices of a strip whose edges alternate vertex by vertex."""
    first = 2 * np.arange(count - 1, dtype=np.int64)[:, None, None]
    pair = np.array([[0, 1, 3], [0, 3, 2]], np.int64)
    return np.add(first, pair).reshape(-1, 3)


def interleave(one: Array, other: Array) -> Array:
    """Return (2 N, 3) vertices of a strip between two (N, 3) edges."""
    return np.stack([one, other], axis=1).reshape(-1, 3)


def add_strip(builder: MeshBuilder, surface: Surface, one: Array, other: Array) -> None:
    """Add a flat strip between two (N, 3) edges; its texture lies fixed on the world."""
    vertices = interleave(one, other)
    builder.add(
        surface.material,
        vertices,
        _UP,
        vertices[:, :2] / surface.repeat_m,
        strip_triangles(len(one)),
    )


def _add_raised(
    builder: MeshBuilder, section: SampledSection, band: _Band, plan: GroundPlan
) -> None:
    """Add a sidewalk or median with kerbs, leaving out what lies across a driven lane."""
    for first, last in _pieces_off_the_road(section, band, plan):
        top = np.array((0.0, 0.0, band.surface.height_m))
        _add_kerbed(builder, band.surface, first + top, last + top)


def _pieces_off_the_road(
    section: SampledSection, band: _Band, plan: GroundPlan
) -> list[tuple[Array, Array]]:
    """Split a raised band where, in a junction, other roads drive over it."""
    if not section.in_junction:
        return [(band.first, band.last)]
    keep = np.ones(len(band.first) - 1, bool)
    for fraction in (0.15, 0.5, 0.85):
        line = band.first + fraction * (band.last - band.first)
        for along in (0.25, 0.75):
            point = line[:-1] + along * np.diff(line, axis=0)
            height = plan.driven[plan.cells(point[:, 0], point[:, 1])]
            keep &= ~(np.abs(height - point[:, 2]) < 1.0)
    pieces = []
    for kept, group in groupby(range(len(keep)), key=lambda index: bool(keep[index])):
        indices = list(group)
        if kept:
            chosen = slice(indices[0], indices[-1] + 2)
            first, last = band.first[chosen], band.last[chosen]
            if np.linalg.norm(first[-1] - first[0] + last[-1] - last[0]) > 2.0 * SHORTEST_PIECE_M:
                pieces.append((first, last))
    return pieces


def _add_kerbed(builder: MeshBuilder, surface: Surface, first: Array, last: Array) -> None:
    """Add a raised strip with a kerb stone along both edges and closed ends."""
    across = last - first
    width = np.maximum(np.linalg.norm(across[:, :2], axis=1, keepdims=True), 1e-6)
    stone = across / width * np.minimum(KERB_WIDTH_M, width / 2.0)
    add_strip(builder, surface, first + stone, last - stone)
    length = np.concatenate(
        [[0.0], np.cumsum(np.linalg.norm(np.diff(first[:, :2], axis=0), axis=1))]
    )
    drop = np.array((0.0, 0.0, surface.height_m + 0.04))
    uvs = np.stack([np.repeat(length, 2) / 2.0, np.tile((0.0, 0.1), len(length))], axis=1)
    triangles = strip_triangles(len(first))
    for edge, inward in ((first, stone), (last, -stone)):
        builder.add(KERB_MATERIAL, interleave(edge, edge + inward), _UP, uvs, triangles)
        outward = -inward / np.maximum(np.linalg.norm(inward, axis=1, keepdims=True), 1e-6)
        normals = np.repeat(outward, 2, axis=0)
        builder.add(KERB_MATERIAL, interleave(edge - drop, edge), normals, uvs, triangles)
    ends = [[first[end] - drop, last[end] - drop, last[end], first[end]] for end in (0, -1)]
    along = [first[0] - first[1], first[-1] - first[-2]]
    normals = np.array(along) / np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-6)
    builder.add_quads(KERB_MATERIAL, ends, normals, [(0, 0), (1, 0), (1, 0.1), (0, 0.1)])
