"""Collisions of an episode's actors: free places, responses, and the collision sensors."""

from __future__ import annotations

from collections.abc import Sequence

from sim.pocket.collision import (
    Body,
    Contact,
    box_of,
    resolve_collisions,
)
from sim.pocket.geometry import OrientedBox
from sim.pocket.protocol.framing import pack_value
from sim.pocket.protocol.messages import SENSOR_TYPE_IDS, pack_sensor_header
from sim.pocket.world.actors import (
    Actor,
    Prop,
    Sensor,
    Vehicle,
    Walker,
    wire_from_actor,
    wire_from_scenery,
)
from sim.pocket.world.episode import Episode
from sim.pocket.world.publisher import Publisher

_COLLISION_SENSOR = "sensor.other.collision"
_WALKER_MASS_KG = 80.0
#: A new vehicle may stand this far inside the box of another thing, m: boxes are a little too big.
_SPAWN_TOLERANCE_M = 0.05


def is_free(episode: Episode, actor: Actor) -> bool:
    """Say whether nothing stands where a vehicle or walker is to be spawned."""
    others = [_box(other) for other in episode.actors.of_class(Vehicle) if other.collides]
    others += [body.box for body in _bodies(episode)]
    return episode.town.obstacles.deepest_overlap(_box(actor), others) <= _SPAWN_TOLERANCE_M


def collide(episode: Episode, vehicles: Sequence[Vehicle]) -> list[Contact]:
    """Keep vehicles out of each other and of everything else after a step of the dynamics."""
    if not vehicles:
        return []
    return resolve_collisions(
        episode.dynamics,
        _bodies(episode),
        episode.town.obstacles,
        vehicle_tags={vehicle.id: vehicle.identity.semantic_tag for vehicle in vehicles},
        ghosts=[vehicle.id for vehicle in vehicles if not vehicle.collides],
    )


def publish_collisions(
    episode: Episode, contacts: Sequence[Contact], *, frame: int, publisher: Publisher
) -> None:
    """Tell the collision sensors of the vehicles that hit something."""
    if not contacts:
        return
    for sensor in episode.actors.of_class(Sensor):
        if sensor.type_id != _COLLISION_SENSOR or sensor.relative is None:
            continue
        if not publisher.has_subscribers(sensor.identity.stream_id):
            continue
        for contact in contacts:
            if contact.actor_id == sensor.identity.parent_id:
                header = pack_sensor_header(
                    SENSOR_TYPE_IDS[_COLLISION_SENSOR],
                    frame,
                    episode.clock.now_s,
                    sensor.transform,
                )
                payload = _payload(episode, contact, publisher)
                publisher.publish(sensor.identity.stream_id, (header, payload))


def _payload(episode: Episode, contact: Contact, publisher: Publisher) -> bytes:
    other = None if contact.other_id is None else episode.actors.find(contact.other_id)
    other_wire = (
        wire_from_scenery(contact.other_tag) if other is None else wire_from_actor(other, publisher)
    )
    hit = episode.actors.get(contact.actor_id, Actor)
    return pack_value([wire_from_actor(hit, publisher), other_wire, contact.impulse])


def _bodies(episode: Episode) -> list[Body]:
    walkers = [
        Body(actor_id=walker.id, box=_box(walker), mass_kg=_WALKER_MASS_KG)
        for walker in episode.actors.of_class(Walker)
        if walker.collides
    ]
    props = [
        Body(actor_id=prop.id, box=_box(prop))
        for prop in episode.actors.of_class(Prop)
        if prop.collides
    ]
    return walkers + props


def _box(actor: Actor) -> OrientedBox:
    box = actor.identity.bounding_box
    return box_of(actor.transform, box.location, box.extent, actor.identity.semantic_tag)
