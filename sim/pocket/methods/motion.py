"""Poses, velocities, forces and skeletons of actors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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


def _moving(how: Callable[..., None], *kinds: Any) -> Method:
    """Declare a method that hands a vehicle and vectors, or what else, on to the dynamics."""

    def hand_on(world: World, vehicle: Vehicle, *values: Any) -> None:
        how(world.episode.dynamics, vehicle.id, *values)

    hand_on.__doc__ = how.__doc__
    return fires(hand_on, Vehicle, *kinds)


def _of_bones(what: str) -> Method:
    """Declare a method that tells something of every bone; only walkers have more than a root."""

    def tell(actor: Actor) -> list[Any]:
        """Return one thing of each bone."""
        return [getattr(bone, what) for bone in bones_of(actor)]

    return returns(tell)


METHODS: dict[str, Method] = {
    "set_actor_transform": fires(set_actor_transform),
    "set_actor_location": fires(set_actor_location),
    "set_actor_target_velocity": _moving(VehicleDynamics.set_target_velocity, Vector3),
    "set_actor_target_angular_velocity": _moving(
        VehicleDynamics.set_target_angular_velocity, Vector3
    ),
    "enable_actor_constant_velocity": _moving(VehicleDynamics.set_constant_velocity, Vector3),
    "disable_actor_constant_velocity": _moving(VehicleDynamics.set_constant_velocity),
    "add_actor_impulse": _moving(VehicleDynamics.add_impulse, Vector3),
    "add_actor_force": _moving(VehicleDynamics.add_force, Vector3),
    "add_actor_angular_impulse": _moving(VehicleDynamics.add_angular_impulse, Vector3),
    "add_actor_torque": _moving(VehicleDynamics.add_torque, Vector3),
    "add_actor_impulse_at_location": _moving(VehicleDynamics.add_impulse, Vector3, Vector3),
    "add_actor_force_at_location": _moving(VehicleDynamics.add_force, Vector3, Vector3),
    "set_actor_simulate_physics": completes(set_actor_simulate_physics),
    "set_actor_collisions": completes(set_actor_collisions),
    "set_actor_enable_gravity": fires(set_actor_enable_gravity),
    "set_actor_dead": fires(set_actor_dead),
    # The only component and the only socket is the root, which sits at the actor's origin.
    "get_actor_component_world_transform": returns(lambda actor, _: actor.transform, Actor, str),
    "get_actor_component_relative_transform": returns(lambda *_: Transform(), Actor, str),
    "get_actor_bone_world_transforms": _of_bones("world"),
    "get_actor_bone_relative_transforms": _of_bones("on_walker"),
    "get_actor_socket_world_transforms": returns(lambda actor: [actor.transform], Actor),
    "get_actor_socket_relative_transforms": returns(lambda _actor: [Transform()], Actor),
    "get_vehicle_bone_world_transforms": returns(lambda actor: [actor.transform], Actor),
    "get_actor_component_names": returns(lambda _actor: ["root"], Actor),
    "get_actor_bone_names": _of_bones("name"),
    "get_actor_socket_names": returns(lambda _actor: ["root"], Actor),
}
