"""Rotating lidars: the same beams, with intensities or with classes."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sim.pocket.sensors.instrument import Instrument, Moment, noise_from_seed, number_within
from sim.pocket.sensors.surroundings import Hits
from sim.pocket.world.actors import number_attribute

#: Most beams of one message: what five million points per second are in the longest step.
_MOST_BEAMS = 5_000_000
_SEMANTIC_POINT = np.dtype(
    [("place", "<f4", 3), ("cosine", "<f4"), ("actor", "<u4"), ("tag", "<u4")]
)


class _RotatingLidar(Instrument):
    """What both lidars share: where the beams go, and the layout of the message."""

    def _read_attributes(self) -> None:
        self._channels = int(number_within(self, "channels", 32.0, 1.0, 1024.0))
        self._points_per_s = number_within(self, "points_per_second", 56000.0, 0.0, 5e6)
        self._turns_per_s = number_within(self, "rotation_frequency", 10.0, 0.0, 1e4)
        self._range_m = number_within(self, "range", 10.0, 0.001, 1e5)
        self._width_deg = number_within(self, "horizontal_fov", 360.0, 0.001, 360.0)
        upper = number_within(self, "upper_fov", 10.0, -90.0, 90.0)
        lower = number_within(self, "lower_fov", -30.0, -90.0, 90.0)
        self._elevations = np.radians(np.linspace(upper, lower, self._channels))
        self._angle_deg = 0.0

    def measure(self, moment: Moment) -> Sequence[bytes]:
        """Return angle, channels, points per channel; then the points, channel by channel."""
        directions = self._sweep(self.elapsed_s or moment.delta_s)
        limit_m = np.full(len(directions), self._range_m)
        hits = moment.surroundings.cast_from(self, directions, limit_m)
        kept, points = self._points(directions, hits)
        counts = kept.reshape(self._channels, -1).sum(axis=1).astype("<u4")
        angle = np.array([math.radians(self._angle_deg)], "<f4")
        channels = np.array([self._channels], "<u4")
        return angle.tobytes() + channels.tobytes() + counts.tobytes(), points

    @abstractmethod
    def _points(
        self, directions: NDArray[np.float64], hits: Hits
    ) -> tuple[NDArray[np.bool_], bytes]:
        """Return which beams give a point, (N,), and the bytes of those points."""

    def _sweep(self, elapsed_s: float) -> NDArray[np.float64]:
        """Turn on, and return the (channels * n, 3) directions of the beams on the way.

        As in CARLA, all channels fire at n angles per message, and n is rounded half up.
        """
        n = math.floor(self._points_per_s * elapsed_s / self._channels + 0.5)
        n = min(n, _MOST_BEAMS // self._channels)
        way_deg = self._turns_per_s * self._width_deg * elapsed_s
        angles = self._angle_deg + way_deg / max(1, n) * np.arange(n)
        azimuths = np.radians(np.fmod(angles, self._width_deg) - self._width_deg / 2.0)
        self._angle_deg = math.fmod(self._angle_deg + way_deg, self._width_deg)
        flat, up = np.cos(self._elevations)[:, None], np.sin(self._elevations)[:, None]
        directions = np.empty((self._channels, n, 3))
        directions[..., 0] = flat * np.cos(azimuths)
        directions[..., 1] = flat * np.sin(azimuths)
        directions[..., 2] = up
        return directions.reshape(-1, 3)


class Lidar(_RotatingLidar):
    """``sensor.lidar.ray_cast``: places and intensities, with CARLA's drop-off and noise."""

    def _read_attributes(self) -> None:
        super()._read_attributes()
        self._attenuation = number_attribute(self, "atmosphere_attenuation_rate", 0.004)
        self._lost_share = number_attribute(self, "dropoff_general_rate", 0.45)
        self._bright = number_attribute(self, "dropoff_intensity_limit", 0.8)
        self._lost_at_zero = number_attribute(self, "dropoff_zero_intensity", 0.4)
        self._deviation_m = number_attribute(self, "noise_stddev", 0.0)
        self._noise = noise_from_seed(number_attribute(self, "noise_seed", 0.0))

    def _points(
        self, directions: NDArray[np.float64], hits: Hits
    ) -> tuple[NDArray[np.bool_], bytes]:
        count = len(directions)
        intensity = np.exp(-self._attenuation * hits.distance_m)
        dim = 1.0 - self._lost_at_zero
        dim_share = dim + self._lost_at_zero * intensity / max(self._bright, 1e-9)
        kept = np.isfinite(hits.distance_m)
        kept &= self._noise.random(count) >= self._lost_share
        kept &= (intensity > self._bright) | (self._noise.random(count) < dim_share)
        shift_m = self._deviation_m * self._noise.standard_normal(count)
        points = np.empty((int(kept.sum()), 4), "<f4")
        points[:, :3] = directions[kept] * (hits.distance_m + shift_m)[kept, None]
        points[:, 3] = intensity[kept]
        return kept, points.tobytes()


class SemanticLidar(_RotatingLidar):
    """``sensor.lidar.ray_cast_semantic``: places, cosines of incidence, actors and classes."""

    def _points(
        self, directions: NDArray[np.float64], hits: Hits
    ) -> tuple[NDArray[np.bool_], bytes]:
        kept = np.isfinite(hits.distance_m)
        points = np.empty(int(kept.sum()), _SEMANTIC_POINT)
        points["place"] = directions[kept] * hits.distance_m[kept, None]
        points["cosine"] = hits.cosines()[kept]
        points["actor"] = hits.actor_ids()[kept]
        points["tag"] = hits.tags()[kept]
        return kept, points.tobytes()
