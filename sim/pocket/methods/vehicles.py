"""Controls, physics, lamps, doors and telemetry of vehicles."""

from __future__ import annotations

from typing import Annotated, Any

from sim.pocket.ackermann import AckermannGains, AckermannTarget
from sim.pocket.methods.dispatch import Method, fires, nothing, refusal, returns
from sim.pocket.protocol.values import Uint32, UpTo, VehicleControl, to_wire
from sim.pocket.vehicles import PhysicsControl
from sim.pocket.world import movement
from sim.pocket.world.actors import Vehicle
from sim.pocket.world.world import World

WheelNumber = Annotated[int, UpTo(3)]
_REFUSE_PHYSICS = refusal(
    "the pocket simulator has its own vehicle physics only, no CarSim, no Chrono"
)


def apply_control_to_vehicle(world: World, vehicle: Vehicle, control: VehicleControl) -> None:
    """Command a vehicle until the next command."""
    movement.control_vehicle(world.episode, vehicle, control)


def apply_ackermann_control_to_vehicle(vehicle: Vehicle, control: AckermannTarget) -> None:
    """Command steering angle and speed; a controller chooses throttle and brake each tick."""
    vehicle.ackermann_target = control


def apply_ackermann_controller_settings(vehicle: Vehicle, settings: AckermannGains) -> None:
    """Change the gains of the Ackermann controller."""
    vehicle.ackermann_gains = settings


def get_physics_control(world: World, vehicle: Vehicle) -> list[Any]:
    """Return the physics of a vehicle; wheel positions are world centimetres."""
    return list(to_wire(world.episode.dynamics.physics(vehicle.id)))


def apply_physics_control(world: World, vehicle: Vehicle, physics: PhysicsControl) -> None:
    """Change the physics of a vehicle; wheel positions are the model's and stay."""
    world.episode.dynamics.set_physics(vehicle.id, physics)


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
    "get_ackermann_controller_settings": returns(lambda car: car.ackermann_gains, Vehicle),
    "apply_ackermann_controller_settings": fires(apply_ackermann_controller_settings),
    "get_physics_control": returns(get_physics_control),
    "apply_physics_control": fires(apply_physics_control),
    "get_vehicle_light_state": returns(lambda car: [car.light_state], Vehicle),
    "set_vehicle_light_state": fires(set_vehicle_light_state),
    "get_vehicle_light_states": returns(get_vehicle_light_states),
    "get_telemetry_data": returns(get_telemetry_data),
    "show_vehicle_debug_telemetry": fires(nothing, Vehicle, bool),
    "set_actor_autopilot": fires(nothing, Vehicle, bool),
    "open_vehicle_door": fires(nothing, Vehicle, Uint32),
    "close_vehicle_door": fires(nothing, Vehicle, Uint32),
    "set_wheel_steer_direction": fires(set_wheel_steer_direction),
    "get_wheel_steer_angle": returns(get_wheel_steer_angle),
    "set_wheel_pitch_angle": fires(set_wheel_pitch_angle),
    "get_wheel_pitch_angle": returns(get_wheel_pitch_angle),
    "enable_carsim": fires(_REFUSE_PHYSICS, Vehicle, Any),
    "use_carsim_road": fires(_REFUSE_PHYSICS, Vehicle, Any),
    "enable_chrono_physics": fires(_REFUSE_PHYSICS, Vehicle, *[Any] * 6),
    "restore_physx_physics": fires(nothing, Vehicle),
}
