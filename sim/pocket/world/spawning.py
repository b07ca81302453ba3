"""Bringing actors into the world and removing them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bicameral.errors import UserError
from bicameral.units import wrap_deg
from sim.pocket.blueprints.attributes import Blueprint
from sim.pocket.blueprints.library import blueprint_by_id
from sim.pocket.blueprints.props import prop_half_extent
from sim.pocket.geometry import (
    OrientedBox,
    Rotation,
    Transform,
    Vector3,
    compose,
    rotation_matrix,
)
from sim.pocket.protocol.values import ActorDescription, AttributeValue, BoundingBox
from sim.pocket.scene.labels import CityObjectLabel
from sim.pocket.sensors.offer import delivered
from sim.pocket.sensors.pictures import Camera
from sim.pocket.vehicles import vehicle_model
from sim.pocket.world.actors import (
    Actor,
    Identity,
    Prop,
    Sensor,
    TrafficLightActor,
    TrafficSign,
    Vehicle,
    Walker,
)
from sim.pocket.world.cameras import check_camera
from sim.pocket.world.collisions import is_free
from sim.pocket.world.episode import Episode
from sim.pocket.world.speed_limits import DEFAULT_LIMIT_KMH

SPAWN_COLLISION = "Spawn failed because of collision at spawn position"
#: What a vehicle is in semantic pictures and to clients, by CARLA's base type.
TAG_BY_BASE_TYPE = {
    "car": CityObjectLabel.CAR,
    "van": CityObjectLabel.CAR,
    "truck": CityObjectLabel.TRUCK,
    "bus": CityObjectLabel.BUS,
    "motorcycle": CityObjectLabel.MOTORCYCLE,
    "bicycle": CityObjectLabel.BICYCLE,
}
#: CARLA's pedestrians: half extents of the box, whose origin is its centre.
_WALKER_BOX = BoundingBox(Vector3(), Vector3(0.188, 0.188, 0.93))
_SIGN_BOX = BoundingBox(Vector3(0.0, 0.0, 1.2), Vector3(0.05, 0.4, 1.2))
_SPECTATOR_POSE = Transform(Vector3(0.0, 0.0, 30.0), Rotation(-30.0, 0.0, 0.0))


def populate(episode: Episode) -> None:
    """Create the actors that every episode has: the spectator, and the map's lights and signs."""
    spectator = Identity(
        actor_id=next(episode.actor_ids), description=ActorDescription(0, "spectator")
    )
    episode.spectator = Actor(spectator, _SPECTATOR_POSE)
    episode.actors.add(episode.spectator)
    for light in episode.lights.lights:
        identity = Identity(
            actor_id=next(episode.actor_ids),
            description=ActorDescription(0, "traffic.traffic_light"),
            bounding_box=_trigger_box(light.transform, light.trigger_boxes),
            semantic_tag=CityObjectLabel.TRAFFIC_LIGHT,
        )
        episode.actors.add(TrafficLightActor(identity, light.transform, light))
        episode.light_actor_ids[light.opendrive_id] = identity.actor_id
    for sign in episode.lights.signs:
        identity = Identity(
            actor_id=next(episode.actor_ids),
            description=ActorDescription(0, sign.type_id),
            bounding_box=_SIGN_BOX,
            semantic_tag=CityObjectLabel.TRAFFIC_SIGNS,
        )
        episode.actors.add(TrafficSign(identity, sign.transform, sign.opendrive_id))


def spawn(
    episode: Episode,
    description: ActorDescription,
    transform: Transform,
    parent_id: int = 0,
    *,
    is_replayed: bool = False,
) -> Actor:
    """Create an actor.

    Args:
        episode: Where.
        description: Blueprint and the attributes that differ from its defaults.
        transform: World pose, or pose on the parent.
        parent_id: What to attach it to, or 0.
        is_replayed: Whether it comes from a recording: it may then stand where something is.

    Raises:
        UserError: No such blueprint or parent, a sensor that is not simulated, an attribute that
            does not parse, or something stands there already.
    """
    blueprint = blueprint_by_id(description.type_id)
    parent = episode.actors.get(parent_id, Actor) if parent_id else None
    pose = transform if parent is None else compose(parent.transform, transform)
    actor = _create(episode, blueprint, _completed(description, blueprint), pose, parent_id)
    if parent is not None:
        actor.relative = transform
        actor.move(pose, parent.motion)
    if isinstance(actor, Vehicle | Walker) and not (is_replayed or is_free(episode, actor)):
        raise UserError(SPAWN_COLLISION)
    if isinstance(actor, Vehicle):
        episode.dynamics.add(actor.id, actor.model, pose)
        actor.speed_limit_kmh = episode.town.speed_limits.at(pose.location, DEFAULT_LIMIT_KMH)
    elif isinstance(actor, Sensor):
        if isinstance(actor, Camera):
            check_camera(actor)
        episode.sensors_spawned += 1
    episode.actors.add(actor)
    return actor


def destroy(episode: Episode, actor_id: int) -> bool:
    """Remove an actor; what was attached to it stays where it is, as in CARLA.

    Returns:
        Whether it existed. Lights, signs and the spectator cannot be destroyed.
    """
    actor = episode.actors.find(actor_id)
    if actor is None or actor is episode.spectator:
        return False
    if isinstance(actor, TrafficLightActor | TrafficSign):
        return False
    episode.actors.remove(actor_id)
    if isinstance(actor, Vehicle):
        episode.dynamics.remove(actor_id)
    for child in episode.actors:
        if child.identity.parent_id == actor_id:
            child.relative = None
            child.move(child.transform)
    return True


def _create(
    episode: Episode,
    blueprint: Blueprint,
    description: ActorDescription,
    pose: Transform,
    parent_id: int,
) -> Actor:
    kind, _, rest = blueprint.id.partition(".")
    common: dict[str, Any] = {
        "actor_id": next(episode.actor_ids),
        "description": description,
        "parent_id": parent_id,
    }
    if kind == "vehicle":
        model = vehicle_model(blueprint.id)
        box = BoundingBox(model.centre, model.half_extent)
        tag = TAG_BY_BASE_TYPE[model.base_type]
        identity = Identity(**common, bounding_box=box, semantic_tag=tag)
        return Vehicle(identity, pose, model)
    if kind == "walker":
        tag = CityObjectLabel.PEDESTRIANS
        return Walker(Identity(**common, bounding_box=_WALKER_BOX, semantic_tag=tag), pose)
    if kind == "sensor":
        offer = delivered(blueprint.id)
        stream_id = next(episode.stream_ids) if offer.has_stream else 0
        identity = Identity(**common, stream_id=stream_id)
        return offer.kind(identity, pose, episode.sensors_spawned, episode.ticks)
    if kind == "static" and rest.startswith("prop"):
        half = prop_half_extent(blueprint.id)
        box = BoundingBox(Vector3(0.0, 0.0, half.z), half)
        identity = Identity(**common, bounding_box=box, semantic_tag=CityObjectLabel.DYNAMIC)
        return Prop(identity, pose)
    return Actor(Identity(**common), pose)


def _completed(description: ActorDescription, blueprint: Blueprint) -> ActorDescription:
    """Add the attributes that the client left out; the sent ones come back word for word."""
    sent = {attribute.name for attribute in description.attributes}
    added = tuple(
        AttributeValue(attribute.id, attribute.type, attribute.value)
        for attribute in blueprint.attributes
        if attribute.id not in sent
    )
    return description._replace(attributes=description.attributes + added)


def _trigger_box(pose: Transform, boxes: Sequence[OrientedBox]) -> BoundingBox:
    """Express the first trigger area of a light in the light's frame."""
    if not boxes:
        return BoundingBox(extent=Vector3(1.0, 1.0, 1.0))
    box = boxes[0]
    turn = rotation_matrix(pose.rotation)
    offset = np.subtract(box.location, pose.location) @ turn
    yaw_deg = wrap_deg(box.yaw_deg - pose.rotation.yaw)
    centre = Vector3(*map(float, offset))
    return BoundingBox(centre, box.half_extent, Rotation(0.0, yaw_deg, 0.0))
