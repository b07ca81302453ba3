"""The controller behind ``apply_ackermann_control``: steering, pedals and direction for a motion.

As in CARLA, the gap to the wanted speed changes the wanted acceleration tick by tick, within the
limit that the command sets, and the gap to that acceleration changes the pedals.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from sim.pocket.protocol.values import VehicleControl

#: What no limit means, m/s2 (CARLA's AckermannController).
_MOST_ACCELERATION_MPS2, _MOST_DECELERATION_MPS2 = 3.0, 8.0
#: Below this a vehicle stands: it may be held, and change its direction.
_STANDSTILL_MPS = 0.1
#: Share of the acceleration's last estimate that the next one keeps.
_SMOOTHING = 0.8


class AckermannTarget(NamedTuple):
    """The command, in the order of the wire's ``VehicleAckermannControl``.

    Attributes:
        steer_rad: Angle of the front wheels, positive right.
        steer_speed_rad_s: How fast to turn them; 0 for as fast as they can.
        speed_mps: Negative backwards.
        acceleration_mps2: How fast to change the speed at most; 0 for 3 up and 8 down.
        jerk_mps3: How fast to change the acceleration at most; 0 for no limit, as in CARLA always.
    """

    steer_rad: float
    steer_speed_rad_s: float
    speed_mps: float
    acceleration_mps2: float
    jerk_mps3: float


class AckermannGains(NamedTuple):
    """Gains, in the order of the wire's ``AckermannControllerSettings``, with CARLA's defaults."""

    speed_kp: float = 0.15
    speed_ki: float = 0.0
    speed_kd: float = 0.25
    accel_kp: float = 0.01
    accel_ki: float = 0.0
    accel_kd: float = 0.01


@dataclass(slots=True)
class _Pid:
    """Proportional, integral and derivative parts; their sum stays within -1..1."""

    integral: float = 0.0
    last: float = 0.0

    def run(self, gains: tuple[float, float, float], target: float, now: float, dt: float) -> float:
        """Return the change that the gap between target and present value asks for."""
        proportional, integral, derivative = gains
        error = target - now
        self.integral = min(max(self.integral + integral * error * dt, -1.0), 1.0)
        change = proportional * error + self.integral - derivative * (now - self.last) / dt
        self.last = now
        return min(max(change, -1.0), 1.0)


class AckermannController:
    """Follows one command until the next."""

    def __init__(self, speed_mps: float) -> None:
        """Take over a vehicle that moves at this speed, negative backwards."""
        self._speed, self._acceleration = _Pid(last=speed_mps), _Pid()
        self._last_speed_mps = speed_mps
        self._measured_mps2 = 0.0
        self._wanted_mps2 = 0.0
        self._pedal = 0.0
        self._steer_rad = 0.0
        self._reverse = speed_mps < 0.0

    def control(
        self,
        target: AckermannTarget,
        gains: AckermannGains,
        *,
        speed_mps: float,
        largest_steer_rad: float,
        delta_s: float,
    ) -> VehicleControl:
        """Return what to command for the next tick.

        Args:
            target: What is wanted.
            gains: Of the controllers.
            speed_mps: Present speed along the vehicle, negative backwards.
            largest_steer_rad: Angle of the front wheels at full lock.
            delta_s: Length of a tick.
        """
        change = (speed_mps - self._last_speed_mps) / delta_s
        self._measured_mps2 = _SMOOTHING * self._measured_mps2 + (1.0 - _SMOOTHING) * change
        self._last_speed_mps = speed_mps
        steer = self._steer(target, largest_steer_rad, delta_s) / max(largest_steer_rad, 1e-6)
        stands = abs(speed_mps) < _STANDSTILL_MPS
        if stands and abs(target.speed_mps) < _STANDSTILL_MPS:
            self._pedal = self._wanted_mps2 = 0.0
            return VehicleControl(steer=steer, brake=1.0, reverse=self._reverse)
        wanted_mps = target.speed_mps
        if stands:
            self._reverse = wanted_mps < 0.0
        elif speed_mps * wanted_mps < 0.0:
            wanted_mps = 0.0  # stop first
        self._want_acceleration(target, gains, wanted_mps, speed_mps, delta_s)
        gain = (gains.accel_kp, gains.accel_ki, gains.accel_kd)
        self._pedal += self._acceleration.run(gain, self._wanted_mps2, self._measured_mps2, delta_s)
        self._pedal = min(max(self._pedal, -1.0), 1.0)
        onward = -self._pedal if self._reverse else self._pedal
        return VehicleControl(
            throttle=max(onward, 0.0),
            steer=steer,
            brake=max(-onward, 0.0),
            reverse=self._reverse,
        )

    def _steer(self, target: AckermannTarget, largest_rad: float, delta_s: float) -> float:
        wanted = min(max(target.steer_rad, -largest_rad), largest_rad)
        most = abs(target.steer_speed_rad_s) * delta_s
        if most > 0.0:
            change = min(max(wanted - self._steer_rad, -most), most)
            self._steer_rad += change
        else:
            self._steer_rad = wanted
        return self._steer_rad

    def _want_acceleration(
        self,
        target: AckermannTarget,
        gains: AckermannGains,
        wanted_mps: float,
        speed_mps: float,
        delta_s: float,
    ) -> None:
        """Change the wanted acceleration, within its own limit and that of its change."""
        gain = (gains.speed_kp, gains.speed_ki, gains.speed_kd)
        change = self._speed.run(gain, wanted_mps, speed_mps, delta_s)
        if target.jerk_mps3 != 0.0:
            most = abs(target.jerk_mps3) * delta_s
            change = min(max(change, -most), most)
        up = abs(target.acceleration_mps2) or _MOST_ACCELERATION_MPS2
        down = abs(target.acceleration_mps2) or _MOST_DECELERATION_MPS2
        self._wanted_mps2 = min(max(self._wanted_mps2 + change, -down), up)
