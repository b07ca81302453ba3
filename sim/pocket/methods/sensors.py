"""Streams of sensors, and switches of sensors that this simulator does not have."""

from __future__ import annotations

from typing import Any

from bicameral.errors import UserError
from sim.pocket.methods.dispatch import Method, completes, fires, returns
from sim.pocket.protocol.values import Uint32
from sim.pocket.world.actors import Actor, Sensor
from sim.pocket.world.world import World


def get_sensor_token(world: World, stream_id: Uint32) -> list[bytes]:
    """Return where to subscribe to a stream."""
    return [world.publisher.token(stream_id)]


def refuse_ros(_stream_id: Uint32) -> None:
    """Refuse a switch of the ROS bridge; the client does not wait for it, so the log tells."""
    raise UserError("the pocket simulator has no ROS bridge; carla-ros-bridge is a client of it")


def deny_stream(_stream_id: Uint32) -> bool:
    """Say that a stream does not go to ROS."""
    return False


def send(_actor: Actor, _message: str) -> None:
    """Refuse a vehicle-to-everything message; nobody would receive it."""
    raise UserError("the pocket simulator has no vehicle-to-everything sensors; nobody listens")


def set_ignored_vehicles(sensor: Sensor, ignored: list[Uint32]) -> None:
    """Choose the actors that the rays of a lidar or radar pass through."""
    sensor.ignored_ids = frozenset(ignored)


def enable_gbuffers(_actor: Actor, _enabled: Any) -> None:
    """Accept a switch of the g-buffers; there are none."""


def are_gbuffers_enabled(_actor: Actor) -> bool:
    """Say that there are no g-buffers."""
    return False


def get_gbuffer_token(_actor: Actor, _buffer_id: Any) -> bytes:
    """Refuse: the client would read whatever a stream carries as a texture."""
    raise UserError(
        "the pocket simulator has no g-buffers; use its depth and semantic segmentation cameras"
    )


METHODS: dict[str, Method] = {
    "get_sensor_token": returns(get_sensor_token),
    "enable_sensor_for_ros": fires(refuse_ros),
    "disable_sensor_for_ros": fires(refuse_ros),
    "is_sensor_enabled_for_ros": returns(deny_stream),
    "send": fires(send),
    "set_ignored_vehicles": completes(set_ignored_vehicles),
    "enable_gbuffers": completes(enable_gbuffers),
    "are_gbuffers_enabled": returns(are_gbuffers_enabled),
    "get_gbuffer_token": returns(get_gbuffer_token),
}
