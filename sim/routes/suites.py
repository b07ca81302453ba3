"""Named sets of routes, drawn with fixed seeds: the same routes on the same map, always."""

from __future__ import annotations

from dataclasses import replace

from bicameral.errors import look_up
from bicameral.types import Route
from sim.routes.planner import RoutePlanner
from sim.routes.sampling import RouteRequest, sample_routes

#: Seed of the shipped suites; another one gives other routes of the same kinds.
SUITE_SEED = 7


def _request(
    kind: str, count: int, min_length_m: float = 180.0, max_length_m: float = 300.0
) -> RouteRequest:
    return RouteRequest(
        kind=kind,
        count=count,
        seed=SUITE_SEED,
        min_length_m=min_length_m,
        max_length_m=max_length_m,
    )


#: `short`: through junctions, for a first screen within minutes. `standard`: one route of every
#: kind. `study`: enough of each to compare
#: agents. `validation`: for choosing between trained networks, never for a final figure.
SUITES: dict[str, tuple[RouteRequest, ...]] = {
    "short": (
        _request("left", 2, 120.0, 200.0),
        _request("right", 2, 120.0, 200.0),
        _request("straight", 1, 120.0, 200.0),
        _request("mixed", 1, 160.0, 280.0),
    ),
    "standard": (
        _request("curves", 1),
        _request("highway", 1, 400.0, 700.0),
        _request("left", 1),
        _request("right", 1),
        _request("straight", 1),
        _request("mixed", 1),
    ),
    "study": (
        _request("left", 5),
        _request("right", 5),
        _request("straight", 3),
        _request("mixed", 3),
        _request("curves", 2),
        _request("highway", 2, 400.0, 600.0),
    ),
    "validation": (
        _request("left", 4),
        _request("right", 4),
        _request("straight", 2),
        _request("mixed", 2),
    ),
    # No junction offers a choice of way, so an agent that never sees a command can drive them.
    "no_choice": (
        _request("curves", 6),
        _request("highway", 4, 300.0, 600.0),
    ),
}


def routes_of_suite(planner: RoutePlanner, suite: str, seed: int = SUITE_SEED) -> list[Route]:
    """Draw the routes of a suite on the planner's map.

    Args:
        planner: Knows the map.
        suite: Name in `SUITES`.
        seed: Seed of the draw.

    Raises:
        UserError: If the suite is unknown.
        RouteError: If the map does not hold such routes.
    """
    return [
        route
        for request in look_up("route suite", suite, SUITES)
        for route in sample_routes(planner, replace(request, seed=seed))
    ]
