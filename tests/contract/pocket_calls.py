"""Arguments for every method of CARLA's client.

A text that begins with @ stands for something in the world of the test, such as a car; `filled`
puts it in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Call = tuple[str, list[Any]]

_VECTOR = [5.0, 0.0, 0.0]
_PUSH = [4000.0, 0.0, 0.0]
_FAST = [0.5, 0.0, 0.0, False, False, False, 0]
_TEXTURE = [1, 1, [[0, 0, 0, 0]]]
_NONE = "127.0.0.1:1"
_STORM = [90.0, 90.0, 90.0, 90.0, 10.0, 5.0, 60.0, 5.0, 1.0, 90.0, 1.0, 0.03, 0.03, 0.0]
_SETTINGS = [True, False, [True, 0.25], True, 0.01, 10, 0.0, True, 3000.0, 2000.0, True]
_DOWN = [0.0, 0.0, -1.0]
_PHYSICS_OF_A_HEAVY_CAR = "@heavy_physics"

ARGUMENTS: dict[str, list[Any]] = {
    "load_new_episode": ["Harbour", True, 0xFFFF],
    "load_map_layer": [1],
    "unload_map_layer": [1],
    "copy_opendrive_to_file": ["@opendrive", [2.0, 50.0, 1.0, 0.6, True, True, True]],
    "set_episode_settings": [_SETTINGS],
    "get_required_files": ["Nav"],
    "request_file": ["@navigation_file"],
    "console_command": ["stat fps"],
    "set_weather_parameters": [_STORM],
    "set_imui_gravity": [1.6],
    "get_all_level_BBs": [3],
    "get_environment_objects": [255],
    "enable_environment_objects": ["@objects", False],
    "project_point": [["@x", "@y", 90.0], _DOWN, 200.0],
    "cast_ray": [["@x", "@y", 90.0], ["@x", "@y", -90.0]],
    "query_lights_state": [_NONE],
    "update_lights_state": [_NONE, [], False],
    "update_day_night_cycle": [_NONE, True],
    "draw_debug_shape": [[[0, [["@x", "@y", 1.0], 0.5]], [255, 0, 0], -1.0, True]],
    "apply_color_texture_to_objects": [["Buildings_1"], 2, _TEXTURE],
    "apply_float_color_texture_to_objects": [["Buildings_1"], 2, _TEXTURE],
    "set_annotations_traverse_translucency": [True],
    "spawn_actor": [[0, "static.prop.box01", []], "@free_pose"],
    "spawn_actor_with_parent": [[0, "sensor.other.gnss", []], [[0.0] * 3] * 2, "@car", 0, ""],
    "destroy_actor": ["@hero"],
    "get_actors_by_id": [["@car"]],
    "get_actor_bounding_box": ["@car"],
    "set_actor_transform": ["@other", "@free_pose"],
    "set_actor_location": ["@other", ["@x", "@y", 20.0]],
    "set_actor_target_velocity": ["@car", _VECTOR],
    "set_actor_target_angular_velocity": ["@car", [0.0, 0.0, 30.0]],
    "enable_actor_constant_velocity": ["@car", _VECTOR],
    "disable_actor_constant_velocity": ["@car"],
    "add_actor_impulse": ["@car", _PUSH],
    "add_actor_force": ["@car", _PUSH],
    "add_actor_angular_impulse": ["@car", [0.0, 0.0, 4000.0]],
    "add_actor_torque": ["@car", [0.0, 0.0, 4000.0]],
    "add_actor_impulse_at_location": ["@car", _PUSH, ["@x", "@y", 0.0]],
    "add_actor_force_at_location": ["@car", _PUSH, ["@x", "@y", 0.0]],
    "set_actor_simulate_physics": ["@car", False],
    "set_actor_collisions": ["@car", False],
    "set_actor_enable_gravity": ["@falling", False],
    "set_actor_dead": ["@walker"],
    "get_actor_component_world_transform": ["@car", "root"],
    "get_actor_component_relative_transform": ["@car", "root"],
    **{
        f"get_{name}": ["@car"]
        for name in (
            "actor_component_names",
            "actor_socket_names",
            "actor_socket_world_transforms",
            "actor_socket_relative_transforms",
            "vehicle_bone_world_transforms",
            "physics_control",
            "ackermann_controller_settings",
            "telemetry_data",
            "vehicle_light_state",
        )
    },
    **{
        f"get_{name}": ["@walker"]
        for name in (
            "actor_bone_names",
            "actor_bone_world_transforms",
            "actor_bone_relative_transforms",
            "bones_transform",
        )
    },
    "apply_control_to_vehicle": ["@car", [1.0, 0.3, 0.0, False, False, False, 0]],
    "apply_ackermann_control_to_vehicle": ["@car", [0.1, 0.0, 5.0, 1.0, 0.0]],
    "apply_ackermann_controller_settings": ["@car", [0.3] * 6],
    "apply_physics_control": ["@car", _PHYSICS_OF_A_HEAVY_CAR],
    "set_vehicle_light_state": ["@car", [8]],
    "show_vehicle_debug_telemetry": ["@car", True],
    "set_actor_autopilot": ["@car", True],
    "open_vehicle_door": ["@car", 6],
    "close_vehicle_door": ["@car", 6],
    "set_wheel_steer_direction": ["@car", 0, 10.0],
    "get_wheel_steer_angle": ["@car", 0],
    "set_wheel_pitch_angle": ["@car", 0, 10.0],
    "get_wheel_pitch_angle": ["@car", 0],
    "enable_carsim": ["@car", "x"],
    "use_carsim_road": ["@car", True],
    "enable_chrono_physics": ["@car", 100, 0.01, "a", "b", "c", "d"],
    "restore_physx_physics": ["@car"],
    "apply_control_to_walker": ["@walker", [[1.0, 0.0, 0.0], 1.5, False]],
    "set_bones_transform": ["@walker", [[["crl_Head__C", [[0.0] * 3, [0.0, 40.0, 0.0]]]]]],
    "blend_pose": ["@walker", 1.0],
    "get_pose_from_animation": ["@walker"],
    "set_traffic_light_state": ["@light", 1],
    "set_traffic_light_green_time": ["@light", 4.0],
    "set_traffic_light_yellow_time": ["@light", 1.0],
    "set_traffic_light_red_time": ["@light", 7.0],
    "freeze_traffic_light": ["@light", True],
    "freeze_all_traffic_lights": [True],
    "reset_traffic_light_group": ["@light"],
    "get_group_traffic_lights": ["@light"],
    "get_light_boxes": ["@light"],
    "get_sensor_token": [1],
    "enable_sensor_for_ros": [1],
    "disable_sensor_for_ros": [1],
    "is_sensor_enabled_for_ros": [1],
    "send": ["@car", "hello"],
    "set_ignored_vehicles": ["@lidar", ["@car", "@other"]],
    "enable_gbuffers": ["@camera", True],
    "are_gbuffers_enabled": ["@camera"],
    "get_gbuffer_token": ["@camera", 0],
    "is_traffic_manager_running": [8000],
    "get_traffic_manager_running": [8000],
    "add_traffic_manager_running": [["127.0.0.1", 8000]],
    "destroy_traffic_manager": [8000],
    "apply_batch": [[[[2, ["@car", _FAST]]]], False],
    "start_recorder": ["@record", False],
    "show_recorder_file_info": ["@record", False],
    "show_recorder_collisions": ["@record", 97, 97],
    "show_recorder_actors_blocked": ["@record", 1.0, 1.0],
    "replay_file": ["@record", 0.0, 0.0, 0, False, [[0.0] * 3] * 2],
    "stop_replayer": [False],
    "set_replayer_time_factor": [0.5],
    "set_replayer_ignore_hero": [True],
    "set_replayer_ignore_spectator": [False],
}

_RECORDED: tuple[Call, ...] = (
    ("start_recorder", ["@record", False]),
    ("tick_cue", []),
    ("set_actor_location", ["@spectator", [1.0, 2.0, 3.0]]),
    ("tick_cue", []),
    ("tick_cue", []),
    ("stop_recorder", []),
    ("destroy_actor", ["@hero"]),
    ("set_actor_location", ["@spectator", [9.0, 9.0, 9.0]]),
)
_REPLAY: Call = ("replay_file", ARGUMENTS["replay_file"])
_MANAGER: Call = ("add_traffic_manager_running", [["127.0.0.1", 8000]])
_WALKS: Call = ("apply_control_to_walker", ARGUMENTS["apply_control_to_walker"])
_ACKERMANN: Call = (
    "apply_ackermann_control_to_vehicle",
    ARGUMENTS["apply_ackermann_control_to_vehicle"],
)

#: What is called before a method, and what after it, so that it can have an effect.
AROUND: dict[str, tuple[tuple[Call, ...], tuple[Call, ...]]] = {
    "load_map_layer": ((("unload_map_layer", [1]),), ()),
    "copy_opendrive_to_file": ((), (("load_new_episode", ["OpenDriveMap", False, 0xFFFF]),)),
    "set_imui_gravity": ((), ()),
    "disable_actor_constant_velocity": (
        (("enable_actor_constant_velocity", ["@car", _VECTOR]),),
        (),
    ),
    "set_actor_collisions": ((), (("set_actor_transform", ["@other", "@car_pose"]),)),
    "set_actor_dead": ((_WALKS,), ()),
    "apply_ackermann_controller_settings": ((), (_ACKERMANN,)),
    "set_bones_transform": ((), (("blend_pose", ["@walker", 1.0]),)),
    "blend_pose": ((("set_bones_transform", ARGUMENTS["set_bones_transform"]), _WALKS), ()),
    "get_pose_from_animation": ((_WALKS, ("tick_cue", [])), (("blend_pose", ["@walker", 1.0]),)),
    "reset_traffic_light_group": ((("tick_cue", []),) * 3, ()),
    "reset_all_traffic_lights": ((("tick_cue", []),) * 3, ()),
    "freeze_traffic_light": ((), ()),
    "get_traffic_manager_running": ((_MANAGER,), ()),
    "is_traffic_manager_running": ((_MANAGER,), ()),
    "destroy_traffic_manager": ((_MANAGER,), ()),
    "stop_recorder": ((("start_recorder", ["@record", False]), ("tick_cue", [])), ()),
    "show_recorder_file_info": (_RECORDED, ()),
    "show_recorder_collisions": (_RECORDED, ()),
    "show_recorder_actors_blocked": (_RECORDED, ()),
    "replay_file": (_RECORDED, ()),
    "stop_replayer": ((*_RECORDED, _REPLAY), ()),
    "set_replayer_time_factor": (_RECORDED, (_REPLAY,)),
    "set_replayer_ignore_hero": (_RECORDED, (_REPLAY,)),
    "set_replayer_ignore_spectator": (_RECORDED, (_REPLAY,)),
}


def filled(values: Any, named: Callable[[str], Any]) -> Any:
    """Put into arguments what their names stand for."""
    if isinstance(values, list):
        return [filled(value, named) for value in values]
    if isinstance(values, str) and values.startswith("@"):
        return named(values[1:])
    return values
