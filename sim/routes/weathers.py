"""The weather of a route, as a leaderboard file gives it: at percentages of the route.

    <weathers>
      <weather route_percentage="0" cloudiness="5.0" sun_altitude_angle="60.0"/>
      <weather route_percentage="100" cloudiness="60.0" sun_altitude_angle="15.0"/>
    </weathers>

In between each number changes linearly. What an element does not say is as in CARLA's base weather
of the leaderboard: CARLA's defaults with the sun at 70 degrees and half of the sky in clouds.
"""

from __future__ import annotations

import logging
import math
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import carla

from bicameral.errors import RouteError
from sim.client.weather import Weather

_logger = logging.getLogger(__name__)

_FIELDS = tuple(field.name for field in fields(Weather))


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteWeather:
    """The weather at a place of a route.

    Attributes:
        percentage: Where on the route, 0..100.
        weather: The sky there.
    """

    percentage: float
    weather: Weather


def read_weathers(route: ElementTree.Element, where: str) -> tuple[RouteWeather, ...]:
    """Return the weathers of a ``<route>`` in the order of the route; at least one.

    Args:
        route: The element.
        where: Names it in errors.

    Raises:
        RouteError: If something is no finite number, or a percentage outside 0..100.
    """
    found = [_read_weather(element, where) for element in route.iterfind("weathers/weather")]
    if not found:
        return (RouteWeather(percentage=0.0, weather=_base_weather()),)
    return tuple(sorted(found, key=lambda one: one.percentage))


def weather_along(weathers: Sequence[RouteWeather], percentage: float) -> Weather:
    """Return the weather at a percentage of the route; before the first and after the last, theirs.

    Args:
        weathers: In the order of the route.
        percentage: Where on it.
    """
    after = next((i for i, one in enumerate(weathers) if one.percentage > percentage), None)
    if after is None:
        return weathers[-1].weather
    if after == 0:
        return weathers[0].weather
    first, last = weathers[after - 1], weathers[after]
    share = (percentage - first.percentage) / (last.percentage - first.percentage)
    return Weather(
        **{
            name: (1.0 - share) * getattr(first.weather, name) + share * getattr(last.weather, name)
            for name in _FIELDS
        }
    )


def _base_weather() -> Weather:
    default = carla.WeatherParameters(sun_altitude_angle=70.0, cloudiness=50.0)
    return Weather(**{name: float(getattr(default, name)) for name in _FIELDS})


def _read_weather(element: ElementTree.Element, where: str) -> RouteWeather:
    numbers: dict[str, float] = {}
    for name, text in element.attrib.items():
        if name not in _FIELDS and name != "route_percentage":
            _logger.warning("%s: <weather> has %s, which is no weather of CARLA", where, name)
            continue
        try:
            numbers[name] = float(text)
        except ValueError:
            numbers[name] = math.nan
        if not math.isfinite(numbers[name]):
            raise RouteError(f"{where}: <weather> has {name}={text!r}; expected a finite number")
    percentage = numbers.pop("route_percentage", math.nan)
    if not 0.0 <= percentage <= 100.0:
        raise RouteError(
            f"{where}: <weather> has route_percentage={element.get('route_percentage')!r}; "
            "expected a number from 0 to 100"
        )
    return RouteWeather(percentage=percentage, weather=replace(_base_weather(), **numbers))
