"""What each wheel of a vehicle does: slip, speed, load, forces.

The dynamics know axles; a wheel does its share of its axle's work. Wheels have no spin of their own
there: how much faster than the road a driven tyre turns follows from its longitudinal stiffness.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from sim.pocket import dynamics_kernels as k
from sim.pocket.vehicle_arrays import VehicleArrays
from sim.pocket.vehicles import PhysicsControl

_STANDSTILL_MPS = 1e-3


class WheelState(NamedTuple):
    """One wheel, in the order of the wire's ``WheelTelemetryData``.

    Attributes:
        tire_friction: Friction of the tyre.
        lat_slip_deg: Angle of its motion to where it points, positive right.
        long_slip: Share by which its tread is faster than the road, -1..1.
        omega_rad_s: Turning rate, positive forwards.
        tire_load_n: Weight on it.
        normalized_tire_load: The same as a share of the load at rest on level ground.
        torque_n_m: Of the road on the wheel, as CARLA reports it: -force times radius.
        long_force_n: Of the road on the tyre, positive forwards.
        lat_force_n: The same across the wheel, positive right.
        normalized_long_force: Longitudinal force as a share of the load at rest.
        normalized_lat_force: Lateral force as a share of the load at rest.
    """

    tire_friction: float
    lat_slip_deg: float = 0.0
    long_slip: float = 0.0
    omega_rad_s: float = 0.0
    tire_load_n: float = 0.0
    normalized_tire_load: float = 0.0
    torque_n_m: float = 0.0
    long_force_n: float = 0.0
    lat_force_n: float = 0.0
    normalized_long_force: float = 0.0
    normalized_lat_force: float = 0.0


class _Axle(NamedTuple):
    """Sums over the wheels of an axle, N; the rest is equal for all of them."""

    load_n: float
    rest_load_n: float
    long_force_n: float
    lat_force_n: float
    slip_rad: float
    speed_mps: float


def wheel_states(
    arrays: VehicleArrays, row: int, physics: PhysicsControl
) -> tuple[WheelState, ...]:
    """Return the wheels of one vehicle, front left first.

    Args:
        arrays: All vehicles.
        row: Which one.
        physics: Its physics.
    """
    s, radius_m = arrays.state[row], arrays.parameters[row, k.RADIUS]
    front, rear = _axles(arrays, row)
    if s[k.AIRBORNE] > 0.5:
        omega = float(s[k.VX] / radius_m)
        return tuple(
            WheelState(tire_friction=wheel.tire_friction, omega_rad_s=omega)
            for wheel in physics.wheels
        )
    half = len(physics.wheels) // 2
    states = []
    for number, wheel in enumerate(physics.wheels):
        axle = front if number < half else rear
        long_n, lat_n, rest_n = (
            force / half for force in (axle.long_force_n, axle.lat_force_n, axle.rest_load_n)
        )
        slip = long_n / max(wheel.long_stiff_value * k.GRAVITY, 1.0)
        slip = min(max(slip, -1.0), 1.0) if abs(axle.speed_mps) > _STANDSTILL_MPS else 0.0
        states.append(
            WheelState(
                tire_friction=wheel.tire_friction,
                lat_slip_deg=math.degrees(axle.slip_rad),
                long_slip=slip,
                omega_rad_s=(axle.speed_mps + slip * abs(axle.speed_mps)) / radius_m,
                tire_load_n=axle.load_n / half,
                normalized_tire_load=axle.load_n / axle.rest_load_n,
                torque_n_m=-long_n * radius_m,
                long_force_n=long_n,
                lat_force_n=lat_n,
                normalized_long_force=long_n / rest_n,
                normalized_lat_force=lat_n / rest_n,
            )
        )
    return tuple(states)


def _axles(arrays: VehicleArrays, row: int) -> tuple[_Axle, _Axle]:
    """Return the front and the rear axle as the dynamics have them now."""
    s, u, p = arrays.state[row].copy(), arrays.control[row], arrays.parameters[row]
    load_front, load_rear = k.axle_loads(s, p)
    grip_front = max(p[k.FRICTION_FRONT] * load_front, 1.0)
    grip_rear = max(p[k.FRICTION_REAR] * load_rear, 1.0)
    drive, engine_drag, engine_mass = k.engine_forces(s, p, arrays.gears[row], arrays.torque[row])
    drives_and_brakes = k.pedal_forces(s, u, p, drive, grip_front, grip_rear)
    front_n, rear_n = _long_forces(s, drives_and_brakes, engine_drag, load_front + load_rear)
    if abs(s[k.VX]) > _STANDSTILL_MPS:
        # What spins the engine up or down does not reach the road.
        pull = front_n + rear_n - (load_front + load_rear) * s[k.SLOPE_FORWARD]
        pull -= p[k.DRAG] * s[k.VX] * abs(s[k.VX])
        spun = 0.5 * engine_mass * pull / (p[k.MASS] + engine_mass)
        front_n, rear_n = front_n - spun, rear_n - spun
    side_front, side_rear = k.side_forces(
        s, p, abs(front_n) / grip_front, abs(rear_n) / grip_rear, grip_front, grip_rear
    )
    slip_front, slip_rear = k.slip_angles(s, p)
    moves = abs(s[k.VX]) > _STANDSTILL_MPS
    wheelbase_m = p[k.TO_FRONT] + p[k.TO_REAR]
    rest_n = p[k.MASS] * k.GRAVITY / wheelbase_m
    at_front = s[k.VY] + p[k.TO_FRONT] * s[k.YAW_RATE]
    along = s[k.VX] * math.cos(s[k.STEER]) + at_front * math.sin(s[k.STEER])
    front = _Axle(
        load_front, rest_n * p[k.TO_REAR], front_n, side_front, slip_front if moves else 0.0, along
    )
    rear = _Axle(
        load_rear, rest_n * p[k.TO_FRONT], rear_n, side_rear, slip_rear if moves else 0.0, s[k.VX]
    )
    return front, rear


def _long_forces(
    s: k.Floats, pedals: tuple[float, float, float, float], engine_drag: float, weight: float
) -> tuple[float, float]:
    """Return the longitudinal forces of both axles; brakes hold what stands no harder than needed.

    Args:
        s: State row.
        pedals: What `pedal_forces` gives.
        engine_drag: Resistance of the engine, N.
        weight: On both axles, N.
    """
    drive_front, drive_rear, brake_front, brake_rear = pedals
    brakes = brake_front + brake_rear
    if abs(s[k.VX]) > _STANDSTILL_MPS:
        sign = math.copysign(1.0, s[k.VX])
        front = drive_front - sign * (brake_front + 0.5 * engine_drag)
        return front, drive_rear - sign * (brake_rear + 0.5 * engine_drag)
    pushed = drive_front + drive_rear - weight * s[k.SLOPE_FORWARD]
    held = min(max(pushed, -brakes), brakes) / max(brakes, 1.0)
    return drive_front - held * brake_front, drive_rear - held * brake_rear
