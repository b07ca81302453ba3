"""The radar: random rays in a cone, with the speed of what they meet."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sim.pocket.geometry import rotation_matrix
from sim.pocket.sensors.instrument import Instrument, Moment, noise_from_seed, number_within
from sim.pocket.world.actors import Actor, Sensor, number_attribute
from sim.pocket.world.episode import Episode

#: Most rays of one message.
_MOST_RAYS = 1_000_000


class Radar(Instrument):
    """``sensor.other.radar``: rays that are uniform in radius and angle of the cone's base."""

    def _read_attributes(self) -> None:
        self._points_per_s = number_within(self, "points_per_second", 1500.0, 0.0, 1e6)
        self._range_m = number_within(self, "range", 100.0, 0.001, 1e5)
        self._slopes = tuple(
            math.tan(math.radians(number_within(self, f"{way}_fov", 30.0, 0.0, 179.0) / 2.0))
            for way in ("horizontal", "vertical")
        )
        self._noise = noise_from_seed(number_attribute(self, "noise_seed", 0.0))

    def measure(self, moment: Moment) -> Sequence[bytes]:
        """Return velocity (m/s, negative when nearing), azimuth, altitude (rad) and depth (m)."""
        elapsed_s = self.elapsed_s or moment.delta_s
        slants = self._slants(min(int(self._points_per_s * elapsed_s + 1e-9), _MOST_RAYS))
        lengths = np.linalg.norm(slants, axis=1)
        directions = slants / lengths[:, None]
        hits = moment.surroundings.cast_from(self, directions, self._range_m * lengths)
        rays = directions @ rotation_matrix(self.transform.rotation).T
        relative = hits.velocities() - _velocity(self, moment.episode)
        flat = np.hypot(directions[:, 0], directions[:, 1])
        found = np.empty((len(rays), 4), "<f4")
        found[:, 0] = (relative * rays).sum(axis=1)
        found[:, 1] = np.arctan2(directions[:, 1], directions[:, 0])
        found[:, 2] = np.arctan2(directions[:, 2], flat)
        found[:, 3] = hits.distance_m
        return (found[np.isfinite(hits.distance_m)].tobytes(),)

    def _slants(self, count: int) -> NDArray[np.float64]:
        """Return (count, 3) rays that are one metre long ahead, the sensor's frame."""
        radius = self._noise.random(count)
        angle = 2.0 * math.pi * self._noise.random(count)
        across, upwards = self._slopes
        parts = (
            np.ones(count),
            across * radius * np.cos(angle),
            upwards * radius * np.sin(angle),
        )
        return np.stack(parts, axis=1)


def _velocity(sensor: Sensor, episode: Episode) -> NDArray[np.float64]:
    """Return how fast the sensor itself moves, m/s, with the turning of what carries it."""
    velocity, turning_deg, _acceleration = sensor.motion
    carrier = episode.actors.find(sensor.identity.parent_id)
    if not isinstance(carrier, Actor) or sensor.relative is None:
        return np.array(velocity)
    lever = np.subtract(sensor.transform.location, carrier.transform.location)
    own: NDArray[np.float64] = np.cross(np.radians(turning_deg), lever) + velocity
    return own
