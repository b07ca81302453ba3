"""Two server processes with the same seed and controls give the same bytes."""

import contextlib
import hashlib
import math
import socket
import struct

import carla
import pytest

from sim.client.local_server import LocalServer

TICKS = 200
SENSOR_HEADER_BYTES = 48
#: With noise, which a seed decides as well.
MEASURING = {
    "sensor.lidar.ray_cast": {
        "channels": "8",
        "points_per_second": "20000",
        "range": "40",
        "noise_stddev": "0.1",
    },
    "sensor.other.radar": {"range": "40"},
    "sensor.other.imu": {"noise_accel_stddev_x": "0.1"},
}
PLATFORM_TIMESTAMP = slice(SENSOR_HEADER_BYTES + 8, SENSOR_HEADER_BYTES + 16)


class RawStream:
    """A stream read as bytes, without the official client in between."""

    def __init__(self, port: int, stream_id: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port + 1), timeout=60.0)
        self._socket.sendall(struct.pack("<I", stream_id))

    def message(self) -> bytes:
        (size,) = struct.unpack("<I", self._exactly(4))
        return self._exactly(size)

    def of_frame(self, frame: int) -> bytes:
        while True:
            message = self.message()
            (found,) = struct.unpack_from("<Q", message, 8)
            if found >= frame:
                assert found == frame
                return message

    def _exactly(self, size: int) -> bytes:
        parts = bytearray()
        while len(parts) < size:
            part = self._socket.recv(size - len(parts))
            assert part
            parts += part
        return bytes(parts)

    def close(self) -> None:
        self._socket.close()


def drive(seed: int) -> dict[str, str]:
    """Drive for `TICKS` ticks in a fresh server; return a digest per stream."""
    with LocalServer(seed=seed) as server, contextlib.ExitStack() as opened:
        client = server.connect()
        world = client.load_world("Harbour")
        settings = world.get_settings()
        settings.synchronous_mode = True
        settings.fixed_delta_seconds = 0.05
        world.apply_settings(settings)
        # The server ran by itself until now, for as long as it liked: begin with a fresh world.
        world = client.reload_world(False)
        library = world.get_blueprint_library()
        points = world.get_map().get_spawn_points()
        cars = [
            world.spawn_actor(library.find(name), points[number])
            for number, name in enumerate(("vehicle.tesla.model3", "vehicle.audi.tt"))
        ]
        mount = carla.Transform(carla.Location(x=1.5, z=2.4), carla.Rotation(pitch=-15.0))
        weather = carla.WeatherParameters.ClearNight
        world.set_weather(weather)
        streams: dict[str, RawStream] = {}

        def subscribe(name: str) -> None:
            # The client keeps the token to itself, but ids count up from 1, the world's.
            stream = RawStream(server.port, len(streams) + 1)
            streams[name] = opened.enter_context(contextlib.closing(stream))

        subscribe("world")
        for kind in ("rgb", "depth", "semantic_segmentation"):
            blueprint = library.find(f"sensor.camera.{kind}")
            blueprint.set_attribute("image_size_x", "160")
            blueprint.set_attribute("image_size_y", "80")
            world.spawn_actor(blueprint, mount, attach_to=cars[0])
            subscribe(kind)
        for kind, attributes in MEASURING.items():
            blueprint = library.find(kind)
            for name, value in attributes.items():
                blueprint.set_attribute(name, value)
            world.spawn_actor(blueprint, mount, attach_to=cars[0])
            subscribe(kind)
        return digests(world, cars, streams)


def digests(
    world: carla.World, cars: list[carla.Actor], streams: dict[str, RawStream]
) -> dict[str, str]:
    hashes = {name: hashlib.sha256() for name in streams}
    first = None
    for number in range(TICKS):
        steer = 0.4 * math.sin(number / 15.0)
        cars[0].apply_control(carla.VehicleControl(throttle=0.6, steer=steer))
        cars[1].apply_control(carla.VehicleControl(throttle=0.4, steer=-steer))
        frame = world.tick()
        first = frame if first is None else first
        for name, stream in streams.items():
            message = bytearray(stream.of_frame(frame))
            # How long the server idled before is no part of the simulation.
            struct.pack_into("<Q", message, 8, frame - first)
            if name == "world":
                message[PLATFORM_TIMESTAMP] = bytes(8)
            hashes[name].update(message)
    moved_m = cars[0].get_location().distance(world.get_map().get_spawn_points()[0].location)
    assert moved_m > 1.0
    return {name: digest.hexdigest() for name, digest in hashes.items()}


@pytest.mark.timeout(1800)
def test_the_same_seed_and_controls_give_the_same_bytes_in_two_processes():
    assert drive(seed=3) == drive(seed=3)
