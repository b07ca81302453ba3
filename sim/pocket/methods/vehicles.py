"""Controls, physics, lamps, doors and telemetry of vehicles."""

from __future__ import annotations

from typing import Annotated, Any

from bicameral.errors import UserError
from sim.pocket.ackermann import AckermannGains, AckermannTarget
from sim.pocket.methods.dispatch import Method, fires, returns
from sim.pocket.protocol.values import Uint32, UpTo, VehicleControl, to_wire
from sim.pocket.vehicles import PhysicsControl
from sim.pocket.world import movement
from sim.pocket.world.actors import Vehicle
from sim.pocket.world.world import World

WheelNumber = Annotated[int, UpTo(3)]


def apply_control_to_vehicle(world: World, vehicle: Vehicle, control: VehicleControl) -> None:
    """Command a vehicle until the next command."""
    movement.control_vehicle(world.episode, vehicle, control)


def apply_ackermann_control_to_vehicle(vehicle: Vehicle, control: AckermannTarget) -> None:
    """Command steering angle and speed; a controller chooses throttle and brake each tick."""
    vehicle.ackermann_target = control


def get_ackermann_controller_settings(vehicle: Vehicle) -> AckermannGains:
    """Return the gains of the Ackermann controller."""
    return vehicle.ackermann_gains


def apply_ackermann_controller_settings(vehicle: Vehicle, settings: AckermannGains) -> None:
    """Change the gains of the Ackermann controller."""
    vehicle.ackermann_gains = settings


def get_physics_control(world: World, vehicle: Vehicle) -> list[Any]:
    """Return the physics of a vehicle; wheel positions are world centimetres."""
    return list(to_wire(world.episode.dynamics.physics(vehicle.id)))


def apply_physics_control(world: World, vehicle: Vehicle, physics: PhysicsControl) -> None:
    """Change the physics of a vehicle; wheel positions are the model's and stay."""
    world.episode.dynamics.set_physics(vehicle.id, physics)


def get_vehicle_light_state(vehicle: Vehicle) -> list[int]:
    """Return the flags of the lamps."""
    return [vehicle.light_state]


def set_vehicle_light_state(vehicle: Vehicle, state: tuple[Uint32]) -> None:
    """Set the flags of the lamps."""
    (vehicle.light_state,) = state


def get_vehicle_light_states(world: World) -> list[list[int]]:
    """Return the flags of all vehicles."""
    vehicles = world.episode.actors.of_class(Vehicle)
    return [[vehicle.id, vehicle.light_state] for vehicle in vehicles]


def get_telemetry_data(world: World, vehicle: Vehicle) -> list[Any]:
    """Return speed, controls, engine, gear, and what each wheel does."""
    dynamics = world.episode.dynamics
    state, physics = dynamics.state(vehicle.id), dynamics.physics(vehicle.id)
    control = vehicle.control
    return [
        state.forward_speed_mps,
        control.steer,
        control.throttle,
        control.brake,
        state.engine_rpm,
        state.gear,
        physics.drag_coefficient,
        list(map(list, dynamics.wheels(vehicle.id))),
    ]


def accept_flag(_vehicle: Vehicle, _flag: bool) -> None:
    """Accept a switch that has no effect here."""


def accept_door(_vehicle: Vehicle, _door: Uint32) -> None:
    """Accept the opening or closing of a door; doors do not move."""


def refuse_other_physics(_vehicle: Vehicle, *_settings: Any) -> None:
    """Refuse another physics engine; the client does not wait for it, so the log tells."""
    raise UserError("the pocket simulator has its own vehicle physics only, no CarSim, no Chrono")


def restore_physics(_vehicle: Vehicle) -> None:
    """Go back to the usual physics, which was never left."""


def set_wheel_steer_direction(vehicle: Vehicle, wheel: WheelNumber, angle_deg: float) -> None:
    """Turn a wheel for the eye."""
    vehicle.wheel_angles_deg["steer", wheel] = angle_deg


def get_wheel_steer_angle(world: World, vehicle: Vehicle, wheel: WheelNumber) -> float:
    """Return the angle of a wheel in degrees, positive right."""
    angle_deg = vehicle.wheel_angles_deg.get(("steer", wheel))
    if angle_deg is not None:
        return angle_deg
    is_front = wheel < 2
    return world.episode.dynamics.state(vehicle.id).steer_angle_deg if is_front else 0.0


def set_wheel_pitch_angle(vehicle: Vehicle, wheel: WheelNumber, angle_deg: float) -> None:
    """Roll a wheel for the eye."""
    vehicle.wheel_angles_deg["pitch", wheel] = angle_deg


def get_wheel_pitch_angle(world: World, vehicle: Vehicle, wheel: WheelNumber) -> float:
    """Return how far a wheel has rolled, -180..180 degrees; forwards is negative, as in Unreal."""
    angle_deg = vehicle.wheel_angles_deg.get(("pitch", wheel))
    return world.episode.dynamics.wheel_pitch_deg(vehicle.id) if angle_deg is None else angle_deg


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
    "enable_carsim": fires(refuse_other_physics),
    "use_carsim_road": fires(refuse_other_physics),
    "enable_chrono_physics": fires(refuse_other_physics),
    "restore_physx_physics": fires(restore_physics),
}
