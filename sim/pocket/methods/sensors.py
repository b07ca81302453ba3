"""Streams of sensors, and switches of sensors that this simulator does not have."""

from __future__ import annotations

from typing import Any

from sim.pocket.methods.method import Method, completes, fires, returns
from sim.pocket.protocol.values import actor_ids_from_wire, str_from_wire, uint_from_wire
from sim.pocket.world.world import World


def get_sensor_token(world: World, _owner: object, stream_id: Any) -> list[bytes]:
    """Return where to subscribe to a stream."""
    return [world.publisher.token(uint_from_wire(stream_id))]


def accept_stream(_world: World, _owner: object, stream_id: Any) -> None:
    """Accept a switch of the ROS bridge; there is none."""
    uint_from_wire(stream_id)


def deny_stream(_world: World, _owner: object, stream_id: Any) -> bool:
    """Say that a stream does not go to ROS."""
    uint_from_wire(stream_id)
    return False


def send(world: World, _owner: object, actor_id: Any, message: Any) -> None:
    """Accept a vehicle-to-everything message; nobody receives it."""
    world.actor(uint_from_wire(actor_id))
    str_from_wire(message)


def set_ignored_vehicles(world: World, _owner: object, actor_id: Any, ignored: Any) -> None:
    """Accept what a lidar should not see; there is no lidar."""
    world.actor(uint_from_wire(actor_id))
    actor_ids_from_wire(ignored)


def enable_gbuffers(world: World, _owner: object, actor_id: Any, _enabled: Any) -> None:
    """Accept a switch of the g-buffers; there are none."""
    world.actor(uint_from_wire(actor_id))


def are_gbuffers_enabled(world: World, _owner: object, actor_id: Any) -> bool:
    """Say that there are no g-buffers."""
    world.actor(uint_from_wire(actor_id))
    return False


def get_gbuffer_token(world: World, _owner: object, actor_id: Any, _buffer_id: Any) -> bytes:
    """Return the token of a stream that stays silent."""
    world.actor(uint_from_wire(actor_id))
    return world.publisher.token(0)


METHODS: dict[str, Method] = {
    "get_sensor_token": returns(get_sensor_token),
    "enable_sensor_for_ros": fires(accept_stream),
    "disable_sensor_for_ros": fires(accept_stream),
    "is_sensor_enabled_for_ros": returns(deny_stream),
    "send": fires(send),
    "set_ignored_vehicles": completes(set_ignored_vehicles),
    "enable_gbuffers": completes(enable_gbuffers),
    "are_gbuffers_enabled": returns(are_gbuffers_enabled),
    "get_gbuffer_token": returns(get_gbuffer_token),
}
