"""States, times and groups of traffic lights."""

from __future__ import annotations

from typing import Any

from sim.pocket.geometry import Rotation, Vector3
from sim.pocket.methods.method import Method, completes, fires, returns
from sim.pocket.protocol.values import (
    BoundingBox,
    bool_from_wire,
    number_from_wire,
    uint_from_wire,
)
from sim.pocket.world.actors import TrafficLightActor
from sim.pocket.world.world import World

_HEAD_HALF_EXTENT = Vector3(0.2, 0.2, 0.5)


def set_traffic_light_state(world: World, _owner: object, actor_id: Any, state: Any) -> None:
    """Switch a light: red 0, yellow 1, green 2, off 3."""
    world.episode.lights.set_state(_light_id(world, actor_id), uint_from_wire(state))


def set_green_time(world: World, _owner: object, actor_id: Any, seconds: Any) -> None:
    """Set how long a light stays green."""
    world.episode.lights.set_green_time(_light_id(world, actor_id), number_from_wire(seconds))


def set_yellow_time(world: World, _owner: object, actor_id: Any, seconds: Any) -> None:
    """Set how long a light stays yellow."""
    world.episode.lights.set_yellow_time(_light_id(world, actor_id), number_from_wire(seconds))


def set_red_time(world: World, _owner: object, actor_id: Any, seconds: Any) -> None:
    """Set how long a light stays red after its group has switched."""
    world.episode.lights.set_red_time(_light_id(world, actor_id), number_from_wire(seconds))


def freeze_traffic_light(world: World, _owner: object, actor_id: Any, frozen: Any) -> None:
    """Hold a light and its group in their states, or let them go on."""
    world.episode.lights.freeze(_light_id(world, actor_id), bool_from_wire(frozen))


def freeze_all_traffic_lights(world: World, _owner: object, frozen: Any) -> None:
    """Hold all lights in their states, or let them go on."""
    world.episode.lights.freeze_all(bool_from_wire(frozen))


def reset_traffic_light_group(world: World, _owner: object, actor_id: Any) -> None:
    """Begin the cycle of a light's group anew."""
    world.episode.lights.reset_group(_light_id(world, actor_id))


def reset_all_traffic_lights(world: World, _owner: object) -> None:
    """Begin the cycles of all groups anew."""
    world.episode.lights.reset_all()


def get_group_traffic_lights(world: World, _owner: object, actor_id: Any) -> list[int]:
    """Return the actor ids of the lights that switch together with one."""
    ids = world.episode.light_actor_ids
    return [ids[member] for member in world.episode.lights.group(_light_id(world, actor_id))]


def get_light_boxes(world: World, _owner: object, actor_id: Any) -> list[BoundingBox]:
    """Return the box of the light's head, world frame."""
    actor = _actor(world, actor_id)
    heads = [
        head.transform
        for head in world.episode.town.scene.signal_heads
        if head.opendrive_id == actor.light.opendrive_id
    ]
    poses = heads or [actor.transform]
    return [
        BoundingBox(
            pose.location, _HEAD_HALF_EXTENT, Rotation(0.0, pose.rotation.yaw, 0.0), actor.id
        )
        for pose in poses
    ]


def _actor(world: World, actor_id: Any) -> TrafficLightActor:
    return world.episode.actors.get(uint_from_wire(actor_id), TrafficLightActor)


def _light_id(world: World, actor_id: Any) -> str:
    return _actor(world, actor_id).light.opendrive_id


METHODS: dict[str, Method] = {
    "set_traffic_light_state": fires(set_traffic_light_state),
    "set_traffic_light_green_time": fires(set_green_time),
    "set_traffic_light_yellow_time": fires(set_yellow_time),
    "set_traffic_light_red_time": fires(set_red_time),
    "freeze_traffic_light": fires(freeze_traffic_light),
    "freeze_all_traffic_lights": fires(freeze_all_traffic_lights),
    "reset_traffic_light_group": fires(reset_traffic_light_group),
    "reset_all_traffic_lights": completes(reset_all_traffic_lights),
    "get_group_traffic_lights": returns(get_group_traffic_lights),
    "get_light_boxes": returns(get_light_boxes),
}
