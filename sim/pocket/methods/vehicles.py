"""Controls, physics, lamps, doors and telemetry of vehicles."""

from __future__ import annotations

from typing import Any

from sim.pocket.methods.method import Method, fires, returns
from sim.pocket.protocol.values import (
    bool_from_wire,
    fields_from_wire,
    number_from_wire,
    numbers_from_wire,
    uint_from_wire,
)
from sim.pocket.protocol.vehicle_values import (
    control_from_wire,
    physics_from_wire,
    wire_from_physics,
)
from sim.pocket.world import movement
from sim.pocket.world.actors import Vehicle
from sim.pocket.world.world import World

_ACKERMANN_FIELDS = 5
_ACKERMANN_GAINS = 6
_WHEEL_TELEMETRY_FIELDS = 11


def apply_control_to_vehicle(world: World, _owner: object, actor_id: Any, control: Any) -> None:
    """Command a vehicle until the next command."""
    vehicle = _vehicle(world, actor_id)
    movement.control_vehicle(world.episode, vehicle, control_from_wire(control))


def apply_ackermann_control_to_vehicle(
    world: World, _owner: object, actor_id: Any, control: Any
) -> None:
    """Command steering angle and speed; a controller chooses throttle and brake each tick."""
    vehicle = _vehicle(world, actor_id)
    vehicle.ackermann_target = numbers_from_wire(control, _ACKERMANN_FIELDS)


def get_ackermann_controller_settings(
    world: World, _owner: object, actor_id: Any
) -> tuple[float, ...]:
    """Return the gains of the Ackermann controller."""
    return _vehicle(world, actor_id).ackermann_settings


def apply_ackermann_controller_settings(
    world: World, _owner: object, actor_id: Any, settings: Any
) -> None:
    """Change the gains of the Ackermann controller; only the speed's proportional gain counts."""
    vehicle = _vehicle(world, actor_id)
    vehicle.ackermann_settings = numbers_from_wire(settings, _ACKERMANN_GAINS)


def get_physics_control(world: World, _owner: object, actor_id: Any) -> list[Any]:
    """Return the physics of a vehicle; wheel positions are world centimetres."""
    vehicle = _vehicle(world, actor_id)
    return wire_from_physics(world.episode.dynamics.physics(vehicle.id))


def apply_physics_control(world: World, _owner: object, actor_id: Any, physics: Any) -> None:
    """Change the physics of a vehicle; wheel positions are the model's and stay."""
    vehicle = _vehicle(world, actor_id)
    world.episode.dynamics.set_physics(vehicle.id, physics_from_wire(physics))


def get_vehicle_light_state(world: World, _owner: object, actor_id: Any) -> list[int]:
    """Return the flags of the lamps."""
    return [_vehicle(world, actor_id).light_state]


def set_vehicle_light_state(world: World, _owner: object, actor_id: Any, state: Any) -> None:
    """Set the flags of the lamps."""
    vehicle = _vehicle(world, actor_id)
    vehicle.light_state = uint_from_wire(fields_from_wire(state, 1)[0])


def get_vehicle_light_states(world: World, _owner: object) -> list[list[int]]:
    """Return the flags of all vehicles."""
    vehicles = world.episode.actors.of_class(Vehicle)
    return [[vehicle.id, vehicle.light_state] for vehicle in vehicles]


def get_telemetry_data(world: World, _owner: object, actor_id: Any) -> list[Any]:
    """Return speed, controls, engine and gear; of the wheels, friction and speed only."""
    vehicle = _vehicle(world, actor_id)
    dynamics = world.episode.dynamics
    state, physics = dynamics.state(vehicle.id), dynamics.physics(vehicle.id)
    wheels = []
    for wheel in physics.wheels:
        fields = [0.0] * _WHEEL_TELEMETRY_FIELDS
        fields[0] = wheel.tire_friction
        fields[3] = state.forward_speed_mps / max(0.01, wheel.radius / 100.0)
        wheels.append(fields)
    control = vehicle.control
    return [
        state.forward_speed_mps,
        control.steer,
        control.throttle,
        control.brake,
        state.engine_rpm,
        state.gear,
        physics.drag_coefficient,
        wheels,
    ]


def accept_flag(world: World, _owner: object, actor_id: Any, flag: Any) -> None:
    """Accept a switch that has no effect here."""
    _vehicle(world, actor_id)
    bool_from_wire(flag)


def accept_door(world: World, _owner: object, actor_id: Any, door: Any) -> None:
    """Accept the opening or closing of a door; doors do not move."""
    _vehicle(world, actor_id)
    uint_from_wire(door)


def accept_other_physics(world: World, _owner: object, actor_id: Any, *_settings: Any) -> None:
    """Accept a change to another physics engine; there is only one."""
    _vehicle(world, actor_id)


def set_wheel_steer_direction(
    world: World, _owner: object, actor_id: Any, wheel: Any, angle: Any
) -> None:
    """Turn a wheel for the eye, in degrees."""
    vehicle = _vehicle(world, actor_id)
    vehicle.wheel_angles_deg["steer", uint_from_wire(wheel, 3)] = number_from_wire(angle)


def get_wheel_steer_angle(world: World, _owner: object, actor_id: Any, wheel: Any) -> float:
    """Return the angle of a wheel in degrees, positive right."""
    vehicle = _vehicle(world, actor_id)
    number = uint_from_wire(wheel, 3)
    angle_deg = vehicle.wheel_angles_deg.get(("steer", number))
    if angle_deg is not None:
        return angle_deg
    is_front = number < 2
    return world.episode.dynamics.state(vehicle.id).steer_angle_deg if is_front else 0.0


def set_wheel_pitch_angle(
    world: World, _owner: object, actor_id: Any, wheel: Any, angle: Any
) -> None:
    """Roll a wheel for the eye, in degrees."""
    vehicle = _vehicle(world, actor_id)
    vehicle.wheel_angles_deg["pitch", uint_from_wire(wheel, 3)] = number_from_wire(angle)


def get_wheel_pitch_angle(world: World, _owner: object, actor_id: Any, wheel: Any) -> float:
    """Return the roll of a wheel in degrees."""
    vehicle = _vehicle(world, actor_id)
    return vehicle.wheel_angles_deg.get(("pitch", uint_from_wire(wheel, 3)), 0.0)


def _vehicle(world: World, actor_id: Any) -> Vehicle:
    return world.episode.actors.get(uint_from_wire(actor_id), Vehicle)


METHODS: dict[str, Method] = {
    "apply_control_to_vehicle": fires(apply_control_to_vehicle),
    "apply_ackermann_control_to_vehicle": fires(apply_ackermann_control_to_vehicle),
    "get_ackermann_controller_settings": returns(get_ackermann_controller_settings),
    "apply_ackermann_controller_settings": fires(apply_ackermann_controller_settings),
    "get_physics_control": returns(get_physics_control),
    "apply_physics_control": fires(apply_physics_control),
    "get_vehicle_light_state": returns(get_vehicle_light_state),
    "set_vehicle_light_state": fires(set_vehicle_light_state),
    "get_vehicle_light_states": returns(get_vehicle_light_states),
    "get_telemetry_data": returns(get_telemetry_data),
    "show_vehicle_debug_telemetry": fires(accept_flag),
    "set_actor_autopilot": fires(accept_flag),
    "open_vehicle_door": fires(accept_door),
    "close_vehicle_door": fires(accept_door),
    "set_wheel_steer_direction": fires(set_wheel_steer_direction),
    "get_wheel_steer_angle": returns(get_wheel_steer_angle),
    "set_wheel_pitch_angle": fires(set_wheel_pitch_angle),
    "get_wheel_pitch_angle": returns(get_wheel_pitch_angle),
    "enable_carsim": fires(accept_other_physics),
    "use_carsim_road": fires(accept_other_physics),
    "enable_chrono_physics": fires(accept_other_physics),
    "restore_physx_physics": fires(accept_other_physics),
}
