"""Put a town together: plan, junction sizes, roads, ramps, signs."""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from sim.pocket.town.cross_section import (
    CROSSWALK_FREE_M,
    EDGE_LINE,
    WIDE_SHOULDER_M,
    centre_mark,
    half_road,
    marks_between,
)
from sim.pocket.town.curves import Path, Point, Pose, connect, round_polyline
from sim.pocket.town.document import (
    SPEED_SIGN,
    Lane,
    Link,
    Road,
    Sign,
    TownDocument,
    Width,
)
from sim.pocket.town.highway import (
    RAMP_CLEARANCE_M,
    RAMP_SHOULDER_M,
    RAMP_SPEED_KMH,
    Gore,
    GorePorts,
    build_gore,
    draw_highway,
    exit_gore,
    merge_gore,
)
from sim.pocket.town.junctions import (
    Arm,
    Control,
    JunctionBuilder,
    Port,
    smallest_turn_radius_m,
)
from sim.pocket.town.recipe import TownRecipe
from sim.pocket.town.street_grid import (
    Crossing,
    Street,
    draw_grid,
    draw_streets,
    smallest_radius_m,
)

_INTERCHANGE: Crossing = (-1, -1)  # where both ramps end; not on the grid
_FIRST_JUNCTION_ID = 1000
_FEEDER_SPEED_KMH = 60  # highway between the town and the ramps
_STUB_STEP_M = 0.5
_STUB_STEPS = 52  # 26 m more than the recipe's smallest
_STRAIGHT_BEFORE_JUNCTION_M = 6.0
_LARGEST_RAMP_RADIUS_M = 60.0
_ATTEMPTS = 60


class _UnsuitableDrawError(Exception):
    """This draw gives a road that is too sharp; draw again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stub:
    """The direction in which a road leaves a junction, and its lanes."""

    heading_rad: float
    lanes_in: int
    lanes_out: int
    is_street: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stretch:
    """What differs between the roads of one course; None for a crossing is a gore."""

    predecessor: Link
    successor: Link
    crossings: tuple[Crossing | None, Crossing | None]
    speed_kmh: int
    rise_m: float = 0.0


def generate_town(recipe: TownRecipe) -> str:
    """Generate the OpenDRIVE text of a town.

    Args:
        recipe: Name, seed and ranges.

    Returns:
        OpenDRIVE 1.4 text; equal recipes give equal bytes.

    Raises:
        MissingExtraError: If `pyclothoids` is not installed.
    """
    for attempt in range(_ATTEMPTS):
        builder = _TownBuilder(recipe, np.random.default_rng([recipe.seed, attempt]))
        try:
            return builder.build()
        except _UnsuitableDrawError:
            continue
    raise AssertionError(f"no suitable draw for {recipe!r} in {_ATTEMPTS} attempts")


class _TownBuilder:
    """One attempt to draw and build a town."""

    def __init__(self, recipe: TownRecipe, rng: np.random.Generator) -> None:
        self._recipe = recipe
        self._rng = rng
        self._document = TownDocument(recipe.name)
        self._courses: list[Street] = []
        self._centres: dict[Crossing, Point] = {}
        self._stubs: dict[Crossing, list[_Stub]] = {}
        self._stub_lengths_m: dict[Crossing, float] = {}
        self._controls: dict[Crossing, Control] = {}
        self._junction_ids: dict[Crossing, int] = {}
        self._ports: dict[Crossing, list[Port]] = {}
        self._next_junction_id = _FIRST_JUNCTION_ID

    def build(self) -> str:
        """Draw, size the junctions, add roads, then junctions."""
        self._draw()
        for crossing in sorted(self._stubs):
            self._junction_ids[crossing] = self._new_junction_id()
            self._stub_lengths_m[crossing] = self._size_junction(crossing)
            self._controls[crossing] = self._draw_control(crossing)
        for course in self._courses:
            path = self._course_path(course)
            if course.is_highway:
                self._add_highway(course, path)
            else:
                self._add_course(course, path)
        for crossing in sorted(self._stubs):
            builder = JunctionBuilder(
                self._document, self._junction_ids[crossing], self._ports[crossing]
            )
            builder.build(self._controls[crossing])
        return self._document.render()

    def _new_junction_id(self) -> int:
        self._next_junction_id += 1
        return self._next_junction_id

    def _draw(self) -> None:
        recipe, rng = self._recipe, self._rng
        grid = draw_grid(recipe, rng)
        rotate = _rotation(float(rng.uniform(-math.pi, math.pi)))
        self._centres = {crossing: rotate(p) for crossing, p in grid.positions.items()}
        for street in draw_streets(recipe, grid, rng):
            self._courses.append(replace(street, points=tuple(map(rotate, street.points))))
        if recipe.highway:
            self._draw_highway_courses(grid.positions, grid.gates, rotate)
        for course in self._courses:
            self._add_stub(course.start, course, course.points[0], course.points[1])
            self._add_stub(course.end, course, course.points[-1], course.points[-2])

    def _draw_highway_courses(
        self,
        positions: dict[Crossing, Point],
        gates: tuple[Crossing, ...],
        rotate: Callable[[Point], Point],
    ) -> None:
        recipe = self._recipe
        lower, middle, upper = gates
        self._plan = draw_highway(positions[upper], positions[lower], self._rng)
        self._courses.append(
            Street(
                start=upper,
                end=lower,
                points=tuple(map(rotate, self._plan.points)),
                radii_m=self._plan.radii_m,
                lanes=recipe.highway_lanes,
                speed_kmh=recipe.highway_speed_kmh,
                is_highway=True,
            )
        )
        gate = positions[middle]
        ramps_x_m = max(positions[upper].x_m, positions[lower].x_m) + RAMP_CLEARANCE_M
        interchange = Point(ramps_x_m, (positions[upper].y_m + positions[lower].y_m) / 2.0)
        self._centres[_INTERCHANGE] = rotate(interchange)
        bend = Point(
            (gate.x_m + ramps_x_m) / 2.0,
            (gate.y_m + interchange.y_m) / 2.0 + float(self._rng.uniform(-15.0, 15.0)),
        )
        self._courses.append(
            Street(
                start=middle,
                end=_INTERCHANGE,
                points=tuple(map(rotate, (gate, bend, interchange))),
                radii_m=(float(self._rng.uniform(60.0, 200.0)),),
                lanes=1,
                speed_kmh=max(recipe.street_speeds_kmh),
            )
        )
        origin, north = rotate(Point(0.0, 0.0)), rotate(Point(0.0, 1.0))
        north_rad = math.atan2(north.y_m - origin.y_m, north.x_m - origin.x_m)
        self._stubs[_INTERCHANGE] = [
            _Stub(heading_rad=north_rad, lanes_in=1, lanes_out=0, is_street=False),
            _Stub(heading_rad=north_rad + math.pi, lanes_in=0, lanes_out=1, is_street=False),
        ]

    def _add_stub(self, crossing: Crossing, course: Street, here: Point, there: Point) -> None:
        heading_rad = math.atan2(there.y_m - here.y_m, there.x_m - here.x_m)
        self._stubs.setdefault(crossing, []).append(
            _Stub(
                heading_rad=heading_rad,
                lanes_in=course.lanes,
                lanes_out=course.lanes,
                is_street=not course.is_highway,
            )
        )

    def _arm(self, pose: Pose, lanes_in: int, lanes_out: int, is_street: bool) -> Arm:
        recipe = self._recipe
        return Arm(
            pose=pose,
            lanes_in=lanes_in,
            lanes_out=lanes_out,
            lane_width_m=recipe.lane_width_m,
            shoulder_m=recipe.shoulder_m if is_street else WIDE_SHOULDER_M,
            sidewalk_m=recipe.sidewalk_m if is_street else 0.0,
            has_crosswalk=is_street and recipe.crosswalks and recipe.sidewalk_m > 0.0,
        )

    def _stub_arm(self, crossing: Crossing, stub: _Stub, distance_m: float) -> Arm:
        centre = self._centres[crossing]
        pose = Pose(centre.x_m, centre.y_m, stub.heading_rad).ahead(distance_m)
        return self._arm(pose, stub.lanes_in, stub.lanes_out, stub.is_street)

    def _size_junction(self, crossing: Crossing) -> float:
        """Return how far from the centre the roads end, so that the sharpest turn is as drawn."""
        wanted_m = float(self._rng.uniform(*self._recipe.turn_radius_m))
        smallest_m = self._recipe.smallest_junction_m

        def is_wide_enough(step: int) -> bool:
            distance_m = smallest_m + step * _STUB_STEP_M
            arms = [self._stub_arm(crossing, stub, distance_m) for stub in self._stubs[crossing]]
            return smallest_turn_radius_m(arms) >= wanted_m

        # Radii grow with the distance.
        first = bisect.bisect_left(range(_STUB_STEPS), True, key=is_wide_enough)
        if first == _STUB_STEPS:
            raise _UnsuitableDrawError
        return smallest_m + first * _STUB_STEP_M

    def _draw_control(self, crossing: Crossing) -> Control:
        if crossing == _INTERCHANGE:
            return "stop"
        is_highway_gate = not all(stub.is_street for stub in self._stubs[crossing])
        if len(self._stubs[crossing]) > 3 or is_highway_gate:
            return "lights"
        return "lights" if self._rng.random() < self._recipe.signal_share else "stop"

    def _course_path(self, course: Street) -> Path:
        start_m = self._stub_lengths_m[course.start]
        end_m = self._stub_lengths_m[course.end]
        path = round_polyline(
            course.points,
            course.radii_m,
            start_reserve_m=start_m + _STRAIGHT_BEFORE_JUNCTION_M,
            end_reserve_m=end_m + _STRAIGHT_BEFORE_JUNCTION_M,
        )
        if path.smallest_radius_m < smallest_radius_m(self._recipe, course.lanes):
            raise _UnsuitableDrawError
        return path.cut(start_m, path.length_m - end_m)

    def _add_course(self, course: Street, path: Path) -> None:
        stretch = _Stretch(
            predecessor=Link(target_id=self._junction_ids[course.start]),
            successor=Link(target_id=self._junction_ids[course.end]),
            crossings=(course.start, course.end),
            speed_kmh=course.speed_kmh,
        )
        self._add_two_way_road(course, path, stretch)

    def _add_two_way_road(self, course: Street, path: Path, stretch: _Stretch) -> tuple[Port, Port]:
        """Add the road, its speed signs and its ports; return the ports at start and end."""
        painted = self._painted_range(course, path, stretch)
        is_street = not course.is_highway
        lanes = half_road(self._recipe, course.lanes, is_street, painted)
        road_id = self._document.add_road(
            Road(
                name="highway" if course.is_highway else "street",
                path=path,
                left=lanes,
                right=lanes,
                centre_marks=marks_between(
                    centre_mark(self._recipe, course.lanes, is_street), painted
                ),
                speed_kmh=stretch.speed_kmh,
                motorway=course.is_highway,
                rise_m=stretch.rise_m,
                predecessor=stretch.predecessor,
                successor=stretch.successor,
            )
        )
        ends = (path.start, path.end().turned())
        ports = []
        for pose, at_start, crossing in zip(ends, (True, False), stretch.crossings, strict=True):
            arm = self._arm(pose, course.lanes, course.lanes, is_street)
            port = Port(arm=arm, road_id=road_id, at_start=at_start, road_length_m=path.length_m)
            if crossing is not None:
                self._ports.setdefault(crossing, []).append(port)
            self._add_speed_sign(port, stretch.speed_kmh)
            ports.append(port)
        return ports[0], ports[1]

    def _painted_range(
        self, course: Street, path: Path, stretch: _Stretch
    ) -> tuple[float, float | None]:
        """Return where lane lines begin and end: they leave the crosswalks free."""
        recipe = self._recipe
        has_crosswalks = not course.is_highway and recipe.crosswalks and recipe.sidewalk_m > 0.0
        free_start, free_end = (
            has_crosswalks and c is not None and self._controls[c] == "lights"
            for c in stretch.crossings
        )
        begin_m = CROSSWALK_FREE_M if free_start else 0.0
        return begin_m, path.length_m - CROSSWALK_FREE_M if free_end else None

    def _add_speed_sign(self, port: Port, speed_kmh: int) -> None:
        """Put the sign for those who leave the junction at this port."""
        self._document.add_sign(
            port.road_id,
            Sign(
                kind=SPEED_SIGN,
                name=f"Speed_{speed_kmh}",
                z_m=2.2,
                speed_kmh=speed_kmh,
                **port.beside(min(15.0, port.road_length_m / 2.0), leaving=True),
            ),
        )

    def _add_highway(self, course: Street, path: Path) -> None:
        """Add the highway in three stretches, parted by the gores, and the ramps."""
        recipe, plan = self._recipe, self._plan
        last_m = path.length_m - plan.merge_m
        exits = exit_gore(path, plan.exit_m, recipe)
        merges = merge_gore(path, last_m, recipe)
        exit_id, merge_id = self._new_junction_id(), self._new_junction_id()
        first = _Stretch(
            predecessor=Link(target_id=self._junction_ids[course.start]),
            successor=Link(target_id=exit_id),
            crossings=(course.start, None),
            speed_kmh=_FEEDER_SPEED_KMH,
        )
        middle = _Stretch(
            predecessor=Link(target_id=exit_id),
            successor=Link(target_id=merge_id),
            crossings=(None, None),
            speed_kmh=course.speed_kmh,
            rise_m=recipe.highway_rise_m,
        )
        final = _Stretch(
            predecessor=Link(target_id=merge_id),
            successor=Link(target_id=self._junction_ids[course.end]),
            crossings=(None, course.end),
            speed_kmh=_FEEDER_SPEED_KMH,
        )
        middle_path = path.cut(
            plan.exit_m + exits.through.length_m, last_m - merges.through.length_m
        )
        _, before_exit = self._add_two_way_road(course, path.cut(0.0, plan.exit_m), first)
        after_exit, before_merge = self._add_two_way_road(course, middle_path, middle)
        after_merge, _ = self._add_two_way_road(course, path.cut(last_m, path.length_m), final)
        exit_ramp, merge_ramp = self._add_ramps(exits, merges, exit_id, merge_id)
        for junction_id, gore, ports in (
            (exit_id, exits, GorePorts(before=before_exit, after=after_exit, ramp=exit_ramp)),
            (merge_id, merges, GorePorts(before=before_merge, after=after_merge, ramp=merge_ramp)),
        ):
            build_gore(self._document, junction_id, gore, ports, recipe)

    def _add_ramps(
        self, exits: Gore, merges: Gore, exit_id: int, merge_id: int
    ) -> tuple[Port, Port]:
        """Add both ramps; return their ports at the highway."""
        incoming, outgoing = (
            self._stub_arm(_INTERCHANGE, stub, self._stub_lengths_m[_INTERCHANGE])
            for stub in self._stubs[_INTERCHANGE][:2]
        )
        interchange = Link(target_id=self._junction_ids[_INTERCHANGE])
        exit_path = _ramp_path(exits.ramp.end(), incoming.pose.turned())
        merge_path = _ramp_path(outgoing.pose, merges.ramp.start)
        exit_start, exit_end = self._add_ramp(exit_path, Link(target_id=exit_id), interchange)
        merge_start, merge_end = self._add_ramp(merge_path, interchange, Link(target_id=merge_id))
        self._ports.setdefault(_INTERCHANGE, []).extend((exit_end, merge_start))
        return exit_start, merge_end

    def _add_ramp(self, path: Path, predecessor: Link, successor: Link) -> tuple[Port, Port]:
        road_id = self._document.add_road(
            Road(
                name="ramp",
                path=path,
                left=(Lane(kind="shoulder", widths=(Width(start_m=RAMP_SHOULDER_M),)),),
                right=half_road(self._recipe, 1, False, (0.0, None)),
                centre_marks=(EDGE_LINE,),
                speed_kmh=RAMP_SPEED_KMH,
                motorway=True,
                predecessor=predecessor,
                successor=successor,
            )
        )
        ports = [
            Port(
                arm=self._arm(pose, 0 if at_start else 1, 1 if at_start else 0, False),
                road_id=road_id,
                at_start=at_start,
                road_length_m=path.length_m,
            )
            for pose, at_start in ((path.start, True), (path.end().turned(), False))
        ]
        self._add_speed_sign(ports[0], RAMP_SPEED_KMH)
        return ports[0], ports[1]


def _rotation(angle_rad: float) -> Callable[[Point], Point]:
    cosine, sine = math.cos(angle_rad), math.sin(angle_rad)

    def rotate(point: Point) -> Point:
        return Point(cosine * point.x_m - sine * point.y_m, sine * point.x_m + cosine * point.y_m)

    return rotate


def _ramp_path(start: Pose, end: Pose) -> Path:
    path = connect(start, end, largest_radius_m=_LARGEST_RAMP_RADIUS_M, spiral_share=0.5)
    if path.smallest_radius_m < 20.0:
        raise _UnsuitableDrawError
    return path
