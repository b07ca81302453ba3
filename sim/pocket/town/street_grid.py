"""The plan of the town: crossings on an irregular grid, and the streets between them.

Streets are traced from junction to junction; where only two block edges meet, the street simply
turns the corner, so missing edges give long winding streets and T junctions.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np

from sim.pocket.town.curves import Point, round_polyline
from sim.pocket.town.recipe import TownRecipe

Crossing = tuple[int, int]  # column, row
Edge = tuple[Crossing, Crossing]  # sorted
_CHICANE_RADIUS_M = (20.0, 45.0)
_BEND_ATTEMPTS = 8
_JUNCTION_RESERVE_M = 32.0  # room for the junction at either end of a street
_WIDEST_CORNER_M = 45.0  # corners are drawn from the smallest radius to this
_SMALLEST_SIDEWALK_RADIUS_M = 2.5  # of its inner edge
# A metre of reference line is at most this much longer or shorter in the outer lane, so that
# `Waypoint.next`, which counts along the reference line, steps evenly.
_LARGEST_STRETCH = 0.28
_CROSSROADS_SHARE = 0.4  # of the inner crossings that keep all four streets


@dataclass(frozen=True, slots=True, kw_only=True)
class Street:
    """A two-way road between two junctions, as a polyline with a radius per inner vertex."""

    start: Crossing
    end: Crossing
    points: tuple[Point, ...]
    radii_m: tuple[float, ...]
    lanes: int  # per direction
    speed_kmh: int
    is_highway: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StreetGrid:
    """Crossings and the block edges that carry a street; x east, y north, not yet rotated."""

    positions: dict[Crossing, Point]
    edges: tuple[Edge, ...]
    gates: tuple[Crossing, ...]  # crossings where roads from outside the grid arrive


def smallest_radius_m(recipe: TownRecipe, lanes: int) -> float:
    """Return the smallest radius of the centre line of a street with `lanes` per direction."""
    beside_m = recipe.shoulder_m + recipe.sidewalk_m + _SMALLEST_SIDEWALK_RADIUS_M
    outer_lane_m = (lanes - 0.5) * recipe.lane_width_m
    return max(lanes * recipe.lane_width_m + beside_m, outer_lane_m / _LARGEST_STRETCH)


def draw_grid(recipe: TownRecipe, rng: np.random.Generator) -> StreetGrid:
    """Draw block sizes and crossings, and leave out as many block edges as may go."""
    columns, rows = recipe.blocks_x + 1, recipe.blocks_y + 1
    xs = np.concatenate([[0.0], np.cumsum(rng.uniform(*recipe.block_length_m, columns - 1))])
    ys = np.concatenate([[0.0], np.cumsum(rng.uniform(*recipe.block_length_m, rows - 1))])
    positions: dict[Crossing, Point] = {}
    for column, row in itertools.product(range(columns), range(rows)):
        dx, dy = rng.uniform(-recipe.node_jitter_m, recipe.node_jitter_m, 2)
        positions[column, row] = Point(float(xs[column] + dx), float(ys[row] + dy))
    edges: list[Edge] = [((c, r), (c + 1, r)) for c in range(columns - 1) for r in range(rows)]
    edges += [((c, r), (c, r + 1)) for c in range(columns) for r in range(rows - 1)]
    gates: tuple[Crossing, ...] = ()
    if recipe.highway:
        last = columns - 1
        gates = ((last, 0), (last, rows // 2), (last, rows - 1))
    kept = _leave_out_edges(edges, gates, round(recipe.missing_street_share * len(edges)), rng)
    return StreetGrid(positions=positions, edges=tuple(kept), gates=gates)


def _leave_out_edges(
    edges: list[Edge], gates: tuple[Crossing, ...], wanted: int, rng: np.random.Generator
) -> list[Edge]:
    """Remove edges in a drawn order; enough crossings of four streets stay."""
    kept = list(edges)
    missing = 0
    least_crossings = max(1, round(_CROSSROADS_SHARE * _count_crossroads(edges)))
    for index in rng.permutation(len(edges)):
        if missing == wanted:
            break
        fewer = [edge for edge in kept if edge != edges[index]]
        if _count_crossroads(fewer) >= least_crossings and _is_drivable(fewer, gates):
            kept = fewer
            missing += 1
    return kept


def _count_crossroads(edges: list[Edge]) -> int:
    return sum(len(others) == 4 for others in _neighbours(edges).values())


def _is_drivable(edges: list[Edge], gates: tuple[Crossing, ...]) -> bool:
    """No dead end, no street that alone connects two halves, no street back to its own start."""
    neighbours = _neighbours(edges)
    crossings = {crossing for edge in edges for crossing in edge}
    if any(len(neighbours.get(gate, ())) < 2 for gate in gates):
        return False
    if any(len(others) < 2 for others in neighbours.values()):
        return False
    start = edges[0][0]
    if any(len(_reachable(neighbours, start, closed)) < len(crossings) for closed in edges):
        return False
    ends = [tuple(sorted((c[0], c[-1]))) for c in _trace_chains(neighbours, gates)]
    return len(set(ends)) == len(ends) and all(first != last for first, last in ends)


def _neighbours(edges: list[Edge]) -> dict[Crossing, list[Crossing]]:
    neighbours: dict[Crossing, list[Crossing]] = {}
    for a, b in edges:
        neighbours.setdefault(a, []).append(b)
        neighbours.setdefault(b, []).append(a)
    return {crossing: sorted(others) for crossing, others in sorted(neighbours.items())}


def _reachable(
    neighbours: dict[Crossing, list[Crossing]], start: Crossing, closed: Edge
) -> set[Crossing]:
    """Return the crossings that can be reached while one edge is closed."""
    seen = {start}
    waiting = [start]
    while waiting:
        here = waiting.pop()
        for other in neighbours[here]:
            if other not in seen and (here, other) != closed and (other, here) != closed:
                seen.add(other)
                waiting.append(other)
    return seen


def _trace_chains(
    neighbours: dict[Crossing, list[Crossing]], gates: tuple[Crossing, ...]
) -> list[list[Crossing]]:
    """Return the crossings of every street, from junction to junction, each street once."""
    junctions = {c for c, others in neighbours.items() if len(others) > 2 or c in gates}
    chains: list[list[Crossing]] = []
    walked: set[tuple[Crossing, Crossing]] = set()
    for start in sorted(junctions):
        for step in neighbours[start]:
            if (start, step) in walked:
                continue
            chain = [start, step]
            while chain[-1] not in junctions:
                chain.append(next(c for c in neighbours[chain[-1]] if c != chain[-2]))
            walked.add((start, step))
            walked.add((chain[-1], chain[-2]))
            chains.append(chain)
    return chains


def draw_streets(recipe: TownRecipe, grid: StreetGrid, rng: np.random.Generator) -> list[Street]:
    """Draw the course, the lanes and the speed limit of every street."""
    chains = _trace_chains(_neighbours(list(grid.edges)), grid.gates)
    return [_draw_street(recipe, grid, chain, rng) for chain in chains]


def _draw_street(
    recipe: TownRecipe, grid: StreetGrid, chain: list[Crossing], rng: np.random.Generator
) -> Street:
    """Draw bends until the street can be driven; without bends it always can."""
    lanes = recipe.wide_street_lanes if rng.random() < recipe.wide_street_share else 1
    speed_kmh = int(rng.choice(recipe.street_speeds_kmh))
    sharpest_m = smallest_radius_m(recipe, lanes)
    chances = [recipe.bent_street_share] * _BEND_ATTEMPTS + [0.0]
    for bend_chance in chances:
        points: list[Point] = [grid.positions[chain[0]]]
        radii_m: list[float] = []
        for a, b in itertools.pairwise(chain):
            positions = grid.positions[a], grid.positions[b]
            inner, inner_radii_m = _draw_bends(recipe, *positions, bend_chance, rng)
            points.extend((*inner, positions[1]))
            radii_m.extend((*inner_radii_m, float(rng.uniform(sharpest_m, _WIDEST_CORNER_M))))
        del radii_m[-1]  # the last point is a junction
        path = round_polyline(
            points, radii_m, start_reserve_m=_JUNCTION_RESERVE_M, end_reserve_m=_JUNCTION_RESERVE_M
        )
        if path.smallest_radius_m >= sharpest_m:
            break
    return Street(
        start=chain[0],
        end=chain[-1],
        points=tuple(points),
        radii_m=tuple(radii_m),
        lanes=lanes,
        speed_kmh=speed_kmh,
    )


def _draw_bends(
    recipe: TownRecipe, a: Point, b: Point, bend_chance: float, rng: np.random.Generator
) -> tuple[list[Point], list[float]]:
    """Draw a bow, an S or a chicane between two crossings, or leave the edge straight."""
    kind = rng.choice(["bow", "s", "chicane"])
    is_bent = rng.random() < bend_chance
    side = float(rng.choice([-1.0, 1.0]))
    size = float(rng.uniform(0.5, 1.0))
    low, high = (math.log(radius_m) for radius_m in recipe.curve_radius_m)
    radii_m = np.exp(rng.uniform(low, high, 2)).tolist()
    length_m = math.dist(a, b)
    if not is_bent:
        return [], []
    if kind == "bow":
        places = [(0.5, side * size * 0.08 * length_m)]
        radii_m = [max(60.0, radii_m[0])]
    elif kind == "s":
        offset_m = side * size * 0.05 * length_m
        places = [(1.0 / 3.0, offset_m), (2.0 / 3.0, -offset_m)]
    else:
        offset_m = side * size * 9.0
        places = [(0.38, offset_m), (0.62, -offset_m)]
        radii_m = rng.uniform(*_CHICANE_RADIUS_M, 2).tolist()
    ux, uy = (b.x_m - a.x_m) / length_m, (b.y_m - a.y_m) / length_m
    points = [
        Point(
            a.x_m + part * length_m * ux - offset_m * uy,
            a.y_m + part * length_m * uy + offset_m * ux,
        )
        for part, offset_m in places
    ]
    return points, radii_m
