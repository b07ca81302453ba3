"""Poses, velocities, forces and skeletons of actors."""

from __future__ import annotations

from collections.abc import Callable

from sim.pocket.dynamics import VehicleDynamics
from sim.pocket.geometry import Transform, Vector3
from sim.pocket.methods.dispatch import Method, completes, fires, returns
from sim.pocket.methods.walkers import bones_of
from sim.pocket.world import movement
from sim.pocket.world.actors import Actor, Vehicle, Walker
from sim.pocket.world.world import World


def set_actor_transform(world: World, actor: Actor, transform: Transform) -> None:
    """Put an actor somewhere; an attached one somewhere on its parent."""
    movement.place(world.episode, actor, transform)


def set_actor_location(world: World, actor: Actor, location: Vector3) -> None:
    """Put an actor somewhere and keep its rotation."""
    pose = actor.relative or actor.transform
    movement.place(world.episode, actor, Transform(location, pose.rotation))


def _moving(how: Callable[[VehicleDynamics, int, Vector3], None]) -> Method:
    """Declare a method that hands a vehicle and a vector on to the dynamics."""

    def hand_on(world: World, vehicle: Vehicle, vector: Vector3) -> None:
        how(world.episode.dynamics, vehicle.id, vector)

    hand_on.__doc__ = how.__doc__
    return fires(hand_on)


def disable_actor_constant_velocity(world: World, vehicle: Vehicle) -> None:
    """Let go of the held velocity."""
    world.episode.dynamics.set_constant_velocity(vehicle.id, None)


def add_actor_impulse_at_location(
    world: World, vehicle: Vehicle, impulse: Vector3, location: Vector3
) -> None:
    """Push a vehicle at a place of the world, N s; it turns by the lever arm."""
    world.episode.dynamics.add_impulse(vehicle.id, impulse, location)


def add_actor_force_at_location(
    world: World, vehicle: Vehicle, force: Vector3, location: Vector3
) -> None:
    """Push a vehicle at a place of the world during the next step, N; it turns by the lever arm."""
    world.episode.dynamics.add_force(vehicle.id, force, location)


def set_actor_simulate_physics(world: World, actor: Actor, simulated: bool) -> None:
    """Let physics move a vehicle or walker, or hold it; no difference to others."""
    if isinstance(actor, Vehicle):
        world.episode.dynamics.set_simulated(actor.id, simulated)
    elif isinstance(actor, Walker):
        actor.simulated = simulated


def set_actor_collisions(actor: Actor, collides: bool) -> None:
    """Let an actor collide with others, or not."""
    actor.collides = collides


def set_actor_enable_gravity(world: World, actor: Actor, enabled: bool) -> None:
    """Let a vehicle fall, or not; no difference to others."""
    if isinstance(actor, Vehicle):
        world.episode.dynamics.set_gravity(actor.id, enabled)


def set_actor_dead(actor: Actor) -> None:
    """Stop a walker for good."""
    if isinstance(actor, Walker):
        actor.simulated = False


def get_component_world_transform(actor: Actor, _component: str) -> Transform:
    """Return the actor's pose: every component sits at its origin."""
    return actor.transform


def get_component_relative_transform(_actor: Actor, _component: str) -> Transform:
    """Return no offset: every component sits at the actor's origin."""
    return Transform()


def get_world_transforms(actor: Actor) -> list[Transform]:
    """Return the pose of the only bone or socket, the root."""
    return [actor.transform]


def get_relative_transforms(_actor: Actor) -> list[Transform]:
    """Return the offset of the only bone or socket, none."""
    return [Transform()]


def get_names(_actor: Actor) -> list[str]:
    """Return the name of the only component, bone or socket."""
    return ["root"]


def get_bone_world_transforms(actor: Actor) -> list[Transform]:
    """Return the poses of the bones; only walkers have more than a root."""
    return [bone.world for bone in bones_of(actor)] or get_world_transforms(actor)


def get_bone_relative_transforms(actor: Actor) -> list[Transform]:
    """Return where the bones are on the actor; only walkers have more than a root."""
    return [bone.on_walker for bone in bones_of(actor)] or get_relative_transforms(actor)


def get_bone_names(actor: Actor) -> list[str]:
    """Return the names of the bones; only walkers have more than a root."""
    return [bone.name for bone in bones_of(actor)] or get_names(actor)


METHODS: dict[str, Method] = {
    "set_actor_transform": fires(set_actor_transform),
    "set_actor_location": fires(set_actor_location),
    "set_actor_target_velocity": _moving(VehicleDynamics.set_target_velocity),
    "set_actor_target_angular_velocity": _moving(VehicleDynamics.set_target_angular_velocity),
    "enable_actor_constant_velocity": _moving(VehicleDynamics.set_constant_velocity),
    "disable_actor_constant_velocity": fires(disable_actor_constant_velocity),
    "add_actor_impulse": _moving(VehicleDynamics.add_impulse),
    "add_actor_force": _moving(VehicleDynamics.add_force),
    "add_actor_angular_impulse": _moving(VehicleDynamics.add_angular_impulse),
    "add_actor_torque": _moving(VehicleDynamics.add_torque),
    "add_actor_impulse_at_location": fires(add_actor_impulse_at_location),
    "add_actor_force_at_location": fires(add_actor_force_at_location),
    "set_actor_simulate_physics": completes(set_actor_simulate_physics),
    "set_actor_collisions": completes(set_actor_collisions),
    "set_actor_enable_gravity": fires(set_actor_enable_gravity),
    "set_actor_dead": fires(set_actor_dead),
    "get_actor_component_world_transform": returns(get_component_world_transform),
    "get_actor_component_relative_transform": returns(get_component_relative_transform),
    "get_actor_bone_world_transforms": returns(get_bone_world_transforms),
    "get_actor_bone_relative_transforms": returns(get_bone_relative_transforms),
    "get_actor_socket_world_transforms": returns(get_world_transforms),
    "get_actor_socket_relative_transforms": returns(get_relative_transforms),
    "get_vehicle_bone_world_transforms": returns(get_world_transforms),
    "get_actor_component_names": returns(get_names),
    "get_actor_bone_names": returns(get_bone_names),
    "get_actor_socket_names": returns(get_names),
}
