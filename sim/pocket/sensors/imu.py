"""The inertial unit: accelerometer, gyroscope and compass."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sim.pocket.geometry import rotation_matrix
from sim.pocket.protocol.framing import pack_value
from sim.pocket.sensors.instrument import Instrument, Moment, noise_from_seed
from sim.pocket.world.actors import Sensor, number_attribute

_AXES = ("x", "y", "z")


class Imu(Instrument):
    """``sensor.other.imu``: accelerations by the places of the last three ticks, as in CARLA.

    So it feels its own place on a turning vehicle. The accelerometer shows gravity: at rest, it
    reads 9.81 upwards.
    """

    def _read_attributes(self) -> None:
        self._accelerometer_deviation = _by_axis(self, "noise_accel_stddev")
        self._gyroscope_bias = _by_axis(self, "noise_gyro_bias")
        self._gyroscope_deviation = _by_axis(self, "noise_gyro_stddev")
        self._noise = noise_from_seed(number_attribute(self, "noise_seed", 0.0))
        self._place = np.array(self.transform.location)
        self._step: tuple[NDArray[np.float64], float] | None = None
        self._acceleration = np.zeros(3)

    def follow(self, moment: Moment) -> None:
        """Take the difference of this tick's velocity and the last one's."""
        place = np.array(self.transform.location)
        velocity = (place - self._place) / moment.delta_s
        if self._step is not None:
            last_velocity, last_delta_s = self._step
            self._acceleration = 2.0 * (velocity - last_velocity) / (moment.delta_s + last_delta_s)
        self._place, self._step = place, (velocity, moment.delta_s)

    def measure(self, moment: Moment) -> Sequence[bytes]:
        """Return ``[[m/s^2, sensor's frame], [rad/s, sensor's frame], compass in rad]``.

        The compass is 0 to the north, which is -y in every map of CARLA, and grows clockwise.
        """
        axes = rotation_matrix(self.transform.rotation)
        upwards = np.array((0.0, 0.0, moment.gravity_mps2))
        acceleration = (self._acceleration + upwards) @ axes
        acceleration += self._accelerometer_deviation * self._noise.standard_normal(3)
        turning = np.radians(self.motion[1]) @ axes + self._gyroscope_bias
        turning += self._gyroscope_deviation * self._noise.standard_normal(3)
        compass = (math.atan2(axes[1, 0], axes[0, 0]) + math.pi / 2.0) % (2.0 * math.pi)
        return (pack_value([acceleration.tolist(), turning.tolist(), compass]),)


def _by_axis(sensor: Sensor, prefix: str) -> NDArray[np.float64]:
    return np.array([number_attribute(sensor, f"{prefix}_{axis}", 0.0) for axis in _AXES])
