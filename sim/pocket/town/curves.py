"""Reference lines of roads: straight lines, arcs and clothoids, continuous in heading.

Coordinates are OpenDRIVE's (x east, y north, right-handed, headings in radians counter-clockwise);
CARLA flips y when it reads the file. Curvature is positive to the left.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from bicameral.units import wrap_rad

# A turn starts and ends with a clothoid, so that a driver can follow it with finite steering speed.
STREET_SPIRAL_SHARE = 0.5
JUNCTION_SPIRAL_SHARE = 0.3
_STRAIGHT_RAD = 1e-4
_CORNER_RAD = math.radians(40.0)  # lines that meet at less than this are joined gently
_SHORTEST_PIECE_M = 1e-3


class Point(NamedTuple):
    """A location in metres."""

    x_m: float
    y_m: float


class Pose(NamedTuple):
    """A location in metres and a heading in radians."""

    x_m: float
    y_m: float
    heading_rad: float

    def ahead(self, distance_m: float) -> Pose:
        """Return the pose moved along its heading."""
        return Pose(
            self.x_m + distance_m * math.cos(self.heading_rad),
            self.y_m + distance_m * math.sin(self.heading_rad),
            self.heading_rad,
        )

    def right(self, distance_m: float) -> Pose:
        """Return the pose moved to its right."""
        return Pose(
            self.x_m + distance_m * math.sin(self.heading_rad),
            self.y_m - distance_m * math.cos(self.heading_rad),
            self.heading_rad,
        )

    def turned(self) -> Pose:
        """Return the pose turned about on the spot."""
        return Pose(self.x_m, self.y_m, wrap_rad(self.heading_rad + math.pi))


class Piece(NamedTuple):
    """A clothoid: curvature (1/m) changes linearly over the length (m)."""

    start_curvature: float
    end_curvature: float
    length_m: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """A start pose followed by pieces, each beginning where the former ends."""

    start: Pose
    pieces: tuple[Piece, ...]

    @property
    def length_m(self) -> float:
        """Arc length."""
        return sum(piece.length_m for piece in self.pieces)

    @property
    def smallest_radius_m(self) -> float:
        """Radius at the sharpest point; infinite for a straight line."""
        sharpest = max(max(abs(p.start_curvature), abs(p.end_curvature)) for p in self.pieces)
        return 1.0 / sharpest if sharpest > 0.0 else math.inf

    def poses(self) -> tuple[Pose, ...]:
        """Return the start pose of every piece, then the end pose."""
        poses = [self.start]
        for piece in self.pieces:
            poses.append(_advance(poses[-1], piece))
        return tuple(poses)

    def end(self) -> Pose:
        """Return the last pose."""
        return self.poses()[-1]

    def pose_at(self, distance_m: float) -> Pose:
        """Return the pose at an arc length from the start."""
        if distance_m < _SHORTEST_PIECE_M:
            return self.start
        return self.cut(0.0, distance_m).end()

    def cut(self, from_m: float, to_m: float) -> Path:
        """Return the part between two arc lengths; 0 <= from_m < to_m <= length_m."""
        pieces: list[Piece] = []
        start = self.start
        begin_m = 0.0
        for piece, pose in zip(self.pieces, self.poses(), strict=False):
            low_m = max(from_m - begin_m, 0.0)
            high_m = min(to_m - begin_m, piece.length_m)
            if high_m - low_m > _SHORTEST_PIECE_M:
                part = _cut_piece(piece, low_m, high_m)
                if not pieces:
                    start = _advance(pose, _cut_piece(piece, 0.0, low_m)) if low_m > 0 else pose
                pieces.append(part)
            begin_m += piece.length_m
        return Path(start=start, pieces=tuple(pieces))

    def reversed(self) -> Path:
        """Return the same line travelled backwards."""
        pieces = tuple(Piece(-p[1], -p[0], p[2]) for p in reversed(self.pieces))
        return Path(start=self.end().turned(), pieces=pieces)


def _cut_piece(piece: Piece, low_m: float, high_m: float) -> Piece:
    rate = (piece.end_curvature - piece.start_curvature) / piece.length_m
    return Piece(
        piece.start_curvature + rate * low_m, piece.start_curvature + rate * high_m, high_m - low_m
    )


def _advance(pose: Pose, piece: Piece) -> Pose:
    if piece.start_curvature == 0.0 and piece.end_curvature == 0.0:
        return pose.ahead(piece.length_m)
    from pyclothoids import Clothoid

    rate = (piece.end_curvature - piece.start_curvature) / piece.length_m
    curve = Clothoid.StandardParams(*pose, piece.start_curvature, rate, piece.length_m)
    return Pose(curve.XEnd, curve.YEnd, wrap_rad(curve.ThetaEnd))


def _turn_pieces(angle_rad: float, radius_m: float, spiral_share: float) -> tuple[Piece, ...]:
    """Return clothoid, arc, clothoid; the clothoids together turn `spiral_share` of the angle."""
    curvature = math.copysign(1.0 / radius_m, angle_rad)
    spiral_m = spiral_share * abs(angle_rad) * radius_m
    arc_m = (1.0 - spiral_share) * abs(angle_rad) * radius_m
    return (
        Piece(0.0, curvature, spiral_m),
        Piece(curvature, curvature, arc_m),
        Piece(curvature, 0.0, spiral_m),
    )


@lru_cache(maxsize=4096)
def _unit_tangent(angle_rad: float, spiral_share: float) -> float:
    """Distance from the corner to the start of a turn of radius 1 m."""
    pieces = _turn_pieces(angle_rad, 1.0, spiral_share)
    end = Path(start=Pose(0.0, 0.0, 0.0), pieces=pieces).end()
    return abs(end.y_m / math.sin(angle_rad))


def round_polyline(
    points: Sequence[Point],
    radii_m: Sequence[float],
    *,
    start_reserve_m: float = 0.0,
    end_reserve_m: float = 0.0,
) -> Path:
    """Round every inner vertex of a polyline.

    Args:
        points: At least two vertices.
        radii_m: One wanted radius per inner vertex; a radius that does not fit is made smaller,
            down to nearly zero: look at `Path.smallest_radius_m`.
        start_reserve_m: Length that stays straight at the start.
        end_reserve_m: Length that stays straight at the end.

    Returns:
        A path from the first to the last point.
    """
    lengths = [math.dist(a, b) for a, b in itertools.pairwise(points)]
    headings = [math.atan2(b.y_m - a.y_m, b.x_m - a.x_m) for a, b in itertools.pairwise(points)]
    turns = [wrap_rad(b - a) for a, b in itertools.pairwise(headings)]
    wanted = [0.0, *_tangents(turns, radii_m), 0.0]
    free = list(lengths)
    free[0] -= start_reserve_m
    free[-1] -= end_reserve_m
    shrink = [
        min(1.0, max(room, _SHORTEST_PIECE_M) / max(a + b, 1e-9))
        for a, b, room in zip(wanted[:-1], wanted[1:], free, strict=True)
    ]
    pieces: list[Piece] = []
    used_m = 0.0
    for index, turn in enumerate(turns):
        factor = min(shrink[index], shrink[index + 1])
        tangent_m = wanted[index + 1] * factor
        _append_line(pieces, lengths[index] - used_m - tangent_m)
        used_m = tangent_m
        if tangent_m > 0.0:
            pieces.extend(_turn_pieces(turn, radii_m[index] * factor, STREET_SPIRAL_SHARE))
    _append_line(pieces, lengths[-1] - used_m)
    return Path(start=Pose(*points[0], headings[0]), pieces=tuple(pieces))


def _tangents(turns: Sequence[float], radii_m: Sequence[float]) -> list[float]:
    return [
        radius_m * _unit_tangent(turn, STREET_SPIRAL_SHARE) if abs(turn) > _STRAIGHT_RAD else 0.0
        for turn, radius_m in zip(turns, radii_m, strict=True)
    ]


def _append_line(pieces: list[Piece], length_m: float) -> None:
    if length_m > _SHORTEST_PIECE_M:
        pieces.append(Piece(0.0, 0.0, length_m))


def connect(
    start: Pose,
    end: Pose,
    *,
    largest_radius_m: float = math.inf,
    spiral_share: float = JUNCTION_SPIRAL_SHARE,
) -> Path:
    """Join two poses.

    Two lines that meet at a clear angle get one rounded corner with the largest radius that fits;
    others get the three clothoids of `pyclothoids.SolveG2` (Bertolazzi and Frego 2018).
    """
    turn = wrap_rad(end.heading_rad - start.heading_rad)
    dx, dy = end.x_m - start.x_m, end.y_m - start.y_m
    across = math.sin(turn)
    if abs(turn) > _CORNER_RAD and abs(across) > 0.05:
        first_m = (dx * math.sin(end.heading_rad) - dy * math.cos(end.heading_rad)) / across
        second_m = (dy * math.cos(start.heading_rad) - dx * math.sin(start.heading_rad)) / across
        if first_m > 0.5 and second_m > 0.5:
            unit = _unit_tangent(turn, spiral_share)
            radius_m = min(min(first_m, second_m) / unit, largest_radius_m)
            pieces: list[Piece] = []
            _append_line(pieces, first_m - radius_m * unit)
            pieces.extend(_turn_pieces(turn, radius_m, spiral_share))
            _append_line(pieces, second_m - radius_m * unit)
            return Path(start=start, pieces=tuple(pieces))
    return _connect_gently(start, end)


def _connect_gently(start: Pose, end: Pose) -> Path:
    distance_m = math.dist(start[:2], end[:2])
    bearing = math.atan2(end.y_m - start.y_m, end.x_m - start.x_m)
    if max(abs(wrap_rad(bearing - h)) for h in (start.heading_rad, end.heading_rad)) < 1e-7:
        return Path(start=start, pieces=(Piece(0.0, 0.0, distance_m),))
    from pyclothoids import SolveG2

    pieces = []
    for curve in SolveG2(*start, 0.0, *end, 0.0):
        _, _, _, curvature, rate, length_m = curve.Parameters
        pieces.append(Piece(curvature, curvature + rate * length_m, length_m))
    return Path(start=start, pieces=tuple(pieces))
