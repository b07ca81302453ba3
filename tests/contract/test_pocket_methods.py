"""Every RPC method once, as bytes on the wire: each answers, in the form that its kind demands."""

import socket
from typing import Any

import carla
import msgpack
import pytest

from sim.pocket.methods import METHODS
from sim.pocket.methods.dispatch import Outcome
from sim.pocket.methods.limits import REFUSED, WITHOUT_EFFECT
from tests.contract.pocket_calls import ARGUMENTS, filled

MISSING_ACTOR = 4_000_000_000
SPECTATOR = object()


class RawConnection:
    """An RPC connection without the official client."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=60.0)
        self._unpacker = msgpack.Unpacker(raw=False, max_buffer_size=1 << 28)
        self._number = 0

    def call(self, method: str, *arguments: Any) -> tuple[Any, Any]:
        self._number += 1
        self._socket.sendall(msgpack.packb([0, self._number, method, [[False], *arguments]]))
        while True:
            for message in self._unpacker:
                kind, number, error, result = message
                assert (kind, number) == (1, self._number)
                return error, result
            data = self._socket.recv(1 << 20)
            assert data, f"the server closed the connection at {method}"
            self._unpacker.feed(data)

    def value(self, method: str, *arguments: Any) -> Any:
        error, result = self.call(method, *arguments)
        assert error is None, error
        ((successful, value),) = result
        assert successful == 1, value
        return value

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def raw(server, town):
    connection = RawConnection(server.port)
    yield connection
    connection.close()


def world_of(raw: RawConnection, town: carla.World) -> dict[str, Any]:
    """Spawn what the arguments of the methods name, and return it by its name."""
    points = town.get_map().get_spawn_points()

    def pose(place: int, z_m: float) -> list[list[float]]:
        here = points[place].location
        return [[here.x, here.y, z_m], [0.0, 0.0, 0.0]]

    def spawned(kind: str, place: int, z_m: float = 0.5) -> int:
        return int(raw.value("spawn_actor", [0, kind, []], pose(place, z_m))[0])

    car = spawned("vehicle.tesla.model3", 0)
    lights = town.get_actors().filter("traffic.traffic_light")
    return {
        "car": car,
        "other": spawned("vehicle.audi.tt", 1),
        "hero": spawned("vehicle.mini.cooper_s", 2),
        "falling": spawned("vehicle.tesla.model3", 3, 60.0),
        "walker": spawned("walker.pedestrian.0001", 9, 2.0),
        "lidar": spawned("sensor.lidar.ray_cast", 10, 2.0),
        "camera": spawned("sensor.camera.rgb", 10, 2.0),
        "light": lights[0].id,
        "free_pose": pose(-1, 0.5),
        "x": points[0].location.x,
        "y": points[0].location.y,
        "objects": [1],
        "opendrive": raw.value("get_map_data"),
        "heavy_physics": raw.value("get_physics_control", car),
        "record": "x",
        "navigation_file": "x",
    }


#: Methods that say so when their first argument is no actor.
ACTOR_METHODS = (
    *("set_actor_target_velocity", "set_actor_target_angular_velocity"),
    *("enable_actor_constant_velocity", "set_actor_simulate_physics", "set_actor_collisions"),
    *("add_actor_impulse", "add_actor_force", "add_actor_angular_impulse", "add_actor_torque"),
    *("add_actor_impulse_at_location", "add_actor_force_at_location", "set_actor_enable_gravity"),
    *("get_actor_component_world_transform", "get_actor_component_relative_transform"),
    *("get_physics_control", "get_vehicle_light_state", "get_telemetry_data"),
    *("get_group_traffic_lights", "get_light_boxes", "get_bones_transform"),
    "get_ackermann_controller_settings",
)


def test_every_method_answers_in_its_form(raw, town):
    known = world_of(raw, town)
    kept = {
        "set_weather_parameters": [raw.value("get_weather_parameters")],
        "set_episode_settings": [raw.value("get_episode_settings")],
        "set_imui_gravity": [9.81],
        "set_replayer_time_factor": [1.0],
        "set_replayer_ignore_spectator": [True],
    }
    begin, end = ("start_recorder", "stop_recorder"), ("load_new_episode",)
    order = [*begin, *sorted(set(METHODS) - {*begin, *end}), *end]
    for name in order:
        method = METHODS[name]
        arguments = kept.get(name) or filled(ARGUMENTS.get(name, []), known.__getitem__)
        error, result = raw.call(name, *arguments)
        assert error is None, (name, error)
        if name in REFUSED or name in ("replay_file", "request_file"):
            assert len(str(result)) > 30, (name, result)  # a sentence that says why
        elif method.outcome is Outcome.VALUE:
            assert result[0][0] == 1, (name, result)
        elif method.outcome is Outcome.BARE:
            assert result[0][0][0] == 1, (name, result)
        else:
            assert result == [[False]], (name, result)


def test_what_is_said_to_do_nothing_or_to_be_refused_exists():
    assert {*WITHOUT_EFFECT, *REFUSED} <= set(METHODS)
    assert not set(WITHOUT_EFFECT) & set(REFUSED)


def test_a_missing_actor_is_an_error_of_every_method_that_needs_one(raw, town):
    for name in ACTOR_METHODS:
        arguments = filled(ARGUMENTS[name][1:], {"x": 0.0, "y": 0.0}.__getitem__)
        _error, result = raw.call(name, MISSING_ACTOR, *arguments)
        assert "4000000000" in str(result), (name, result)
        assert result[0][0] in (0, True), name


def test_an_unknown_method_is_the_rpc_error_of_the_real_server(raw):
    error, result = raw.call("make_coffee", 1, 2)
    assert error.startswith("rpclib: server could not find function 'make_coffee'")
    assert result is None


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("version", [1]),
        ("spawn_actor", []),
        ("get_actors_by_id", ["text"]),
        ("set_weather_parameters", [[1.0]]),
        ("set_actor_location", [SPECTATOR, "here"]),
        ("load_new_episode", [5, True, 1]),
        ("set_episode_settings", [[True]]),
        ("apply_batch", [3, False]),
    ],
)
def test_wrong_arguments_are_an_rpc_error_and_the_connection_goes_on(raw, method, arguments):
    spectator = raw.value("get_spectator")[0]
    known = [spectator if argument is SPECTATOR else argument for argument in arguments]
    error, result = raw.call(method, *known)
    assert error.startswith("rpclib: function")
    assert result is None
    assert raw.value("version") == "0.9.16"


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -1e30, 1e300])
def test_a_number_that_no_world_has_is_told_in_words(raw, number):
    # Of an RPC error the client tells nothing but the name of the call.
    spectator = raw.value("get_spectator")[0]
    for method, arguments in (
        ("set_weather_parameters", [[number] * 14]),
        ("set_actor_location", [spectator, [number, 0.0, 0.0]]),
        (
            "set_episode_settings",
            [[True, False, [True, number], True, 0.01, 10, 0.0, True, 0.0, 0.0, True]],
        ),
    ):
        error, result = raw.call(method, *arguments)
        assert error is None, (method, error)
        assert "expected a number within +-1e+07, got" in str(result), (method, result)


def test_a_bad_command_in_a_batch_is_its_own_error(raw):
    error, result = raw.call("apply_batch", [[5], [[99, [1]]], "x", [[2, [1]]], [[1, [2]]]], False)
    assert error is None
    assert [answer[0][0] for answer in result] == [0] * 5


def test_a_traffic_manager_is_forgotten_with_its_connection(server, raw):
    owner = RawConnection(server.port)
    assert owner.value("add_traffic_manager_running", ["127.0.0.1", 8123])
    assert not raw.value("add_traffic_manager_running", ["127.0.0.1", 8123])
    assert raw.value("get_traffic_manager_running", 8123) == ["127.0.0.1", 8123]
    owner.close()
    for _ in range(100):
        if not raw.value("is_traffic_manager_running", 8123):
            break
    assert raw.value("get_traffic_manager_running", 8123) == ["", 0]
