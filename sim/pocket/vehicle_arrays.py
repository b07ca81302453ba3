"""The struct of arrays behind the vehicle dynamics, and how physics controls become its rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bicameral.errors import UserError
from sim.pocket import dynamics_kernels as k
from sim.pocket.vehicles import PhysicsControl, VehicleModel, WheelPhysics

AIR_DENSITY_KG_M3 = 1.225
_CURVE_POINTS = 32
_MOST_GEARS = 16


class CollisionView(NamedTuple):
    """The arrays that collisions read and change; columns and rows as in `VehicleArrays`.

    Attributes:
        state: See `VehicleArrays`.
        before: See `VehicleArrays`.
        parameters: See `VehicleArrays`.
        extents: See `VehicleArrays`.
        present: (N,) bool, rows that collide.
        movable: (N,) bool, rows that can be pushed.
    """

    state: k.Floats
    before: k.Floats
    parameters: k.Floats
    extents: k.Floats
    present: NDArray[np.bool_]
    movable: NDArray[np.bool_]


class VehicleArrays:
    """One row per vehicle; the columns are named in `dynamics_kernels`.

    Attributes:
        moving: (N,) bool, the rows that hold a simulated vehicle.
        state: (N, STATE_COLUMNS).
        control: (N, CONTROL_COLUMNS).
        parameters: (N, PARAMETER_COLUMNS).
        gears: (N, 16, 3): ratio, down ratio, up ratio.
        torque: (N, 32, 2): rpm, N m.
        steering: (N, 32, 2): km/h, factor.
        gravity: (N,) m/s2.
        ground: (N, 3): height in m, dz/dx, dz/dy below the vehicle.
        sampled_at: (N, 3): where the map was asked for that, world frame, m.
        sampled_ground_z: (N,) m, height of the ground there.
        velocity: (N, 3) m/s, world frame, of the origin.
        velocity_before: (N, 3) m/s, the velocity at the start of the last step.
        acceleration: (N, 3) m/s2, world frame.
        before: (N, 3): x, y and yaw at the start of the last step.
        extents: (N, 3) half extents of what collides, m.
        present: (N,) bool, the rows that hold a vehicle, simulated or frozen.
    """

    def __init__(self, rows: int) -> None:
        """Begin with zeros."""
        self.moving = np.zeros(rows, np.bool_)
        self.state = np.zeros((rows, k.STATE_COLUMNS))
        self.control = np.zeros((rows, k.CONTROL_COLUMNS))
        self.parameters = np.zeros((rows, k.PARAMETER_COLUMNS))
        self.gears = np.zeros((rows, _MOST_GEARS, 3))
        self.torque = np.zeros((rows, _CURVE_POINTS, 2))
        self.steering = np.zeros((rows, _CURVE_POINTS, 2))
        self.gravity = np.zeros(rows)
        self.ground = np.zeros((rows, 3))
        self.sampled_at = np.zeros((rows, 3))
        self.sampled_ground_z = np.zeros(rows)
        self.velocity = np.zeros((rows, 3))
        self.velocity_before = np.zeros((rows, 3))
        self.acceleration = np.zeros((rows, 3))
        self.before = np.zeros((rows, 3))
        self.extents = np.zeros((rows, 3))
        self.present = np.zeros(rows, np.bool_)

    def grown(self, rows: int) -> VehicleArrays:
        """Return a copy with more rows."""
        larger = VehicleArrays(rows)
        for name, old in vars(self).items():
            getattr(larger, name)[: len(old)] = old
        return larger

    def clear(self, row: int) -> None:
        """Set one row to zero."""
        for array in vars(self).values():
            array[row] = 0

    def set_physics(self, row: int, model: VehicleModel, physics: PhysicsControl) -> None:
        """Write the parameters of one vehicle."""
        self.parameters[row] = _parameters(model, physics)
        self.gears[row] = 0.0
        for index, gear in enumerate(physics.forward_gears[:_MOST_GEARS]):
            self.gears[row, index] = gear.ratio, gear.down_ratio, gear.up_ratio
        self.torque[row] = _curve(physics.torque_curve)
        self.steering[row] = _curve(physics.steering_curve)


def check_physics(physics: PhysicsControl) -> None:
    """Refuse physics that cannot be simulated.

    Raises:
        UserError: Something is missing, negative or not finite.
    """
    if len(physics.wheels) not in (2, 4):
        raise UserError(f"a vehicle has 2 or 4 wheels, but {len(physics.wheels)} were given")
    if not physics.forward_gears or not physics.torque_curve or not physics.steering_curve:
        raise UserError(
            "the physics control of a vehicle lacks forward gears, torque curve or steering curve; "
            "start from get_physics_control() and change only what you mean to"
        )
    numbers = [physics.max_rpm, physics.moi, physics.final_ratio, physics.drag_coefficient]
    numbers += [physics.gear_switch_time, physics.clutch_strength, *physics.center_of_mass]
    numbers += [value for point in physics.torque_curve for value in point]
    numbers += [value for point in physics.steering_curve for value in point]
    numbers += [gear.ratio for gear in physics.forward_gears]
    for wheel in physics.wheels:
        numbers += [wheel.tire_friction, wheel.damping_rate, wheel.max_steer_angle]
        numbers += [wheel.max_brake_torque, wheel.max_handbrake_torque, wheel.lat_stiff_value]
    if not all(math.isfinite(number) for number in numbers):
        raise UserError("the physics control of a vehicle holds numbers that are not finite")
    if not physics.mass > 0.0 or not all(wheel.radius > 0.0 for wheel in physics.wheels):
        raise UserError(
            f"mass {physics.mass} kg and wheel radii {[w.radius for w in physics.wheels]} cm "
            "of a vehicle must be above zero"
        )


def _curve(points: Sequence[tuple[float, float]]) -> k.Floats:
    """Return (32, 2): the points by ascending x; longer curves are resampled evenly."""
    array = np.array(sorted(points), dtype=np.float64)
    if len(array) > _CURVE_POINTS:
        x = np.linspace(array[0, 0], array[-1, 0], _CURVE_POINTS)
        return np.stack([x, np.interp(x, array[:, 0], array[:, 1])], axis=1)
    result = np.tile(array[-1], (_CURVE_POINTS, 1))
    result[: len(array)] = array
    return result


def _stiffness_per_load(wheel: WheelPhysics) -> float:
    """Cornering stiffness of a tyre at its rest load per newton of load, 1/rad.

    PhysX 3.4 (PxVehicleUpdate, default tyre shader): rest load * value * f(3 / max load), where
    f(x) = x - x^2/3 + x^3/27 below 3 and 1 above.
    """
    x = 3.0 / max(wheel.lat_stiff_max_load, 1e-3)
    return wheel.lat_stiff_value * (1.0 if x >= 3.0 else x - x * x / 3.0 + x**3 / 27.0)


def _parameters(model: VehicleModel, physics: PhysicsControl) -> k.Floats:
    """Return the (PARAMETER_COLUMNS,) row of a vehicle."""
    half = len(physics.wheels) // 2
    front, rear = physics.wheels[:half], physics.wheels[half:]
    mean_radius_m = 0.01 * sum(wheel.radius for wheel in physics.wheels) / len(physics.wheels)
    com_x = min(max(physics.center_of_mass.x, -0.3 * model.wheelbase_m), 0.3 * model.wheelbase_m)
    clutch = max(physics.clutch_strength, 1e-3)
    damping = max(physics.damping_rate_zero_throttle_clutch_engaged, 0.0)
    row = np.zeros(k.PARAMETER_COLUMNS)
    row[k.MASS] = physics.mass
    row[k.YAW_INERTIA] = model.yaw_inertia_kg_m2 * physics.mass / model.physics.mass
    row[k.COM_X] = com_x
    row[k.TO_FRONT] = 0.5 * model.wheelbase_m - com_x
    row[k.TO_REAR] = 0.5 * model.wheelbase_m + com_x
    row[k.STIFFNESS_FRONT] = max(sum(map(_stiffness_per_load, front)) / half, 0.1)
    row[k.STIFFNESS_REAR] = max(sum(map(_stiffness_per_load, rear)) / half, 0.1)
    row[k.FRICTION_FRONT] = sum(w.tire_friction for w in front) / half
    row[k.FRICTION_REAR] = sum(w.tire_friction for w in rear) / half
    row[k.DRAG] = 0.5 * AIR_DENSITY_KG_M3 * physics.drag_coefficient * model.frontal_area_m2
    row[k.MAX_STEER] = math.radians(min(max(abs(w.max_steer_angle) for w in front), 80.0))
    row[k.RADIUS] = mean_radius_m
    row[k.MOI] = max(physics.moi, 0.0)
    row[k.DAMPING_FULL] = max(physics.damping_rate_full_throttle, 0.0)
    row[k.DAMPING_ZERO] = clutch * damping / (clutch + damping)
    row[k.FINAL_RATIO] = physics.final_ratio
    row[k.MAX_RPM] = max(physics.max_rpm, 1.0)
    row[k.SWITCH_S] = max(physics.gear_switch_time, 0.0)
    row[k.GEARS] = min(len(physics.forward_gears), _MOST_GEARS)
    row[k.AUTOBOX] = float(physics.use_gear_autobox)
    row[k.BRAKE_FRONT] = sum(max(w.max_brake_torque, 0.0) for w in front)
    row[k.BRAKE_REAR] = sum(max(w.max_brake_torque, 0.0) for w in rear)
    row[k.HAND_FRONT] = sum(max(w.max_handbrake_torque, 0.0) for w in front)
    row[k.HAND_REAR] = sum(max(w.max_handbrake_torque, 0.0) for w in rear)
    row[k.WHEEL_DAMPING] = sum(max(w.damping_rate, 0.0) for w in physics.wheels) / mean_radius_m**2
    row[k.TORQUE_POINTS] = min(len(physics.torque_curve), _CURVE_POINTS)
    row[k.STEERING_POINTS] = min(len(physics.steering_curve), _CURVE_POINTS)
    return row
