"""Throttle and brake for a wanted speed."""

from __future__ import annotations

from typing import Final

from bicameral.simulation import TICK_S

#: Wanted acceleration per m/s of speed error, 1/s.
_GAIN_PER_S: Final = 1.2
_INTEGRAL_GAIN_PER_S2: Final = 0.1
_INTEGRAL_LIMIT_MPS2: Final = 0.8
_MAX_ACCELERATION_MPS2: Final = 2.5
_MAX_DECELERATION_MPS2: Final = 4.0
#: Who would have to brake harder than this comes too late with the controller, and brakes fully.
EMERGENCY_MPS2: Final = 4.5

# Feed-forward of the Model 3: what full pedals do, and how the car slows down without any.
# Measured on the pocket simulator; the integral makes up for another car or slope.
_FULL_THROTTLE_MPS2: Final = 6.2
_FULL_BRAKE_MPS2: Final = 9.0
_COAST_MPS2: Final = 0.12
_COAST_PER_S: Final = 0.09

#: The brake stays off for less than this, so that the pedals do not alternate.
_COASTING_BAND_MPS2: Final = 0.25

#: Below this target and twice this speed the brake is held: the car stands.
_STAND_MPS: Final = 0.1
_HOLDING_BRAKE: Final = 0.5


class SpeedController:
    """Feed-forward of the target's own slope, with a proportional and an integral part.

    Call it once per tick.
    """

    def __init__(self) -> None:
        self._integral_mps2 = 0.0
        self._last_wanted_mps: float | None = None

    def control(
        self, speed_mps: float, target_mps: float, caution: float = 1.0
    ) -> tuple[float, float]:
        """Return the pedals for the next tick.

        Args:
            speed_mps: Forward speed now.
            target_mps: Wanted speed, e.g. `RouteGuide.target_speed_ahead`.
            caution: Factor 0..1 on the target; how an unsure agent drives more slowly.

        Returns:
            Throttle and brake, each 0..1, never both above 0.
        """
        wanted_mps = max(0.0, target_mps * caution)
        last_mps = wanted_mps if self._last_wanted_mps is None else self._last_wanted_mps
        self._last_wanted_mps = wanted_mps
        if wanted_mps < _STAND_MPS and speed_mps < 2.0 * _STAND_MPS:
            self._integral_mps2 = 0.0
            return 0.0, _HOLDING_BRAKE
        if wanted_mps < _STAND_MPS:
            # What kept the speed so far, on a hill perhaps, would let the car roll on for seconds.
            self._integral_mps2 = min(self._integral_mps2, 0.0)
        error_mps = wanted_mps - speed_mps
        slope = (wanted_mps - last_mps) / TICK_S
        slope = max(-_MAX_ACCELERATION_MPS2, min(_MAX_ACCELERATION_MPS2, slope))
        demand = slope + _GAIN_PER_S * error_mps + self._integral_mps2
        acceleration = max(-_MAX_DECELERATION_MPS2, min(_MAX_ACCELERATION_MPS2, demand))
        if acceleration == demand:  # no wind-up while the demand is cut off
            grown = self._integral_mps2 + _INTEGRAL_GAIN_PER_S2 * error_mps * TICK_S
            self._integral_mps2 = max(-_INTEGRAL_LIMIT_MPS2, min(_INTEGRAL_LIMIT_MPS2, grown))
        coast = _COAST_MPS2 + _COAST_PER_S * max(speed_mps, 0.0)
        effort = acceleration + coast
        if effort >= 0.0:
            return min(1.0, effort / _FULL_THROTTLE_MPS2), 0.0
        if effort > -_COASTING_BAND_MPS2:
            return 0.0, 0.0
        return 0.0, min(1.0, -effort / _FULL_BRAKE_MPS2)
