"""Painted lines along lane boundaries, as the map says for each stretch of road."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.opendrive import Lane, MarkLine, RoadMark
from sim.pocket.scene.labels import CityObjectLabel
from sim.pocket.scene.mesh import WHITE, Colour, Material, MeshBuilder
from sim.pocket.scene.roads import interleave, strip_triangles
from sim.pocket.scene.sampling import SampledSection, right_of_polyline

Array = NDArray[np.float64]

PAINT_LIFT_M = 0.02
DEFAULT_WIDTH_M = 0.15
DOUBLE_GAP_M = 0.15
DASH_M = 3.0
DASH_SPACE_M = 6.0
"""Defaults for a broken line whose file gives no lengths: German and US town practice."""
_DASHES = {"solid": (0.0, 0.0), "broken": (DASH_M, DASH_SPACE_M), "botts dots": (0.12, 1.2)}
EDGE_INSET_M = 0.1
"""Lines beside a kerb or the grass lie this far inside the lane."""

_COLOURS: dict[str, Colour] = {
    "standard": WHITE,
    "white": WHITE,
    "yellow": (0.98, 0.74, 0.12),
    "orange": (0.98, 0.52, 0.12),
    "red": (0.82, 0.16, 0.14),
    "blue": (0.2, 0.36, 0.8),
    "green": (0.2, 0.6, 0.3),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """One painted line: offset to the right of the boundary, as seen along the road."""

    offset_m: float
    width_m: float
    dash_m: float
    space_m: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Boundary:
    """A lane boundary to paint on."""

    s_m: Array
    points: Array
    right: Array


def add_markings(builder: MeshBuilder, sections: Sequence[SampledSection]) -> None:
    """Paint the road marks of every lane of every section."""
    for section in sections:
        for lane, points, outer_side in _painted_boundaries(section):
            right = right_of_polyline(points)
            boundary = _Boundary(s_m=section.s_m, points=points, right=right)
            starts = [*(mark.start_m for mark in lane.marks), section.section.end_m]
            for mark, end_m in zip(lane.marks, starts[1:], strict=True):
                for line in _lines_of(mark, outer_side):
                    _paint(builder, boundary, mark, line, end_m)


def _painted_boundaries(section: SampledSection) -> Iterator[tuple[Lane, Array, int]]:
    """Yield (lane, boundary, side of the road: -1 left, 0 centre, 1 right)."""
    centre = section.section.centre()
    if centre is not None:
        yield centre, section.centre, 0
    for sign, side in ((1, -1), (-1, 1)):
        for strip in section.side(sign):
            yield strip.lane, strip.outer, side


def _lines_of(mark: RoadMark, side: int) -> list[_Line]:
    """Return the painted lines of a road mark, by its explicit lines or by its type."""
    width = mark.width_m or DEFAULT_WIDTH_M
    if mark.lines and mark.kind not in ("none", "grass", "curb"):
        return [_explicit_line(line, width) for line in mark.lines]
    gap = (width + DOUBLE_GAP_M) / 2.0
    # in a pair, OpenDRIVE names the line nearer to the centre first; on the centre, the left one
    pair = (-gap, gap) if side >= 0 else (gap, -gap)
    match mark.kind:
        case "solid" | "edge":
            lines = [("solid", -side * EDGE_INSET_M)]
        case "broken" | "botts dots":
            lines = [(mark.kind, 0.0)]
        case "solid solid" | "broken broken" | "solid broken" | "broken solid":
            lines = list(zip(mark.kind.split(), pair, strict=True))
        case _:
            lines = []
    return [
        _Line(offset_m=offset, width_m=width, dash_m=dash, space_m=space)
        for kind, offset in lines
        for dash, space in (_DASHES[kind],)
    ]


def _explicit_line(line: MarkLine, width_m: float) -> _Line:
    return _Line(
        offset_m=-line.offset_m,
        width_m=line.width_m or width_m,
        dash_m=line.length_m if line.space_m > 0.0 else 0.0,
        space_m=line.space_m,
    )


def _paint(
    builder: MeshBuilder, boundary: _Boundary, mark: RoadMark, line: _Line, end_m: float
) -> None:
    """Paint one line from the mark's start to `end_m`."""
    start = max(mark.start_m, boundary.s_m[0])
    end = min(end_m, boundary.s_m[-1])
    if end - start < 0.05:
        return
    material = Material("paint", CityObjectLabel.ROAD_LINES, _COLOURS.get(mark.colour, WHITE))
    if line.dash_m <= 0.0:
        inner = boundary.s_m[(boundary.s_m > start + 1e-3) & (boundary.s_m < end - 1e-3)]
        left, right = _edges_at(boundary, line, np.concatenate([[start], inner, [end]]))
        vertices = interleave(left, right)
        builder.add(material, vertices, (0, 0, 1), vertices[:, :2], strip_triangles(len(left)))
        return
    begin = np.arange(mark.start_m, end, line.dash_m + line.space_m)
    stop = np.minimum(begin + line.dash_m, end)
    begin = np.maximum(begin, start)
    whole = stop - begin > 0.1
    if not whole.any():
        return
    left0, right0 = _edges_at(boundary, line, begin[whole])
    left1, right1 = _edges_at(boundary, line, stop[whole])
    corners = np.stack([left0, right0, right1, left1], axis=1)
    builder.add_quads(material, corners, (0, 0, 1), corners[..., :2])


def _edges_at(boundary: _Boundary, line: _Line, s_m: Array) -> tuple[Array, Array]:
    """Return the line's left and right edge at places along the road, (N, 3) each."""
    point = np.stack([np.interp(s_m, boundary.s_m, column) for column in boundary.points.T], 1)
    right = np.stack([np.interp(s_m, boundary.s_m, column) for column in boundary.right.T], 1)
    point[:, 2] += PAINT_LIFT_M
    across = np.concatenate([right, np.zeros((len(s_m), 1))], axis=1)
    middle = point + across * line.offset_m
    half = across * (line.width_m / 2.0)
    return middle - half, middle + half
