"""Route files of the CARLA leaderboard (2.x).

    <routes>
      <route id="0" town="Town01">
        <weathers><weather route_percentage="0" cloudiness="5.0" .../></weathers>
        <waypoints><position x="..." y="..." z="..."/>...</waypoints>
      </route>
    </routes>

`<scenarios>` are traffic, which is not driven here: their types are kept, to be named.
"""

from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

import carla

from bicameral.errors import RouteError
from bicameral.types import Route
from sim.routes.planner import RoutePlanner
from sim.routes.weathers import RouteWeather, read_weathers


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteDefinition:
    """A route as a file gives it.

    Attributes:
        route_id: Its id.
        town: Its map, as the leaderboard names it.
        positions_m: Sparse waypoints, (x, y, z) in CARLA's world frame.
        weathers: In the order of the route; at least one.
        scenarios: Type of every scenario on it, e.g. ``"DynamicObjectCrossing"``.
    """

    route_id: str
    town: str
    positions_m: tuple[tuple[float, float, float], ...]
    weathers: tuple[RouteWeather, ...]
    scenarios: tuple[str, ...]

    @property
    def name(self) -> str:
        """Name of the route in results, as the leaderboard writes it."""
        return f"RouteScenario_{self.route_id}"


def read_routes(path: Path) -> list[RouteDefinition]:
    """Read a leaderboard routes file.

    Args:
        path: The XML file.

    Returns:
        The routes in the order of the file.

    Raises:
        RouteError: If the file cannot be read, or is not what it should be; the message names the
            file and the line or the route.
    """
    try:
        # A route file is the user's own; it is parsed, never executed.
        root = ElementTree.fromstring(path.read_bytes())  # noqa: S314
    except OSError as error:
        raise RouteError(
            f"cannot read the routes file {path}: {error.strerror}; check the path"
        ) from error
    except ElementTree.ParseError as error:
        raise RouteError(
            f"{path}, line {error.position[0]}: {error}; expected a leaderboard routes file"
        ) from error
    if root.tag != "routes":
        raise RouteError(
            f"{path}: the outermost element is <{root.tag}>; a routes file has <routes>"
        )
    definitions = [_read_route(element, path, i) for i, element in enumerate(root.iter("route"))]
    if not definitions:
        raise RouteError(f"{path}: holds no <route>; a routes file needs at least one")
    identifiers = [definition.route_id for definition in definitions]
    for identifier in identifiers:
        if identifiers.count(identifier) > 1:
            raise RouteError(f"{path}: route id {identifier!r} occurs twice; ids must differ")
    return definitions


def plan_definition(planner: RoutePlanner, definition: RouteDefinition, kind: str) -> Route:
    """Turn sparse waypoints into a dense route.

    Args:
        planner: Knows the map of `definition.town`.
        definition: The route of a file.
        kind: What the route is there to test.

    Returns:
        The dense route.

    Raises:
        RouteError: If the waypoints cannot be connected.
    """
    locations = [carla.Location(x, y, z) for x, y, z in definition.positions_m]
    return planner.plan_through(locations, name=definition.name, kind=kind)


def _read_route(element: ElementTree.Element, path: Path, index: int) -> RouteDefinition:
    where = f"{path}, route {element.get('id', f'number {index + 1}')}"
    for name in ("id", "town"):
        if not element.get(name):
            raise RouteError(f"{where}: <route> has no attribute {name!r}; add it")
    positions = [
        tuple(_number(position, axis, where) for axis in "xyz")
        for position in element.iterfind("waypoints/position")
    ]
    if len(positions) < 2:
        raise RouteError(
            f"{where}: has {len(positions)} <position> in <waypoints>; at least two are needed"
        )
    return RouteDefinition(
        route_id=element.get("id", ""),
        town=element.get("town", ""),
        positions_m=tuple((x, y, z) for x, y, z in positions),
        weathers=read_weathers(element, where),
        scenarios=tuple(
            one.get("type") or "of no type" for one in element.iterfind("scenarios/scenario")
        ),
    )


def _number(element: ElementTree.Element, name: str, where: str) -> float:
    text = element.get(name, "")
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise RouteError(f"{where}: <{element.tag}> has {name}={text!r}; expected a finite number")
    return value
