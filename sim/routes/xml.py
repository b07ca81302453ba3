"""Route files of the CARLA leaderboard (2.x), read and written.

    <routes>
      <route id="0" town="Town01">
        <weathers><weather route_percentage="0" cloudiness="5.0" .../></weathers>
        <waypoints><position x="..." y="..." z="..."/>...</waypoints>
      </route>
    </routes>

`<scenarios>` are traffic; they are skipped on reading, with a note in the log.
"""

from __future__ import annotations

import logging
import math
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import carla
import numpy as np

from bicameral.errors import RouteError
from bicameral.files import write_bytes_atomic
from bicameral.types import Route
from sim.routes.planner import RoutePlanner

#: The attributes of `carla.WeatherParameters`.
WEATHER_ATTRIBUTES = (
    "cloudiness",
    "precipitation",
    "precipitation_deposits",
    "wind_intensity",
    "sun_azimuth_angle",
    "sun_altitude_angle",
    "fog_density",
    "fog_distance",
    "fog_falloff",
    "wetness",
    "scattering_intensity",
    "mie_scattering_scale",
    "rayleigh_scattering_scale",
    "dust_storm",
)

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteWeather:
    """A weather from a share of the route on (0..100 %), in CARLA's units."""

    route_percentage: float
    parameters: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteDefinition:
    """A route as a file gives it: sparse waypoints, (x, y, z) in metres in CARLA's world frame."""

    route_id: str
    town: str
    positions_m: tuple[tuple[float, float, float], ...]
    weathers: tuple[RouteWeather, ...] = ()

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


def write_routes(path: Path, definitions: Sequence[RouteDefinition]) -> None:
    """Write a leaderboard routes file, whole or not at all."""
    root = ElementTree.Element("routes")
    for definition in definitions:
        route = ElementTree.SubElement(
            root, "route", {"id": definition.route_id, "town": definition.town}
        )
        if definition.weathers:
            weathers = ElementTree.SubElement(route, "weathers")
            for weather in definition.weathers:
                values = {"route_percentage": weather.route_percentage, **weather.parameters}
                attributes = {name: repr(float(value)) for name, value in values.items()}
                ElementTree.SubElement(weathers, "weather", attributes)
        waypoints = ElementTree.SubElement(route, "waypoints")
        for position in definition.positions_m:
            attributes = {axis: f"{v:.3f}" for axis, v in zip("xyz", position, strict=True)}
            ElementTree.SubElement(waypoints, "position", attributes)
    ElementTree.indent(root)
    write_bytes_atomic(path, ElementTree.tostring(root, encoding="utf-8") + b"\n")


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


def definition_from_route(route: Route, route_id: str) -> RouteDefinition:
    """Thin a dense route out so that planning through its positions gives it back.

    Args:
        route: Without lane changes.
        route_id: Identifier in the file.

    Returns:
        Its ends and the middle of every stretch between two junctions.
    """
    edges = np.flatnonzero(np.diff(route.in_junction.astype(np.int8))) + 1
    stretches = np.split(np.arange(len(route.s_m)), edges)
    middles = [part[len(part) // 2] for part in stretches if not route.in_junction[part[0]]]
    indices = sorted({0, len(route.s_m) - 1, *(int(i) for i in middles)})
    positions = [tuple(round(float(v), 3) for v in route.xyz_m[i]) for i in indices]
    return RouteDefinition(
        route_id=route_id,
        town=route.town,
        positions_m=tuple((x, y, z) for x, y, z in positions),
    )


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
    scenarios = element.findall("scenarios/scenario")
    if scenarios:
        _logger.info("%s: %d scenarios are skipped (no traffic)", where, len(scenarios))
    return RouteDefinition(
        route_id=element.get("id", ""),
        town=element.get("town", ""),
        positions_m=tuple((x, y, z) for x, y, z in positions),
        weathers=tuple(_read_weather(w, where) for w in element.iterfind("weathers/weather")),
    )


def _read_weather(element: ElementTree.Element, where: str) -> RouteWeather:
    parameters = {}
    for name in set(element.keys()) - {"route_percentage"}:
        if name in WEATHER_ATTRIBUTES:
            parameters[name] = _number(element, name, where)
        else:
            _logger.warning("%s: unknown weather attribute %r is ignored", where, name)
    return RouteWeather(
        route_percentage=_number(element, "route_percentage", where),
        parameters=dict(sorted(parameters.items())),
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
