"""Binary messages of the streaming port, little endian and packed.

Every message is a 48-byte sensor header and a payload. Type ids are the indices of the
deserialisers in the 0.9.16 client.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import NamedTuple

from sim.pocket.geometry import Transform, Vector3
from sim.pocket.protocol.values import VehicleControl

#: Sensor type ids by blueprint, for the sensors that this simulator computes.
SENSOR_TYPE_IDS = {
    "sensor.other.collision": 0,
    "sensor.camera.depth": 1,
    "sensor.camera.normals": 2,
    "sensor.camera.dvs": 3,
    "sensor.other.gnss": 4,
    "sensor.other.imu": 5,
    "sensor.other.obstacle": 7,
    "sensor.camera.optical_flow": 8,
    "sensor.other.radar": 9,
    "sensor.lidar.ray_cast_semantic": 10,
    "sensor.lidar.ray_cast": 11,
    "sensor.camera.rgb": 13,
    "sensor.camera.semantic_segmentation": 14,
    "sensor.camera.instance_segmentation": 15,
}
WORLD_OBSERVER_TYPE_ID = 17

#: Flag of the snapshot's simulation state: the map is another one than before.
MAP_CHANGE = 1
_ACTOR_STATE_ACTIVE = 1

_sensor_header = struct.Struct("<QQd6f")
_episode_header = struct.Struct("<Qdf3iI")
_actor_place = struct.Struct("<IB6f3f3f3f")
_STATE_BYTES = 54
_vehicle_state = struct.Struct("<fff???ifB?IB")
_traffic_light_state = struct.Struct("<32s4fI?B")
_walker_state = struct.Struct("<3ff?")
_image_header = struct.Struct("<IIf")

_ORIGIN = Transform()


def pack_sensor_header(
    type_id: int, frame: int, timestamp_s: float, transform: Transform = _ORIGIN
) -> bytes:
    """Pack the header of a message: simulated seconds, world transform of the sensor."""
    return _sensor_header.pack(
        type_id, frame, timestamp_s, *transform.location, *transform.rotation
    )


def pack_image_header(width: int, height: int, fov_deg: float) -> bytes:
    """Pack what precedes the BGRA pixels of an image."""
    return _image_header.pack(width, height, fov_deg)


def pack_episode_header(
    episode_id: int, platform_timestamp_s: float, delta_s: float, flags: int
) -> bytes:
    """Pack what precedes the actor records of a snapshot; the map origin is always 0."""
    return _episode_header.pack(episode_id, platform_timestamp_s, delta_s, 0, 0, 0, flags)


def pack_actor_place(
    actor_id: int, transform: Transform, motion: tuple[Vector3, Vector3, Vector3]
) -> bytes:
    """Pack how an actor record begins.

    Args:
        actor_id: The actor.
        transform: World transform.
        motion: Velocity in m/s, angular velocity in degrees per second, acceleration in m/s^2.
    """
    velocity, angular_velocity, acceleration = motion
    return _actor_place.pack(
        actor_id,
        _ACTOR_STATE_ACTIVE,
        *transform.location,
        *transform.rotation,
        *velocity,
        *angular_velocity,
        *acceleration,
    )


def join_actor(place: bytes, state: bytes = b"") -> bytes:
    """Assemble an actor record; the part that depends on its kind has at most 54 bytes."""
    return place + state[:_STATE_BYTES].ljust(_STATE_BYTES, b"\0")


def pack_vehicle_state(
    control: VehicleControl,
    speed_limit_kmh: float,
    light: tuple[int, int] | None,
) -> bytes:
    """Pack the vehicle part of a record.

    Args:
        control: What it was commanded last.
        speed_limit_kmh: Limit at the vehicle's place.
        light: (actor id, state) of the traffic light that the vehicle stands at, or None.
    """
    light_id, light_state = light if light is not None else (0, _GREEN)
    return _vehicle_state.pack(
        *control, speed_limit_kmh, light_state, light is not None, light_id, _NO_FAILURE
    )


_GREEN = 2
_NO_FAILURE = 0


class TrafficLightRecord(NamedTuple):
    """The traffic light part of a record.

    Attributes:
        sign_id: Id of the signal in the OpenDRIVE text, at most 32 bytes.
        green_time_s: How long it is green.
        yellow_time_s: How long it is yellow.
        red_time_s: How long everybody has red after it.
        elapsed_s: Since the state began.
        pole_index: Number of the light in its group.
        frozen: Whether the light keeps its state.
        state: Red 0, yellow 1, green 2, off 3.
    """

    sign_id: str
    green_time_s: float
    yellow_time_s: float
    red_time_s: float
    elapsed_s: float
    pole_index: int
    frozen: bool
    state: int


def pack_traffic_light_state(light: TrafficLightRecord) -> bytes:
    """Pack the traffic light part of a record."""
    return _traffic_light_state.pack(light.sign_id.encode(), *light[1:])


def pack_sign_state(sign_id: str) -> bytes:
    """Pack the traffic sign part of a record."""
    return sign_id.encode()[:32]


def pack_walker_state(direction: Vector3, speed_mps: float, jump: bool) -> bytes:
    """Pack the walker part of a record."""
    return _walker_state.pack(*direction, speed_mps, jump)


def join_snapshot(header: bytes, episode: bytes, records: Iterable[bytes]) -> bytes:
    """Assemble a world snapshot."""
    return b"".join((header, episode, *records))


def unpack_traffic_light_state(state: bytes) -> TrafficLightRecord:
    """Read the traffic light part of a record."""
    sign_id, *fields = _traffic_light_state.unpack(state[: _traffic_light_state.size])
    return TrafficLightRecord(sign_id.rstrip(b"\0").decode(errors="replace"), *fields)


def unpack_vehicle_control(state: bytes) -> VehicleControl:
    """Read the control from the vehicle part of a record."""
    fields = _vehicle_state.unpack(state[: _vehicle_state.size])
    return VehicleControl(*fields[: len(VehicleControl._fields)])


def unpack_walker_state(state: bytes) -> tuple[Vector3, float, bool]:
    """Read the walker part of a record: direction, speed in m/s, whether it jumps."""
    x, y, z, speed_mps, jump = _walker_state.unpack(state[: _walker_state.size])
    return Vector3(x, y, z), speed_mps, jump
