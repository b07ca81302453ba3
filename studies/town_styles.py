"""What the roads of the training towns look like, beside those of CARLA's towns.

A turn's radius is that of the circle with its length and angle, along the centre of the lane; turns
of less than 60 degrees do not count. A junction lies within the training range if each of its
numbers lies between the smallest and the largest of all training junctions, and each of its kinds
of line occurs at one of them; whether it is also as large as one of them is told beside that.
Widths, lanes and lines are those of the lanes that lead into it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import carla
import numpy as np

from bicameral.errors import UserError
from bicameral.tables import DASH, percent
from sim.pocket.map_store import MapStore
from sim.pocket.town.recipe import TRAINING_RECIPES, VARIED_RECIPES
from studies.measurements import write_rows
from studies.study import Study

#: May be looked at; the three that judge the driver are not among them.
CARLA_TOWNS = ("Town01", "Town04", "Town10HD")
PLAIN_TOWNS = tuple(recipe.name for recipe in TRAINING_RECIPES)
VARIED_TOWNS = tuple(recipe.name for recipe in VARIED_RECIPES)
OTHER_TOWNS = ("Ridgeway", "Millbrook")

_SMALLEST_TURN_DEG = 60.0
_STEP_M = 0.5
#: Numbers within this of the range's ends count as inside, in metres: they are drawn at random.
_MARGIN_M = 0.25
_HEADER = (
    "town",
    "junctions",
    "right turn radius m (10/50/90 %)",
    "left turn radius m (10/50/90 %)",
    "longest way across m (10/50/90 %)",
    "lane width m",
    "lanes per direction",
    "approaches with edge lines %",
    "centre lines",
    "approaches with sidewalks %",
)
_COVERAGE = (
    "town",
    "training towns",
    "junctions",
    "within their range %",
    "and as large %",
    "outside in",
)

Numbers = Sequence[float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossroads:
    """What one junction looks like.

    Attributes:
        right_m: Radii of its right turns in metres.
        left_m: Radii of its left turns in metres.
        length_m: From where a lane enters it to where that lane leaves it, at most, in metres.
        widths_m: Widths of the lanes that lead into it.
        lanes: Lanes per direction of each road that leads into it.
        edge_lines: Kinds of the lines at the outer edges of those roads.
        centre_lines: Kinds of the lines between the two directions.
        sidewalks: Whether each of those roads has a sidewalk on its right.
    """

    right_m: tuple[float, ...]
    left_m: tuple[float, ...]
    length_m: float
    widths_m: tuple[float, ...]
    lanes: tuple[int, ...]
    edge_lines: tuple[str, ...]
    centre_lines: tuple[str, ...]
    sidewalks: tuple[bool, ...]

    def numbers(self) -> dict[str, tuple[float, ...]]:
        """Return what is compared by size."""
        return {
            "right turns": self.right_m,
            "left turns": self.left_m,
            "lane width": self.widths_m,
            "lanes": tuple(map(float, self.lanes)),
        }

    def kinds(self) -> dict[str, tuple[str, ...]]:
        """Return what is compared by kind."""
        return {"edge lines": self.edge_lines, "centre lines": self.centre_lines}


def junctions_of(town: carla.Map) -> list[Crossroads]:
    """Look at every junction of a map."""
    junctions: dict[int, carla.Junction] = {}
    for begin, _ in town.get_topology():
        if begin.is_junction:
            junction = begin.get_junction()
            junctions[junction.id] = junction
    return [_look_at(junction) for _, junction in sorted(junctions.items())]


def _look_at(junction: carla.Junction) -> Crossroads:
    paths = junction.get_waypoints(carla.LaneType.Driving)
    turns = [turn for begin, end in paths if (turn := _turn(begin, end)) is not None]
    entries = {}
    for begin, _ in paths:
        for before in begin.previous(_STEP_M):
            if not before.is_junction:
                entries[before.road_id, before.lane_id] = before
    roads = [entry for entry in entries.values() if _is_driving(entry, entry.get_right_lane()) < 0]
    return Crossroads(
        right_m=tuple(radius_m for radius_m, angle in turns if angle > 0.0),
        left_m=tuple(radius_m for radius_m, angle in turns if angle < 0.0),
        length_m=max(
            begin.transform.location.distance(end.transform.location) for begin, end in paths
        ),
        widths_m=tuple(entry.lane_width for entry in entries.values()),
        lanes=tuple(_lanes(road) for road in roads),
        edge_lines=tuple(str(road.right_lane_marking.type) for road in roads),
        centre_lines=tuple(str(_innermost(road).left_lane_marking.type) for road in roads),
        sidewalks=tuple(_has_sidewalk(road) for road in roads),
    )


def _turn(begin: carla.Waypoint, end: carla.Waypoint) -> tuple[float, float] | None:
    """Return radius in metres and angle in degrees (positive to the right) of a real turn."""
    angle = (end.transform.rotation.yaw - begin.transform.rotation.yaw + 180.0) % 360.0 - 180.0
    if abs(angle) < _SMALLEST_TURN_DEG:
        return None
    places = [begin.transform.location]
    here = begin
    while True:
        further = [
            point
            for point in here.next(_STEP_M)
            if (point.road_id, point.lane_id) == (begin.road_id, begin.lane_id)
        ]
        if not further:
            break
        here = further[0]
        places.append(here.transform.location)
    places.append(end.transform.location)
    length_m = sum(a.distance(b) for a, b in itertools.pairwise(places))
    return length_m / math.radians(abs(angle)), angle


def _is_driving(here: carla.Waypoint, beside: carla.Waypoint | None) -> int:
    """Return 1 if the lane beside is driven in the same direction, else -1."""
    same = (
        beside is not None
        and beside.lane_type == carla.LaneType.Driving
        and beside.lane_id * here.lane_id > 0
    )
    return 1 if same else -1


def _innermost(road: carla.Waypoint) -> carla.Waypoint:
    here = road
    while _is_driving(here, beside := here.get_left_lane()) > 0:
        here = beside
    return here


def _lanes(road: carla.Waypoint) -> int:
    count, here = 1, road
    while _is_driving(here, beside := here.get_left_lane()) > 0:
        count, here = count + 1, beside
    return count


def _has_sidewalk(road: carla.Waypoint) -> bool:
    here = road.get_right_lane()
    while here is not None and here.lane_type != carla.LaneType.Sidewalk:
        here = here.get_right_lane()
    return here is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRange:
    """What occurs at the junctions of the training towns.

    Attributes:
        numbers: Smallest and largest of each number.
        kinds: All kinds of line.
        length_m: The shortest and the longest way across a junction, see `Crossroads`.
    """

    numbers: Mapping[str, tuple[float, float]]
    kinds: Mapping[str, frozenset[str]]
    length_m: tuple[float, float]

    @classmethod
    def of(cls, junctions: Iterable[Crossroads]) -> TrainingRange:
        """Take in all junctions."""
        seen = list(junctions)
        numbers: dict[str, list[float]] = {}
        kinds: dict[str, set[str]] = {}
        for junction in seen:
            for name, values in junction.numbers().items():
                numbers.setdefault(name, []).extend(values)
            for name, lines in junction.kinds().items():
                kinds.setdefault(name, set()).update(lines)
        return cls(
            numbers={name: (min(values), max(values)) for name, values in numbers.items()},
            kinds={name: frozenset(lines) for name, lines in kinds.items()},
            length_m=(min(one.length_m for one in seen), max(one.length_m for one in seen)),
        )

    def has_size(self, junction: Crossroads) -> bool:
        """Return whether the way across is as long as one that was trained on."""
        return self.length_m[0] - _MARGIN_M <= junction.length_m <= self.length_m[1] + _MARGIN_M

    def missing(self, junction: Crossroads) -> list[str]:
        """Return in which respects a junction lies outside."""
        outside = []
        for name, values in junction.numbers().items():
            low, high = self.numbers[name]
            if any(not low - _MARGIN_M <= value <= high + _MARGIN_M for value in values):
                outside.append(name)
        for name, lines in junction.kinds().items():
            if not self.kinds[name].issuperset(lines):
                outside.append(name)
        return outside


def run(folder: Path, quick: bool) -> int:
    """Look at all towns; return whether a junction of CARLA's lies outside the training range."""
    store = MapStore()
    wanted = tuple(name for name in CARLA_TOWNS if name in store.names())
    if not quick and wanted != CARLA_TOWNS:
        raise UserError(
            f"found {', '.join(wanted) or 'none'} of CARLA's {', '.join(CARLA_TOWNS)}; expected "
            "all: set CARLA_ROOT to a CARLA installation, or to a folder with their .xodr files"
        )
    names = (*wanted, *PLAIN_TOWNS[:2], *VARIED_TOWNS[:2]) if quick else None
    towns = {
        name: junctions_of(store.load(name).carla_map)
        for name in names or (*wanted, *OTHER_TOWNS, *PLAIN_TOWNS, *VARIED_TOWNS)
    }
    ranges = {
        "Train": _range(towns, PLAIN_TOWNS),
        "Train and Varied": _range(towns, (*PLAIN_TOWNS, *VARIED_TOWNS)),
    }
    rows = [describe(name, junctions) for name, junctions in towns.items()]
    shares = [
        entry
        for name in wanted
        for training, known in ranges.items()
        for entry in [covered(name, training, towns[name], known)]
    ]
    write_rows(folder / "town_styles.csv", _HEADER, rows)
    write_rows(folder / "town_coverage.csv", _COVERAGE, shares)
    now = [entry for entry in shares if entry[1] == "Train and Varied"]
    return int(any(entry[3] != "100" for entry in now) and not quick)


def _range(towns: Mapping[str, list[Crossroads]], names: Iterable[str]) -> TrainingRange:
    return TrainingRange.of(one for name in names for one in towns.get(name, ()))


def describe(name: str, junctions: Sequence[Crossroads]) -> tuple[str | int, ...]:
    """Return a town's row of the table of roads."""
    edges = [line != "NONE" for one in junctions for line in one.edge_lines]
    sidewalks = [has for one in junctions for has in one.sidewalks]
    return (
        name,
        len(junctions),
        _quantiles([radius_m for one in junctions for radius_m in one.right_m]),
        _quantiles([radius_m for one in junctions for radius_m in one.left_m]),
        _quantiles([one.length_m for one in junctions]),
        _values({f"{width_m:.2f}" for one in junctions for width_m in one.widths_m}),
        _values({str(lanes) for one in junctions for lanes in one.lanes}),
        percent(sum(edges) / len(edges), 0),
        _values({line for one in junctions for line in one.centre_lines}),
        percent(sum(sidewalks) / len(sidewalks), 0),
    )


def covered(
    name: str, training: str, junctions: Sequence[Crossroads], known: TrainingRange
) -> tuple[str | int, ...]:
    """Return how many junctions of a town lie within a range, and why others do not."""
    outside = [missing for one in junctions if (missing := known.missing(one))]
    counts: dict[str, int] = {}
    for respect in (respect for missing in outside for respect in missing):
        counts[respect] = counts.get(respect, 0) + 1
    why = ", ".join(f"{respect} ({count})" for respect, count in sorted(counts.items()))
    inside = len(junctions) - len(outside)
    large = sum(not known.missing(one) and known.has_size(one) for one in junctions)
    shares = (percent(count / len(junctions), 0) for count in (inside, large))
    return name, training, len(junctions), *shares, why or DASH


def _quantiles(values: Numbers) -> str:
    if not values:
        return DASH
    return " / ".join(f"{value:.1f}" for value in np.percentile(values, (10, 50, 90)))


def _values(texts: Iterable[str]) -> str:
    return ", ".join(sorted(texts))


STUDY = Study(
    claim="Every junction of CARLA's Town01, Town04 and Town10HD lies within what the training "
    "towns show: radii, widths, numbers of lanes and kinds of line.",
    setting="Nothing random: the maps themselves; 10 seconds.",
    run=run,
    needs="CARLA's Town01, Town04 and Town10HD: CARLA_ROOT",
)
