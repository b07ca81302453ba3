"""The satellite receiver: latitude, longitude and altitude by the map's geo reference."""

from __future__ import annotations

from collections.abc import Sequence

import carla
import numpy as np

from sim.pocket.protocol.framing import pack_value
from sim.pocket.sensors.instrument import Instrument, Moment, noise_from_seed
from sim.pocket.world.actors import number_attribute

_COORDINATES = ("lat", "lon", "alt")


class Gnss(Instrument):
    """``sensor.other.gnss``: normal noise around a bias, in degrees and metres."""

    def _read_attributes(self) -> None:
        self._bias, self._deviation = (
            np.array([number_attribute(self, f"noise_{name}_{what}", 0.0) for name in _COORDINATES])
            for what in ("bias", "stddev")
        )
        self._noise = noise_from_seed(number_attribute(self, "noise_seed", 0.0))

    def measure(self, moment: Moment) -> Sequence[bytes]:
        """Return ``[latitude, longitude, altitude]``."""
        carla_map = moment.episode.town.map.carla_map
        place = carla_map.transform_to_geolocation(carla.Location(*self.transform.location))
        exact = np.array([place.latitude, place.longitude, place.altitude])
        shown = exact + self._bias + self._deviation * self._noise.standard_normal(3)
        return (pack_value(shown.tolist()),)
