"""From weather parameters to the light a camera sees.

One continuous model; clear noon, low sun, fog and a night without street light are points of it.
Colours are display values, 0..1 (gamma included): the textures are multiplied by them directly.
The constants are chosen by eye against photographs of streets, except where a source is named.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

from bicameral.errors import UserError

Rgb = tuple[float, float, float]

#: Order of CARLA's `WeatherParameters` on the wire.
WEATHER_FIELDS = (
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

#: CARLA's `WeatherParameters.ClearNoon`.
CLEAR_NOON = (5.0, 0.0, 0.0, 10.0, -1.0, 45.0, 2.0, 0.75, 0.1, 0.0, 1.0, 0.03, 0.0331, 0.0)

#: Extinction of clean air (haze) and of full fog, 1/m. At 0.12 a street ends after about 25 m.
_HAZE_PER_M = 0.0012
_FULL_FOG_PER_M = 0.12
#: Optical depth of the clear sky for red, green and blue light, per air mass.
_OPTICAL_DEPTH: Rgb = (0.035, 0.075, 0.16)

_DAY_SKY: Rgb = (0.50, 0.54, 0.60)
_NIGHT_SKY: Rgb = (0.235, 0.25, 0.32)
_SUNLIGHT: Rgb = (0.80, 0.77, 0.70)
_DAY_ZENITH: Rgb = (0.23, 0.43, 0.76)
_DAY_HORIZON: Rgb = (0.74, 0.82, 0.90)
_LOW_SUN_HORIZON: Rgb = (0.86, 0.72, 0.58)
_NIGHT_ZENITH: Rgb = (0.040, 0.048, 0.085)
_NIGHT_HORIZON: Rgb = (0.105, 0.115, 0.155)
_OVERCAST: Rgb = (0.66, 0.69, 0.72)
_DAY_FOG: Rgb = (0.74, 0.76, 0.78)
_NIGHT_FOG: Rgb = (0.115, 0.125, 0.155)
_SHADOW_STEPS_PER_DEG = 4.0
#: What a flooded road mirrors of the sky to who looks along it.
_WET_SHEEN = 0.75
#: The sun's height at which lamps are switched on.
_LAMPS_BELOW_DEG = -2.0
#: Standard deviation of the sensor noise in a dark night, in 8-bit levels.
_NIGHT_NOISE_LEVELS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Lighting:
    """Everything about light and air that the rasteriser needs; colours are RGB, 0..1.

    Attributes:
        sun_direction: Unit vector from the ground to the sun, world frame.
        shadow_direction: The same on a grid of a quarter of a degree, for shadows that are baked:
            a sun that moves a little at each tick does not move them each time.
        sun: Direct sunlight on a surface that faces the sun; zero without a sun.
        sky: Diffuse light on a surface that faces up.
        ground: Diffuse light on a surface that faces down.
        zenith: Sky colour overhead.
        horizon: Sky colour at the horizon.
        glow: Added to the sky around the sun.
        cloud: Colour of clouds.
        cloudiness: Share of the sky that clouds cover, 0..1.
        fog: Colour of the air far away.
        extinction_per_m: Light lost in the air per metre.
        fog_start_m: Distance at which the fog begins; haze begins at the lens.
        road_gain: Factor on the colour of road surfaces; wet roads are darker.
        road_sheen: How much of the sky a wet road mirrors to who looks along it.
        rain: Share of the heaviest rain, 0..1.
        lamps_on: Whether street lamps and windows are lit.
        noise_levels: Standard deviation of the sensor noise, in 8-bit levels.
    """

    sun_direction: tuple[float, float, float]
    shadow_direction: tuple[float, float, float]
    sun: Rgb
    sky: Rgb
    ground: Rgb
    zenith: Rgb
    horizon: Rgb
    glow: Rgb
    cloud: Rgb
    cloudiness: float
    fog: Rgb
    extinction_per_m: float
    fog_start_m: float
    road_gain: float
    road_sheen: float
    rain: float
    lamps_on: bool
    noise_levels: float

    @property
    def casts_shadows(self) -> bool:
        """Whether the sun is bright enough for its shadows to be seen."""
        return max(self.sun) > 0.02


@functools.lru_cache(maxsize=8)
def lighting_from_weather(weather: tuple[float, ...]) -> Lighting:
    """Translate CARLA's weather to light.

    Used: cloudiness, precipitation, precipitation_deposits, the sun's azimuth and altitude,
    fog_density, fog_distance and wetness. Wind, fog falloff, the scattering scales and dust have
    no effect.

    Args:
        weather: The 14 numbers of `WEATHER_FIELDS`: percentages 0..100, degrees, metres.

    Raises:
        UserError: if there are not 14 finite numbers.
    """
    if len(weather) != len(WEATHER_FIELDS) or not all(math.isfinite(value) for value in weather):
        raise UserError(
            f"weather {list(weather)} is not {len(WEATHER_FIELDS)} finite numbers; "
            f"expected {', '.join(WEATHER_FIELDS)}"
        )
    given = dict(zip(WEATHER_FIELDS, weather, strict=True))
    cloudiness = _share(given["cloudiness"])
    rain = _share(given["precipitation"])
    wetness = max(_share(given["wetness"]), _share(given["precipitation_deposits"]))
    fogginess = _share(given["fog_density"])
    altitude_deg = max(-90.0, min(90.0, given["sun_altitude_angle"]))
    day = _smooth_step(-9.0, 12.0, altitude_deg)
    low_sun = day * (1.0 - _smooth_step(8.0, 32.0, altitude_deg))
    overcast = _smooth_step(0.55, 1.0, cloudiness)
    direct = _direct_sun(altitude_deg) * (1.0 - 0.96 * _smooth_step(0.35, 0.95, cloudiness))
    direct *= math.exp(-5.0 * fogginess)
    tint = _sun_tint(altitude_deg)

    diffuse = _mix(_NIGHT_SKY, _DAY_SKY, day)
    hidden = day * max(0.0, _direct_sun(altitude_deg) - direct)
    diffuse = _scale(diffuse, 1.0 + 0.45 * hidden + 0.05 * low_sun)
    horizon = _mix(_DAY_HORIZON, _LOW_SUN_HORIZON, 0.6 * low_sun)
    horizon = _mix(_NIGHT_HORIZON, _mix(horizon, _OVERCAST, overcast), day)
    zenith = _mix(_NIGHT_ZENITH, _mix(_DAY_ZENITH, _scale(_OVERCAST, 0.9), overcast), day)
    fog = _mix(_NIGHT_FOG, _mix(_DAY_FOG, tint, 0.15 * low_sun), day)
    cloud = _mix(_NIGHT_HORIZON, _mix((0.97, 0.97, 0.98), _OVERCAST, overcast), day)
    return Lighting(
        sun_direction=_direction(given["sun_azimuth_angle"], altitude_deg),
        shadow_direction=_direction(_on_grid(given["sun_azimuth_angle"]), _on_grid(altitude_deg)),
        # A camera opens its shutter a little longer when the sun stands low.
        sun=_product(_scale(_SUNLIGHT, direct * (1.0 + 0.25 * low_sun)), tint),
        sky=diffuse,
        ground=_scale(diffuse, 0.62),
        zenith=_scale(zenith, 1.0 - 0.2 * low_sun),
        horizon=horizon,
        glow=_scale(tint, direct * 0.5),
        cloud=_mix(cloud, _product(cloud, tint), 0.6 * low_sun),
        cloudiness=cloudiness,
        fog=_mix(horizon, fog, _smooth_step(0.03, 0.3, fogginess)),
        extinction_per_m=_HAZE_PER_M + _FULL_FOG_PER_M * fogginess**2 + 0.004 * rain,
        fog_start_m=max(0.0, given["fog_distance"]) * _smooth_step(0.03, 0.1, fogginess),
        road_gain=1.0 - 0.35 * wetness,
        road_sheen=_WET_SHEEN * wetness,
        rain=rain,
        lamps_on=altitude_deg < _LAMPS_BELOW_DEG,
        noise_levels=_NIGHT_NOISE_LEVELS * (1.0 - day),
    )


def _direct_sun(altitude_deg: float) -> float:
    """Brightness of the direct sun, 1 at noon and 0 from just below the horizon."""
    return _smooth_step(-1.0, 7.0, altitude_deg)


def _sun_tint(altitude_deg: float) -> Rgb:
    """Colour of sunlight after the atmosphere, relative to the sun overhead.

    Air mass after Kasten and Young (Applied Optics 28, 1989).
    """
    altitude = max(0.0, altitude_deg)
    air_mass = 1.0 / (math.sin(math.radians(altitude)) + 0.50572 * (altitude + 6.07995) ** -1.6364)
    red, green, blue = (math.exp(-depth * (min(air_mass, 12.0) - 1.0)) for depth in _OPTICAL_DEPTH)
    return (red / red, green / red, blue / red)


def _on_grid(angle_deg: float) -> float:
    return round(angle_deg * _SHADOW_STEPS_PER_DEG) / _SHADOW_STEPS_PER_DEG


def _direction(azimuth_deg: float, altitude_deg: float) -> tuple[float, float, float]:
    azimuth, altitude = math.radians(azimuth_deg), math.radians(altitude_deg)
    flat = math.cos(altitude)
    return (flat * math.cos(azimuth), flat * math.sin(azimuth), math.sin(altitude))


def _share(percent: float) -> float:
    return max(0.0, min(1.0, percent / 100.0))


def _smooth_step(low: float, high: float, value: float) -> float:
    part = max(0.0, min(1.0, (value - low) / (high - low)))
    return part * part * (3.0 - 2.0 * part)


def _mix(one: Rgb, other: Rgb, part: float) -> Rgb:
    return (
        one[0] + (other[0] - one[0]) * part,
        one[1] + (other[1] - one[1]) * part,
        one[2] + (other[2] - one[2]) * part,
    )


def _scale(colour: Rgb, factor: float) -> Rgb:
    return (colour[0] * factor, colour[1] * factor, colour[2] * factor)


def _product(one: Rgb, other: Rgb) -> Rgb:
    return (one[0] * other[0], one[1] * other[1], one[2] * other[2])
