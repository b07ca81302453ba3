"""Every RPC method once, as bytes on the wire: each answers, in the form that its kind demands."""

import socket
from typing import Any

import msgpack
import pytest

from sim.pocket.methods import METHODS, traffic_lights
from sim.pocket.methods.dispatch import Outcome
from sim.pocket.methods.limits import REFUSED, WITHOUT_EFFECT

VECTOR = [0.5, 0.0, 0.0]
LOCATION = [1.0, 2.0, 3.0]
POSE = [LOCATION, [0.0, 10.0, 0.0]]
CONTROL = [0.1, 0.0, 0.0, False, False, False, 0]
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


def arguments_of(
    raw: RawConnection, vehicle: int, walker: int, light: int | None
) -> dict[str, Any]:
    """Arguments for every method of the table; methods without arguments are left out."""
    physics = raw.value("get_physics_control", vehicle)
    weather = raw.value("get_weather_parameters")
    settings = raw.value("get_episode_settings")
    one_vehicle = [vehicle]
    shape = [[0, [LOCATION, 0.1]], [255, 0, 0], 1.0, False]
    texture = [1, 1, [[0, 0, 0, 0]]]
    prop = [0, "static.prop.box01", []]
    return {
        "load_map_layer": [1],
        "unload_map_layer": [1],
        "copy_opendrive_to_file": [
            raw.value("get_map_data"),
            [2.0, 50.0, 1.0, 0.6, True, True, True],
        ],
        "set_episode_settings": [settings],
        "get_required_files": [""],
        "request_file": ["x"],
        "console_command": ["stat fps"],
        "set_weather_parameters": [weather],
        "set_imui_gravity": [9.81],
        "get_all_level_BBs": [3],
        "get_environment_objects": [255],
        "enable_environment_objects": [[1], False],
        "project_point": [[0.0, 0.0, 100.0], [0.0, 0.0, -1.0], 1000.0],
        "cast_ray": [[0.0, 0.0, 100.0], [0.0, 0.0, -100.0]],
        "query_lights_state": ["127.0.0.1:1"],
        "update_lights_state": ["127.0.0.1:1", [], False],
        "update_day_night_cycle": ["127.0.0.1:1", True],
        "draw_debug_shape": [shape],
        "apply_color_texture_to_objects": [["Wall_1"], 2, texture],
        "apply_float_color_texture_to_objects": [["Wall_1"], 2, texture],
        "set_annotations_traverse_translucency": [True],
        "spawn_actor": [prop, POSE],
        "spawn_actor_with_parent": [[0, "sensor.other.imu", []], POSE, vehicle, 0, ""],
        "destroy_actor": [MISSING_ACTOR],
        "get_actors_by_id": [[vehicle, MISSING_ACTOR]],
        "get_actor_bounding_box": [MISSING_ACTOR],
        "set_actor_transform": [walker, POSE],
        "set_actor_location": [walker, LOCATION],
        "apply_control_to_vehicle": [vehicle, CONTROL],
        "apply_ackermann_control_to_vehicle": [vehicle, [0.0, 0.0, 1.0, 0.0, 0.0]],
        "apply_ackermann_controller_settings": [vehicle, [0.1] * 6],
        "apply_physics_control": [vehicle, physics],
        "set_vehicle_light_state": [vehicle, [8]],
        "show_vehicle_debug_telemetry": [vehicle, True],
        "set_actor_autopilot": [vehicle, False],
        "open_vehicle_door": [vehicle, 0],
        "close_vehicle_door": [vehicle, 6],
        "set_wheel_steer_direction": [vehicle, 0, 10.0],
        "get_wheel_steer_angle": [vehicle, 1],
        "set_wheel_pitch_angle": [vehicle, 0, 10.0],
        "get_wheel_pitch_angle": [vehicle, 0],
        "enable_carsim": [vehicle, "x"],
        "use_carsim_road": [vehicle, True],
        "enable_chrono_physics": [vehicle, 100, 0.01, "a", "b", "c", "d"],
        "apply_control_to_walker": [walker, [VECTOR, 1.0, False]],
        "get_bones_transform": [walker],
        "set_bones_transform": [walker, [[]]],
        "blend_pose": [walker, 0.5],
        "get_pose_from_animation": [walker],
        "set_actor_dead": [walker],
        "set_traffic_light_state": [light, 2],
        "set_traffic_light_green_time": [light, 8.0],
        "set_traffic_light_yellow_time": [light, 2.0],
        "set_traffic_light_red_time": [light, 2.0],
        "freeze_traffic_light": [light, False],
        "freeze_all_traffic_lights": [False],
        "reset_traffic_light_group": [light],
        "get_group_traffic_lights": [light],
        "get_light_boxes": [light],
        "get_sensor_token": [1],
        "enable_sensor_for_ros": [1],
        "disable_sensor_for_ros": [1],
        "is_sensor_enabled_for_ros": [1],
        "send": [vehicle, "hello"],
        "set_ignored_vehicles": [
            raw.value("spawn_actor", [0, "sensor.lidar.ray_cast", []], POSE)[0],
            one_vehicle,
        ],
        "enable_gbuffers": [vehicle, True],
        "get_gbuffer_token": [vehicle, 0],
        "is_traffic_manager_running": [8000],
        "get_traffic_manager_running": [8000],
        "add_traffic_manager_running": [["127.0.0.1", 8000]],
        "destroy_traffic_manager": [8000],
        "apply_batch": [[[[1, [MISSING_ACTOR]]]], False],
        "start_recorder": ["x", False],
        "show_recorder_file_info": ["x", False],
        "show_recorder_collisions": ["x", 97, 97],
        "show_recorder_actors_blocked": ["x", 1.0, 1.0],
        "replay_file": ["x", 0.0, 0.0, 0, False, POSE],
        "stop_replayer": [True],
        "set_replayer_time_factor": [1.0],
        "set_replayer_ignore_hero": [True],
        "set_replayer_ignore_spectator": [True],
        "load_new_episode": ["", True, 0xFFFF],
    }


LIGHT_METHODS = {*traffic_lights.METHODS} - {
    "freeze_all_traffic_lights",
    "reset_all_traffic_lights",
}
ACTOR_AND = {
    "set_actor_target_velocity": [VECTOR],
    "set_actor_target_angular_velocity": [VECTOR],
    "enable_actor_constant_velocity": [VECTOR],
    "add_actor_impulse": [VECTOR],
    "add_actor_force": [VECTOR],
    "add_actor_angular_impulse": [VECTOR],
    "add_actor_torque": [VECTOR],
    "add_actor_impulse_at_location": [VECTOR, LOCATION],
    "add_actor_force_at_location": [VECTOR, LOCATION],
    "set_actor_simulate_physics": [True],
    "set_actor_collisions": [True],
    "set_actor_enable_gravity": [True],
    "get_actor_component_world_transform": ["root"],
    "get_actor_component_relative_transform": ["root"],
}


def test_every_method_answers_in_its_form(raw, town):
    points = town.get_map().get_spawn_points()
    pose = [[points[0].location.x, points[0].location.y, points[0].location.z], [0.0, 0.0, 0.0]]
    above = [[points[9].location.x, points[9].location.y, 2.0], [0.0, 0.0, 0.0]]
    vehicle = raw.value("spawn_actor", [0, "vehicle.tesla.model3", []], pose)[0]
    walker = raw.value("spawn_actor", [0, "walker.pedestrian.0001", []], above)[0]
    lights = town.get_actors().filter("traffic.traffic_light")
    # A town without lights refuses: its answer is an error in the method's own form.
    light = lights[0].id if len(lights) else vehicle
    known = arguments_of(raw, vehicle, walker, light)
    begin, end = ("start_recorder", "stop_recorder"), ("load_new_episode",)
    order = [*begin, *sorted(set(METHODS) - {*begin, *end}), *end]
    for name in order:
        method = METHODS[name]
        if name in known:
            arguments = known[name]
        elif name in ACTOR_AND or method.fewest == 1:
            arguments = [vehicle, *ACTOR_AND.get(name, [])]
        else:
            arguments = []
        error, result = raw.call(name, *arguments)
        assert error is None, (name, error)
        if (
            light is None
            and arguments[:1] == [vehicle]
            and "light" in name
            and "vehicle" not in name
        ):
            continue
        if name in REFUSED or name in ("replay_file", "request_file"):
            assert len(str(result)) > 30, (name, result)  # a sentence that says why
        elif method.outcome is Outcome.VALUE:
            assert result[0][0] == 1, (name, result)
        elif method.outcome is Outcome.BARE:
            assert result[0][0][0] == 0, (name, result)
        else:
            assert result == [[False]], (name, result)


def test_what_is_said_to_do_nothing_or_to_be_refused_exists():
    assert {*WITHOUT_EFFECT, *REFUSED} <= set(METHODS)
    assert not set(WITHOUT_EFFECT) & set(REFUSED)


def test_a_missing_actor_is_an_error_of_every_method_that_needs_one(raw, town):
    forgiving = {"get_actor_bounding_box", "destroy_actor", "get_actors_by_id"}
    for name, method in METHODS.items():
        takes_actor = name in ACTOR_AND or name in {
            "get_physics_control",
            "get_vehicle_light_state",
            "get_telemetry_data",
            "get_group_traffic_lights",
            "get_light_boxes",
            "get_bones_transform",
            "get_ackermann_controller_settings",
        }
        if not takes_actor or name in forgiving:
            continue
        _error, result = raw.call(name, MISSING_ACTOR, *ACTOR_AND.get(name, []))
        assert "4000000000" in str(result), (name, result)
        assert result[0][0] in (0, True), (name, method)


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
        ("set_weather_parameters", [[float("nan")] * 14]),
        ("set_actor_location", [SPECTATOR, [1e300, 0.0, 0.0]]),
        ("set_actor_location", [SPECTATOR, [float("inf"), 0.0, 0.0]]),
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
