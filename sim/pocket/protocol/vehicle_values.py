"""Controls and physics of vehicles on the wire."""

from __future__ import annotations

from typing import Any

from sim.pocket.dynamics import VehicleControl
from sim.pocket.protocol.values import (
    bool_from_wire,
    fields_from_wire,
    int_from_wire,
    list_from_wire,
    number_from_wire,
    numbers_from_wire,
    vector_from_wire,
)
from sim.pocket.vehicles import Gear, PhysicsControl, WheelPhysics

_CONTROL_FIELDS = 7
_GEAR_FIELDS = 3
_WHEEL_NUMBERS = 9
_PHYSICS_FIELDS = 17


def control_from_wire(value: Any) -> VehicleControl:
    """Read a VehicleControl."""
    fields = fields_from_wire(value, _CONTROL_FIELDS)
    return VehicleControl(
        throttle=number_from_wire(fields[0]),
        steer=number_from_wire(fields[1]),
        brake=number_from_wire(fields[2]),
        hand_brake=bool_from_wire(fields[3]),
        reverse=bool_from_wire(fields[4]),
        manual_gear_shift=bool_from_wire(fields[5]),
        gear=int_from_wire(fields[6]),
    )


def _points_from_wire(value: Any) -> tuple[tuple[float, float], ...]:
    points = []
    for item in list_from_wire(value):
        x, y = numbers_from_wire(item, 2)
        points.append((x, y))
    return tuple(points)


def _gear_from_wire(value: Any) -> Gear:
    ratio, down_ratio, up_ratio = numbers_from_wire(value, _GEAR_FIELDS)
    return Gear(ratio=ratio, down_ratio=down_ratio, up_ratio=up_ratio)


def _wheel_from_wire(value: Any) -> WheelPhysics:
    fields = fields_from_wire(value, _WHEEL_NUMBERS + 1)
    numbers = numbers_from_wire(fields, _WHEEL_NUMBERS)
    return WheelPhysics(
        tire_friction=numbers[0],
        damping_rate=numbers[1],
        max_steer_angle=numbers[2],
        radius=numbers[3],
        max_brake_torque=numbers[4],
        max_handbrake_torque=numbers[5],
        lat_stiff_max_load=numbers[6],
        lat_stiff_value=numbers[7],
        long_stiff_value=numbers[8],
        position=vector_from_wire(fields[_WHEEL_NUMBERS]),
    )


def physics_from_wire(value: Any) -> PhysicsControl:
    """Read a VehiclePhysicsControl."""
    fields = fields_from_wire(value, _PHYSICS_FIELDS)
    return PhysicsControl(
        torque_curve=_points_from_wire(fields[0]),
        max_rpm=number_from_wire(fields[1]),
        moi=number_from_wire(fields[2]),
        damping_rate_full_throttle=number_from_wire(fields[3]),
        damping_rate_zero_throttle_clutch_engaged=number_from_wire(fields[4]),
        damping_rate_zero_throttle_clutch_disengaged=number_from_wire(fields[5]),
        use_gear_autobox=bool_from_wire(fields[6]),
        gear_switch_time=number_from_wire(fields[7]),
        clutch_strength=number_from_wire(fields[8]),
        final_ratio=number_from_wire(fields[9]),
        forward_gears=tuple(_gear_from_wire(gear) for gear in list_from_wire(fields[10])),
        mass=number_from_wire(fields[11]),
        drag_coefficient=number_from_wire(fields[12]),
        center_of_mass=vector_from_wire(fields[13]),
        steering_curve=_points_from_wire(fields[14]),
        wheels=tuple(_wheel_from_wire(wheel) for wheel in list_from_wire(fields[15])),
        use_sweep_wheel_collision=bool_from_wire(fields[16]),
    )


def wire_from_physics(physics: PhysicsControl) -> list[Any]:
    """Write a VehiclePhysicsControl."""
    return [
        physics.torque_curve,
        physics.max_rpm,
        physics.moi,
        physics.damping_rate_full_throttle,
        physics.damping_rate_zero_throttle_clutch_engaged,
        physics.damping_rate_zero_throttle_clutch_disengaged,
        physics.use_gear_autobox,
        physics.gear_switch_time,
        physics.clutch_strength,
        physics.final_ratio,
        [[gear.ratio, gear.down_ratio, gear.up_ratio] for gear in physics.forward_gears],
        physics.mass,
        physics.drag_coefficient,
        physics.center_of_mass,
        physics.steering_curve,
        [_wire_from_wheel(wheel) for wheel in physics.wheels],
        physics.use_sweep_wheel_collision,
    ]


def _wire_from_wheel(wheel: WheelPhysics) -> list[Any]:
    return [
        wheel.tire_friction,
        wheel.damping_rate,
        wheel.max_steer_angle,
        wheel.radius,
        wheel.max_brake_torque,
        wheel.max_handbrake_torque,
        wheel.lat_stiff_max_load,
        wheel.lat_stiff_value,
        wheel.long_stiff_value,
        wheel.position,
    ]
