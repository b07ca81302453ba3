"""Attributes of lens and picture: exposure and gamma act, the others are named as ignored."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from bicameral.errors import UserError
from sim.pocket.blueprints.sensors import LENS, POSTPROCESS
from sim.pocket.sensors.instrument import number_within
from sim.pocket.world.actors import Sensor, flag_attribute, number_attribute

#: What changes the picture here.
_ACTING = (
    "enable_postprocess_effects",
    "exposure_mode",
    "exposure_compensation",
    "shutter_speed",
    "iso",
    "fstop",
    "gamma",
)
#: What every camera accepts without effect.
IGNORED_ATTRIBUTES = tuple(item.id for item in (*LENS, *POSTPROCESS) if item.id not in _ACTING)
_DEFAULTS = {item.id: item.value for item in (*LENS, *POSTPROCESS)}
#: Exposures are made with the defaults of shutter, film and aperture. (These are CARLA's.)
_SHUTTER_PER_S, _ISO, _F_STOP, _GAMMA = (
    float(_DEFAULTS[name]) for name in ("shutter_speed", "iso", "fstop", "gamma")
)


def curve_of(sensor: Sensor) -> NDArray[np.uint8] | None:
    """Return the (256,) levels that a camera shows for those that are rendered.

    What is rendered is a good exposure of the weather. ``exposure_compensation`` doubles the light
    with every step. With ``exposure_mode`` ``manual``, a longer shutter, a faster film and a wider
    aperture than the defaults let more light in, too. ``gamma`` is that of the screen which the
    picture is for. Without ``enable_postprocess_effects`` nothing of this acts.

    Returns:
        The levels; None where they are those that are rendered.

    Raises:
        UserError: An attribute makes no sense.
    """
    mode = sensor.attributes.get("exposure_mode", "histogram").strip().lower()
    if mode not in ("histogram", "manual"):
        raise UserError(
            f"attribute 'exposure_mode' of {sensor.type_id} is {mode!r}, "
            "but must be 'histogram' or 'manual'"
        )
    stops = number_within(sensor, "exposure_compensation", 0.0, -30.0, 30.0)
    shutter_per_s = number_within(sensor, "shutter_speed", _SHUTTER_PER_S, 1e-3, 1e6)
    iso = number_within(sensor, "iso", _ISO, 1e-3, 1e6)
    f_stop = number_within(sensor, "fstop", _F_STOP, 1e-3, 1e3)
    gamma = number_within(sensor, "gamma", _GAMMA, 0.1, 10.0)
    if not flag_attribute(sensor, "enable_postprocess_effects"):
        return None
    if mode == "manual":
        stops += math.log2(_SHUTTER_PER_S / shutter_per_s)
        stops += math.log2(iso / _ISO) + 2.0 * math.log2(_F_STOP / f_stop)
    if stops == 0.0 and gamma == _GAMMA:
        return None
    light = (np.arange(256) / 255.0) ** _GAMMA * 2.0**stops
    shown: NDArray[np.float64] = np.minimum(light, 1.0) ** (1.0 / gamma)
    return np.rint(shown * 255.0).astype(np.uint8)


def ignored_by(sensor: Sensor) -> list[str]:
    """Return the attributes that were set on a camera and have no effect."""
    defaults = {name: float(_DEFAULTS[name]) for name in IGNORED_ATTRIBUTES}
    return [
        name
        for name, default in defaults.items()
        if number_attribute(sensor, name, default) != default
    ]
