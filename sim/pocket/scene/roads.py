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
from sim.pocket.scene.surfaces import ASPHALT, SHOULDER, VERGE, Surface

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
                low = -SHOULDER_BELOW_M
                for crossed, first, last in _pieces(section, band, plan):
                    look = ASPHALT if crossed else SHOULDER
                    add_strip(builder, look, raised(first, low), raised(last, low))
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
    while strips and section.surface(strips[0]) is VERGE:
        strips.pop(0)
    while strips and section.surface(strips[-1]) is VERGE:
        strips.pop()
    return [(surface, list(run)) for surface, run in groupby(strips, key=section.surface)]


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
    height = band.surface.height_m
    for crossed, first, last in _pieces(section, band, plan):
        length = np.linalg.norm(first[-1] - first[0] + last[-1] - last[0]) / 2.0
        if not crossed and (length > SHORTEST_PIECE_M or not section.in_junction):
            _add_kerbed(builder, band.surface, raised(first, height), raised(last, height))


def _pieces(
    section: SampledSection, band: _Band, plan: GroundPlan
) -> list[tuple[bool, Array, Array]]:
    """Split a band, in a junction, by whether other roads drive over it: (crossed, edges)."""
    if not section.in_junction:
        return [(False, band.first, band.last)]
    crossed = np.zeros(len(band.first) - 1, bool)
    for fraction in (0.15, 0.5, 0.85):
        line = band.first + fraction * (band.last - band.first)
        for along in (0.25, 0.75):
            point = line[:-1] + along * np.diff(line, axis=0)
            height = plan.driven[plan.cells(point[:, 0], point[:, 1])]
            crossed |= np.abs(height - point[:, 2]) < 1.0
    pieces = []
    for state, group in groupby(range(len(crossed)), key=lambda index: bool(crossed[index])):
        indices = list(group)
        chosen = slice(indices[0], indices[-1] + 2)
        pieces.append((state, band.first[chosen], band.last[chosen]))
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
