"""Streams of sensors, and switches of sensors that this simulator does not have."""

from __future__ import annotations

from typing import Any

from sim.pocket.methods.dispatch import Method, completes, fires, nothing, refusal, returns
from sim.pocket.protocol.values import Uint32
from sim.pocket.world.actors import Actor, Sensor
from sim.pocket.world.world import World

_REFUSE_ROS = refusal("the pocket simulator has no ROS bridge; carla-ros-bridge is a client of it")
_REFUSE_MESSAGE = refusal(
    "the pocket simulator has no vehicle-to-everything sensors; nobody listens"
)
#: The client would read whatever a stream carries as a texture.
_REFUSE_G_BUFFER = refusal(
    "the pocket simulator has no g-buffers; use its depth and semantic segmentation cameras"
)


def get_sensor_token(world: World, stream_id: Uint32) -> list[bytes]:
    """Return where to subscribe to a stream."""
    return [world.publisher.token(stream_id)]


def set_ignored_vehicles(sensor: Sensor, ignored: list[Uint32]) -> None:
    """Choose the actors that the rays of a lidar or radar pass through."""
    sensor.ignored_ids = frozenset(ignored)


METHODS: dict[str, Method] = {
    "get_sensor_token": returns(get_sensor_token),
    "enable_sensor_for_ros": fires(_REFUSE_ROS, Uint32),
    "disable_sensor_for_ros": fires(_REFUSE_ROS, Uint32),
    "is_sensor_enabled_for_ros": returns(lambda _stream: False, Uint32),
    "send": fires(_REFUSE_MESSAGE, Actor, str),
    "set_ignored_vehicles": completes(set_ignored_vehicles),
    "enable_gbuffers": completes(nothing, Actor, Any),
    "are_gbuffers_enabled": returns(lambda _actor: False, Actor),
    "get_gbuffer_token": returns(_REFUSE_G_BUFFER, Actor, Any),
}
