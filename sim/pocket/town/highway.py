"""The highway: a loop from one side of the town, with an exit and a merge on its inner side."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from sim.pocket.town.cross_section import DOUBLE_LINE, EDGE_LINE, LANE_LINE, WIDE_SHOULDER_M
from sim.pocket.town.curves import Path, Piece, Point, Pose
from sim.pocket.town.document import Junction, Lane, Mark, Road, TownDocument, Width
from sim.pocket.town.junctions import Port
from sim.pocket.town.recipe import TownRecipe

RAMP_SPEED_KMH = 50
RAMP_SHOULDER_M = 1.0  # on the left
GORE_SPEED_KMH = 70
# A taper exit: the ramp leaves the outer lane on a clothoid that ends in an arc of 250 m, and is
# clear of it after 70 m, 7 m to the side and 12.6 degrees off.
_TAPER = (Piece(0.0, -1.0 / 250.0, 30.0), Piece(-1.0 / 250.0, -1.0 / 250.0, 40.3))
_TAPER_M = 70.3
_NARROW_M = 0.02  # a lane of no width has no direction; this much cannot be seen
_EDGE_GAP_M = 22.0  # from the tip; the edge lines of ramp and highway still touch here
_LEG_M = 310.0  # of the straight stretches that leave the town
RAMP_CLEARANCE_M = 245.0  # from the town to the crossing where both ramps end


@dataclass(frozen=True, slots=True, kw_only=True)
class HighwayPlan:
    """The course of the highway from the upper to the lower gate; its right side faces the town."""

    points: tuple[Point, ...]
    radii_m: tuple[float, ...]
    exit_m: float  # from the upper gate to the nose of the exit
    merge_m: float  # from the end of the merge to the lower gate


def draw_highway(upper: Point, lower: Point, rng: np.random.Generator) -> HighwayPlan:
    """Draw the loop east of the gates; it is driven clockwise from upper to lower."""
    centre_x_m = max(upper.x_m, lower.x_m) + _LEG_M
    middle_y_m = (upper.y_m + lower.y_m) / 2.0
    half_m = (upper.y_m - lower.y_m) / 2.0
    depth_m = float(rng.uniform(0.45, 0.9)) * min(2.0 * half_m, 300.0)
    count = int(rng.integers(2, 5))
    corners = [Point(centre_x_m, upper.y_m)]
    for number in range(1, count + 1):
        angle = math.pi / 2.0 - math.pi * number / (count + 1) + float(rng.uniform(-0.08, 0.08))
        corners.append(
            Point(
                centre_x_m + depth_m * math.cos(angle) * float(rng.uniform(0.9, 1.1)),
                middle_y_m + half_m * math.sin(angle),
            )
        )
    corners.append(Point(centre_x_m, lower.y_m))
    return HighwayPlan(
        points=(upper, *corners, lower),
        radii_m=tuple(rng.uniform(90.0, 200.0, len(corners)).tolist()),
        exit_m=float(rng.uniform(60.0, 85.0)),
        merge_m=float(rng.uniform(60.0, 85.0)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Gore:
    """The piece of highway where a ramp leaves or joins, with the ramp's connecting path."""

    through: Path  # the highway's centre line, its right lanes beside the ramp
    ramp: Path  # left edge of the ramp's lane
    is_exit: bool


def exit_gore(highway: Path, from_m: float, recipe: TownRecipe) -> Gore:
    """Cut the exit that begins at an arc length of the highway."""
    outer_m = (recipe.highway_lanes - 1) * recipe.lane_width_m
    ramp = Path(start=highway.pose_at(from_m).right(outer_m), pieces=_TAPER)
    return Gore(through=highway.cut(from_m, from_m + _TAPER_M), ramp=ramp, is_exit=True)


def merge_gore(highway: Path, to_m: float, recipe: TownRecipe) -> Gore:
    """Cut the merge that ends at an arc length of the highway."""
    outer_m = (recipe.highway_lanes - 1) * recipe.lane_width_m
    end = highway.pose_at(to_m).right(outer_m)
    # Seen backwards, the merge leaves to the left with the same pieces.
    backwards = Path(start=end.turned(), pieces=tuple(Piece(-a, -b, m) for a, b, m in _TAPER))
    return Gore(
        through=highway.cut(to_m - _TAPER_M, to_m), ramp=backwards.reversed(), is_exit=False
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class GorePorts:
    """The roads around a gore: highway before and after it, and the ramp."""

    before: Port
    after: Port
    ramp: Port


def build_gore(
    document: TownDocument, junction_id: int, gore: Gore, ports: GorePorts, recipe: TownRecipe
) -> None:
    """Add the connecting roads of a gore; unlike a crossing, it carries all its markings."""
    junction = Junction(junction_id)
    for road, incoming in (
        (_through_road(junction_id, gore, ports, recipe), ports.before),
        (_opposite_road(junction_id, gore, ports, recipe), ports.after),
        (
            _ramp_road(junction_id, gore, ports, recipe),
            ports.before if gore.is_exit else ports.ramp,
        ),
    ):
        junction.connect(incoming.road_id, document.add_road(road), road.right)
    document.add_junction(junction)


def separation_m(gore: Gore, lane_width_m: float) -> float:
    """Return how far from its tip the ramp's lane is clear of the highway's outer lane."""
    ramp = gore.ramp if gore.is_exit else gore.ramp.reversed()
    tip = ramp.start
    along = Pose(tip.x_m, tip.y_m, tip.heading_rad)
    for distance_m in np.arange(20.0, _TAPER_M, 0.5):
        pose = ramp.pose_at(float(distance_m))
        aside_m = abs(
            (pose.x_m - along.x_m) * math.sin(along.heading_rad)
            - (pose.y_m - along.y_m) * math.cos(along.heading_rad)
        )
        if aside_m >= lane_width_m:
            return float(distance_m)
    return _TAPER_M


def _driving_lanes(
    recipe: TownRecipe, outer_marks: tuple[Mark, ...], source: Port, target: Port
) -> list[Lane]:
    count = recipe.highway_lanes
    return [
        Lane(
            kind="driving",
            widths=(Width(start_m=recipe.lane_width_m),),
            marks=outer_marks if number == count else (LANE_LINE,),
            predecessor=source.lane_in(number),
            successor=target.lane_out(number),
        )
        for number in range(1, count + 1)
    ]


def _through_road(junction_id: int, gore: Gore, ports: GorePorts, recipe: TownRecipe) -> Road:
    """The carriageway beside the ramp: its edge line is broken where the ramp overlaps it."""
    length_m = gore.through.length_m
    clear_m = separation_m(gore, recipe.lane_width_m)
    if gore.is_exit:
        edge = (
            Mark(kind="none"),
            Mark(kind="broken", from_m=_EDGE_GAP_M),
            Mark(kind="solid", from_m=clear_m),
        )
    else:
        edge = (
            EDGE_LINE,
            Mark(kind="broken", from_m=length_m - clear_m),
            Mark(kind="none", from_m=length_m - _EDGE_GAP_M),
        )
    lanes = _driving_lanes(recipe, edge, ports.before, ports.after)
    beyond = recipe.highway_lanes + 1
    lanes.append(
        Lane(
            kind="shoulder",
            widths=_nose_widths(gore, length_m, clear_m, WIDE_SHOULDER_M),
            predecessor=None if gore.is_exit else ports.before.lane_in(beyond),
            successor=ports.after.lane_out(beyond) if gore.is_exit else None,
        )
    )
    return _carriageway(junction_id, recipe, gore.through, lanes, (ports.before, ports.after))


def _carriageway(
    junction_id: int, recipe: TownRecipe, path: Path, lanes: list[Lane], ends: tuple[Port, Port]
) -> Road:
    """Return one half of the highway within a gore, between two ports."""
    return Road(
        name="highway gore",
        path=path,
        right=tuple(lanes),
        centre_marks=(DOUBLE_LINE,),
        speed_kmh=recipe.highway_speed_kmh,
        motorway=True,
        junction_id=junction_id,
        predecessor=ends[0].link,
        successor=ends[1].link,
    )


def _nose_widths(gore: Gore, length_m: float, clear_m: float, full_m: float) -> tuple[Width, ...]:
    """Widths of a shoulder that grows out of the nose between highway and ramp."""
    slope = (full_m - _NARROW_M) / (length_m - clear_m)
    if gore.is_exit:
        return (
            Width(start_m=_NARROW_M),
            Width(start_m=_NARROW_M, slope=slope, from_m=clear_m),
        )
    return (
        Width(start_m=full_m, slope=-slope),
        Width(start_m=_NARROW_M, from_m=length_m - clear_m),
    )


def _opposite_road(junction_id: int, gore: Gore, ports: GorePorts, recipe: TownRecipe) -> Road:
    """The other carriageway; its centre line lies on that of the first."""
    lanes = _driving_lanes(recipe, (EDGE_LINE,), ports.after, ports.before)
    beyond = recipe.highway_lanes + 1
    lanes.append(_shoulder(ports.after.lane_in(beyond), ports.before.lane_out(beyond)))
    path = gore.through.reversed()
    return _carriageway(junction_id, recipe, path, lanes, (ports.after, ports.before))


def _shoulder(predecessor: int, successor: int) -> Lane:
    return Lane(
        kind="shoulder",
        widths=(Width(start_m=WIDE_SHOULDER_M),),
        predecessor=predecessor,
        successor=successor,
    )


def _ramp_road(junction_id: int, gore: Gore, ports: GorePorts, recipe: TownRecipe) -> Road:
    """The ramp's lane: its left edge is unmarked where it overlaps the carriageway."""
    length_m = gore.ramp.length_m
    clear_m = separation_m(gore, recipe.lane_width_m)
    outer = recipe.highway_lanes
    if gore.is_exit:
        left_marks = (Mark(kind="none"), Mark(kind="solid", from_m=clear_m))
        source, target, lane_in, lane_out = ports.before, ports.ramp, outer, 1
    else:
        left_marks = (EDGE_LINE, Mark(kind="none", from_m=length_m - clear_m))
        source, target, lane_in, lane_out = ports.ramp, ports.after, 1, outer
    driving = Lane(
        kind="driving",
        widths=(Width(start_m=recipe.lane_width_m),),
        marks=(EDGE_LINE,),
        predecessor=source.lane_in(lane_in),
        successor=target.lane_out(lane_out),
    )
    left_shoulder = Lane(
        kind="shoulder",
        widths=_nose_widths(gore, length_m, clear_m, RAMP_SHOULDER_M),
        predecessor=None if gore.is_exit else 1,
        successor=1 if gore.is_exit else None,
    )
    return Road(
        name="ramp gore",
        path=gore.ramp,
        left=(left_shoulder,),
        right=(driving, _shoulder(source.lane_in(lane_in + 1), target.lane_out(lane_out + 1))),
        centre_marks=left_marks,
        speed_kmh=GORE_SPEED_KMH,
        motorway=True,
        junction_id=junction_id,
        predecessor=source.link,
        successor=target.link,
    )
