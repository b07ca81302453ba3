"""Blueprints, spawning, finding and destroying actors."""

from __future__ import annotations

import functools
from typing import Any

from sim.pocket.blueprints.library import BLUEPRINTS
from sim.pocket.geometry import Transform
from sim.pocket.methods.dispatch import Method, returns
from sim.pocket.protocol.values import ActorDescription, Uint32, to_wire
from sim.pocket.world import spawning
from sim.pocket.world.actors import wire_from_actor
from sim.pocket.world.world import World


@functools.cache
def get_actor_definitions() -> list[Any]:
    """Return the blueprint library."""
    return list(to_wire(BLUEPRINTS))


def spawn_actor(world: World, description: ActorDescription, transform: Transform) -> list[Any]:
    """Create an actor at a world pose."""
    actor = spawning.spawn(world.episode, description, transform)
    return wire_from_actor(actor, world.publisher)


def spawn_actor_with_parent(
    world: World,
    description: ActorDescription,
    transform: Transform,
    parent: Uint32,
    _attachment: Any,
    _socket: Any,
) -> list[Any]:
    """Create an actor on another one; every kind of attachment is rigid, sockets do not exist."""
    actor = spawning.spawn(world.episode, description, transform, parent)
    return wire_from_actor(actor, world.publisher)


def get_actors_by_id(world: World, actor_ids: list[Uint32]) -> list[Any]:
    """Return those of the actors that exist."""
    found = (world.episode.actors.find(actor_id) for actor_id in actor_ids)
    return [wire_from_actor(actor, world.publisher) for actor in found if actor is not None]


METHODS: dict[str, Method] = {
    "get_actor_definitions": returns(get_actor_definitions),
    "get_spectator": returns(
        lambda world: wire_from_actor(world.episode.spectator, world.publisher)
    ),
    "spawn_actor": returns(spawn_actor),
    "spawn_actor_with_parent": returns(spawn_actor_with_parent),
    "destroy_actor": returns(lambda world, number: spawning.destroy(world.episode, number), Uint32),
    "get_actors_by_id": returns(get_actors_by_id),
    "get_actor_bounding_box": returns(
        lambda world, number: world.episode.actors.bounding_box(number), Uint32
    ),
}
