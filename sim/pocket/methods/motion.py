"""Poses, velocities, forces and skeletons of actors."""

from __future__ import annotations

from typing import Any

from sim.pocket.geometry import Transform, Vector3
from sim.pocket.methods.method import Method, completes, fires, returns
from sim.pocket.protocol.values import (
    bool_from_wire,
    str_from_wire,
    transform_from_wire,
    uint_from_wire,
    vector_from_wire,
)
from sim.pocket.world import movement
from sim.pocket.world.actors import Vehicle, Walker
from sim.pocket.world.world import World


def set_actor_transform(world: World, _owner: object, actor_id: Any, transform: Any) -> None:
    """Put an actor somewhere; an attached one somewhere on its parent."""
    actor = world.actor(uint_from_wire(actor_id))
    movement.place(world.episode, actor, transform_from_wire(transform))


def set_actor_location(world: World, _owner: object, actor_id: Any, location: Any) -> None:
    """Put an actor somewhere and keep its rotation."""
    actor = world.actor(uint_from_wire(actor_id))
    pose = actor.relative or actor.transform
    movement.place(world.episode, actor, Transform(vector_from_wire(location), pose.rotation))


def set_actor_target_velocity(world: World, _owner: object, actor_id: Any, value: Any) -> None:
    """Set a vehicle's velocity in m/s, world frame; it is free again from the next step on."""
    vehicle = _vehicle(world, actor_id)
    world.episode.dynamics.set_target_velocity(vehicle.id, vector_from_wire(value))


def set_actor_target_angular_velocity(
    world: World, _owner: object, actor_id: Any, value: Any
) -> None:
    """Set a vehicle's angular velocity in degrees per second."""
    vehicle = _vehicle(world, actor_id)
    world.episode.dynamics.set_target_angular_velocity(vehicle.id, vector_from_wire(value))


def enable_actor_constant_velocity(world: World, _owner: object, actor_id: Any, value: Any) -> None:
    """Hold a velocity in m/s, vehicle frame."""
    vehicle = _vehicle(world, actor_id)
    world.episode.dynamics.set_constant_velocity(vehicle.id, vector_from_wire(value))


def disable_actor_constant_velocity(world: World, _owner: object, actor_id: Any) -> None:
    """Let go of the held velocity."""
    world.episode.dynamics.set_constant_velocity(_vehicle(world, actor_id).id, None)


def add_actor_impulse(world: World, _owner: object, actor_id: Any, value: Any) -> None:
    """Push a vehicle, N s, world frame."""
    vehicle = _vehicle(world, actor_id)
    world.episode.dynamics.add_impulse(vehicle.id, vector_from_wire(value))


def add_actor_force(world: World, _owner: object, actor_id: Any, value: Any) -> None:
    """Push a vehicle during the next step, N, world frame."""
    vehicle = _vehicle(world, actor_id)
    world.episode.dynamics.add_force(vehicle.id, vector_from_wire(value))


def add_actor_angular_impulse(world: World, _owner: object, actor_id: Any, value: Any) -> None:
    """Turn a vehicle, N m s, world frame."""
    vehicle = _vehicle(world, actor_id)
    world.episode.dynamics.add_angular_impulse(vehicle.id, vector_from_wire(value))


def add_actor_torque(world: World, _owner: object, actor_id: Any, value: Any) -> None:
    """Turn a vehicle during the next step, N m, world frame."""
    vehicle = _vehicle(world, actor_id)
    impulse = Vector3(*(component * world.delta_s for component in vector_from_wire(value)))
    world.episode.dynamics.add_angular_impulse(vehicle.id, impulse)


def add_actor_impulse_at_location(
    world: World, owner: object, actor_id: Any, value: Any, location: Any
) -> None:
    """Push a vehicle; the place makes no difference."""
    vector_from_wire(location)
    add_actor_impulse(world, owner, actor_id, value)


def add_actor_force_at_location(
    world: World, owner: object, actor_id: Any, value: Any, location: Any
) -> None:
    """Push a vehicle during the next step; the place makes no difference."""
    vector_from_wire(location)
    add_actor_force(world, owner, actor_id, value)


def set_actor_simulate_physics(world: World, _owner: object, actor_id: Any, on: Any) -> None:
    """Let physics move a vehicle or walker, or hold it; no difference to others."""
    actor = world.actor(uint_from_wire(actor_id))
    simulated = bool_from_wire(on)
    if isinstance(actor, Vehicle):
        world.episode.dynamics.set_simulated(actor.id, simulated)
    elif isinstance(actor, Walker):
        actor.simulated = simulated


def set_actor_collisions(world: World, _owner: object, actor_id: Any, on: Any) -> None:
    """Let an actor collide with others, or not."""
    world.actor(uint_from_wire(actor_id)).collides = bool_from_wire(on)


def set_actor_enable_gravity(world: World, _owner: object, actor_id: Any, on: Any) -> None:
    """Let a vehicle fall, or not; no difference to others."""
    actor = world.actor(uint_from_wire(actor_id))
    enabled = bool_from_wire(on)
    if isinstance(actor, Vehicle):
        world.episode.dynamics.set_gravity(actor.id, enabled)


def set_actor_dead(world: World, _owner: object, actor_id: Any) -> None:
    """Stop a walker for good."""
    actor = world.actor(uint_from_wire(actor_id))
    if isinstance(actor, Walker):
        actor.simulated = False


def get_component_world_transform(
    world: World, _owner: object, actor_id: Any, component: Any
) -> Transform:
    """Return the actor's pose: every component sits at its origin."""
    str_from_wire(component)
    return world.actor(uint_from_wire(actor_id)).transform


def get_component_relative_transform(
    world: World, _owner: object, actor_id: Any, component: Any
) -> Transform:
    """Return no offset: every component sits at the actor's origin."""
    str_from_wire(component)
    world.actor(uint_from_wire(actor_id))
    return Transform()


def get_world_transforms(world: World, _owner: object, actor_id: Any) -> list[Transform]:
    """Return the pose of the only bone or socket, the root."""
    return [world.actor(uint_from_wire(actor_id)).transform]


def get_relative_transforms(world: World, _owner: object, actor_id: Any) -> list[Transform]:
    """Return the offset of the only bone or socket, none."""
    world.actor(uint_from_wire(actor_id))
    return [Transform()]


def get_names(world: World, _owner: object, actor_id: Any) -> list[str]:
    """Return the name of the only component, bone or socket."""
    world.actor(uint_from_wire(actor_id))
    return ["root"]


def _vehicle(world: World, actor_id: Any) -> Vehicle:
    return world.episode.actors.get(uint_from_wire(actor_id), Vehicle)


METHODS: dict[str, Method] = {
    "set_actor_transform": fires(set_actor_transform),
    "set_actor_location": fires(set_actor_location),
    "set_actor_target_velocity": fires(set_actor_target_velocity),
    "set_actor_target_angular_velocity": fires(set_actor_target_angular_velocity),
    "enable_actor_constant_velocity": fires(enable_actor_constant_velocity),
    "disable_actor_constant_velocity": fires(disable_actor_constant_velocity),
    "add_actor_impulse": fires(add_actor_impulse),
    "add_actor_force": fires(add_actor_force),
    "add_actor_angular_impulse": fires(add_actor_angular_impulse),
    "add_actor_torque": fires(add_actor_torque),
    "add_actor_impulse_at_location": fires(add_actor_impulse_at_location),
    "add_actor_force_at_location": fires(add_actor_force_at_location),
    "set_actor_simulate_physics": completes(set_actor_simulate_physics),
    "set_actor_collisions": completes(set_actor_collisions),
    "set_actor_enable_gravity": fires(set_actor_enable_gravity),
    "set_actor_dead": fires(set_actor_dead),
    "get_actor_component_world_transform": returns(get_component_world_transform),
    "get_actor_component_relative_transform": returns(get_component_relative_transform),
    "get_actor_bone_world_transforms": returns(get_world_transforms),
    "get_actor_bone_relative_transforms": returns(get_relative_transforms),
    "get_actor_socket_world_transforms": returns(get_world_transforms),
    "get_actor_socket_relative_transforms": returns(get_relative_transforms),
    "get_vehicle_bone_world_transforms": returns(get_world_transforms),
    "get_actor_component_names": returns(get_names),
    "get_actor_bone_names": returns(get_names),
    "get_actor_socket_names": returns(get_names),
}
