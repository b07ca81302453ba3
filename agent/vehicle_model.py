"""What a driver must know of the car: CARLA's Tesla Model 3, as far as steering it goes.

An agent meets the car only through its controls, so these numbers are stated here and not read
from a simulator. They are the ones that `vehicle.get_physics_control()` answers for
`vehicle.tesla.model3` (steering curve, maximum steering angle, tyre stiffness); the wheelbase is
the real car's, the axles lie symmetric about the vehicle's origin.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from typing import Final

from bicameral.units import kmh_from_mps

WHEELBASE_M: Final = 2.875
#: From the vehicle's origin back to the rear axle.
ORIGIN_TO_REAR_M: Final = WHEELBASE_M / 2.0
MAX_STEER_RAD: Final = math.radians(70.0)
#: CARLA scales the steering angle by speed: (km/h, share of the maximum angle).
STEERING_CURVE: Final = ((0.0, 1.0), (20.0, 0.9), (60.0, 0.8), (120.0, 0.7))
#: Cornering stiffness of an axle per unit of its load, 1/rad (PhysX's default). It is the same in
#: front and rear, so the car is neutral: no extra steering at speed, but the body drifts.
CORNERING_STIFFNESS: Final = 17.0

_GRAVITY_MPS2: Final = 9.81
_CURVE_KMH: Final = [point[0] for point in STEERING_CURVE]


def steer_limit_rad(speed_mps: float) -> float:
    """Return the front wheels' angle at steer = 1 for a speed (either direction)."""
    speed_kmh = kmh_from_mps(abs(speed_mps))
    k = bisect_right(_CURVE_KMH, speed_kmh)
    if k == len(STEERING_CURVE):
        return MAX_STEER_RAD * STEERING_CURVE[-1][1]
    (x0, y0), (x1, y1) = STEERING_CURVE[k - 1], STEERING_CURVE[k]
    return MAX_STEER_RAD * (y0 + (y1 - y0) * (speed_kmh - x0) / (x1 - x0))


def steer_from_curvature(curvature_per_m: float, speed_mps: float) -> float:
    """Return the steering that drives the vehicle's origin on an arc.

    Args:
        curvature_per_m: Of the arc; positive is right.
        speed_mps: Forward speed.

    Returns:
        Steering in -1..1. Rolling without slip, the origin's curvature is sin(b) / l with the
        rear distance l and the body's angle b to its path, and tan(wheel) = tan(b) L / l.
    """
    sine = max(-0.95, min(0.95, ORIGIN_TO_REAR_M * curvature_per_m))
    drift = math.asin(sine)
    wheel_rad = math.atan(WHEELBASE_M / ORIGIN_TO_REAR_M * math.tan(drift))
    return max(-1.0, min(1.0, wheel_rad / steer_limit_rad(speed_mps)))


def sideslip_rad(curvature_per_m: float, speed_mps: float) -> float:
    """Return the angle from the body's axis to the velocity of its origin on a steady arc.

    Args:
        curvature_per_m: Of the arc; positive is right.
        speed_mps: Forward speed.

    Returns:
        Radians, positive when the velocity points right of the body: l k - v^2 k / (C g) of the
        linear bicycle model (Rajamani, Vehicle Dynamics and Control, 2012, section 3.3).
    """
    drift = math.asin(max(-0.95, min(0.95, ORIGIN_TO_REAR_M * curvature_per_m)))
    return drift - speed_mps**2 * curvature_per_m / (CORNERING_STIFFNESS * _GRAVITY_MPS2)
