"""The weathers of evaluations, by name, and small seeded changes to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from types import MappingProxyType

import carla
import numpy as np

from bicameral.errors import look_up


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """The 14 fields of `carla.WeatherParameters`, in the order of the wire.

    Percentages are 0..100, angles degrees, `fog_distance` metres. The defaults are CARLA's preset
    ``ClearNoon``, except that the sun stands at a stated azimuth where the preset says -1.
    """

    cloudiness: float = 5.0
    precipitation: float = 0.0
    precipitation_deposits: float = 0.0
    wind_intensity: float = 10.0
    sun_azimuth_angle: float = -1.0
    sun_altitude_angle: float = 45.0
    fog_density: float = 2.0
    fog_distance: float = 0.75
    fog_falloff: float = 0.1
    wetness: float = 0.0
    scattering_intensity: float = 1.0
    mie_scattering_scale: float = 0.03
    rayleigh_scattering_scale: float = 0.0331
    dust_storm: float = 0.0


_FOG = Weather(cloudiness=70.0, sun_altitude_angle=35.0, fog_density=60.0, fog_distance=0.0)
#: ``clear``: CARLA's ClearNoon. ``low_sun``: the sun 12 degrees above the horizon, long shadows.
#: ``fog``: fog under a grey sky, ``dense_fog``: half as much again. ``night``: the sun straight
#: below, street lights off.
WEATHERS: Mapping[str, Weather] = MappingProxyType(
    {
        "clear": Weather(),
        "low_sun": Weather(cloudiness=10.0, sun_azimuth_angle=60.0, sun_altitude_angle=12.0),
        "fog": _FOG,
        "dense_fog": replace(_FOG, fog_density=90.0),
        "night": Weather(sun_altitude_angle=-90.0),
    }
)


def weather_by_name(name: str) -> Weather:
    """Return the preset.

    Raises:
        UserError: If there is no weather of that name.
    """
    return look_up("weather", name, WEATHERS)


def perturb_weather(weather: Weather, rng: np.random.Generator, scale: float = 1.0) -> Weather:
    """Change sun, clouds and fog a little, without turning one weather into another.

    Args:
        weather: The preset.
        rng: Source of the four numbers drawn, always four.
        scale: 1 moves the sun by up to 20 degrees of azimuth and 3 of altitude, and clouds and fog
            by up to 10 % of their value; 0 changes nothing.
    """
    azimuth, altitude, clouds, fog = scale * rng.uniform(-1.0, 1.0, size=4)
    night = weather.sun_altitude_angle <= 0.0
    return replace(
        weather,
        sun_azimuth_angle=weather.sun_azimuth_angle + 20.0 * float(azimuth),
        sun_altitude_angle=weather.sun_altitude_angle + (0.0 if night else 3.0 * float(altitude)),
        cloudiness=weather.cloudiness * (1.0 + 0.1 * float(clouds)),
        fog_density=weather.fog_density * (1.0 + 0.1 * float(fog)),
    )


def apply_weather(world: carla.World, weather: Weather) -> None:
    """Set the weather; below the horizon the street lights of the town are switched off.

    A server without lights, the pocket simulator, has none to switch.
    """
    world.set_weather(carla.WeatherParameters(**asdict(weather)))
    if weather.sun_altitude_angle <= 0.0:
        lights = world.get_lightmanager()
        street = lights.get_all_lights(carla.LightGroup.Street)
        if street:
            lights.turn_off(street)
