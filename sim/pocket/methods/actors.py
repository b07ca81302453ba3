"""Blueprints, spawning, finding and destroying actors."""

from __future__ import annotations

import functools
from typing import Any

from sim.pocket.blueprints import BLUEPRINTS
from sim.pocket.methods.method import Method, returns
from sim.pocket.protocol.values import (
    BoundingBox,
    actor_ids_from_wire,
    description_from_wire,
    fields_from_wire,
    transform_from_wire,
    uint_from_wire,
)
from sim.pocket.world import spawning
from sim.pocket.world.actors import wire_from_actor
from sim.pocket.world.world import World


@functools.cache
def _definitions() -> list[Any]:
    return [
        [
            blueprint.uid,
            blueprint.id,
            blueprint.tags,
            [
                [
                    attribute.id,
                    attribute.type,
                    attribute.value,
                    list(attribute.recommended),
                    attribute.modifiable,
                    attribute.restricted,
                ]
                for attribute in blueprint.attributes
            ],
        ]
        for blueprint in BLUEPRINTS
    ]


def get_actor_definitions(_world: World, _owner: object) -> list[Any]:
    """Return the blueprint library."""
    return _definitions()


def get_spectator(world: World, _owner: object) -> list[Any]:
    """Return the spectator."""
    return wire_from_actor(world.episode.spectator, world.publisher)


def spawn_actor(world: World, _owner: object, description: Any, transform: Any) -> list[Any]:
    """Create an actor at a world pose."""
    actor = spawning.spawn(
        world, description_from_wire(description), transform_from_wire(transform)
    )
    return wire_from_actor(actor, world.publisher)


def spawn_actor_with_parent(
    world: World, _owner: object, description: Any, transform: Any, *attachment: Any
) -> list[Any]:
    """Create an actor on another one; every kind of attachment is rigid, sockets do not exist.

    Args:
        world: The world.
        description: What to create.
        transform: Pose on the parent.
        *attachment: Parent's id, kind of attachment, name of a socket.
    """
    parent, _kind, _socket = fields_from_wire(list(attachment), 3)
    actor = spawning.spawn(
        world,
        description_from_wire(description),
        transform_from_wire(transform),
        uint_from_wire(parent),
    )
    return wire_from_actor(actor, world.publisher)


def destroy_actor(world: World, _owner: object, actor_id: Any) -> bool:
    """Destroy an actor; False when it does not exist."""
    return spawning.destroy(world.episode, uint_from_wire(actor_id))


def get_actors_by_id(world: World, _owner: object, actor_ids: Any) -> list[Any]:
    """Return those of the actors that exist."""
    found = (world.episode.actors.find(actor_id) for actor_id in actor_ids_from_wire(actor_ids))
    return [wire_from_actor(actor, world.publisher) for actor in found if actor is not None]


def get_actor_bounding_box(world: World, _owner: object, actor_id: Any) -> BoundingBox:
    """Return the box of an actor, dead or alive."""
    return world.episode.actors.bounding_box(uint_from_wire(actor_id))


METHODS: dict[str, Method] = {
    "get_actor_definitions": returns(get_actor_definitions),
    "get_spectator": returns(get_spectator),
    "spawn_actor": returns(spawn_actor),
    "spawn_actor_with_parent": returns(spawn_actor_with_parent),
    "destroy_actor": returns(destroy_actor),
    "get_actors_by_id": returns(get_actors_by_id),
    "get_actor_bounding_box": returns(get_actor_bounding_box),
}
