"""What the simulator does not do: methods without effect and methods that are refused, with why.

The documentation and ``bicameral doctor`` read these tables; the tests compare them with what the
methods do.
"""

from __future__ import annotations

_LAMPS = "street lamps cannot be switched"
_SHAPES = "debug shapes are not drawn"
_ROOT = "an actor has one component and one socket, its root; a vehicle has no bones"
_DOORS = "doors are not drawn open"
_ROS = "there is no ROS bridge in the server"
_PHYSICS = "there is one kind of vehicle physics"
_TEXTURES = "the things of a town share textures of the simulator's own"
_G_BUFFERS = "there are no g-buffers"

#: Methods that are answered and change nothing.
WITHOUT_EFFECT = {
    "console_command": "there is no console; the answer is False",
    "query_lights_state": _LAMPS,
    "update_lights_state": _LAMPS,
    "update_day_night_cycle": _LAMPS,
    "draw_debug_shape": _SHAPES,
    "clear_debug_shape": _SHAPES,
    "clear_debug_string": _SHAPES,
    "set_annotations_traverse_translucency": "nothing here is translucent",
    "get_actor_component_world_transform": _ROOT,
    "get_actor_component_relative_transform": _ROOT,
    "get_actor_component_names": _ROOT,
    "get_actor_socket_world_transforms": _ROOT,
    "get_actor_socket_relative_transforms": _ROOT,
    "get_actor_socket_names": _ROOT,
    "get_vehicle_bone_world_transforms": _ROOT,
    "open_vehicle_door": _DOORS,
    "close_vehicle_door": _DOORS,
    "show_vehicle_debug_telemetry": "there is no screen to show it on",
    "set_actor_autopilot": "vehicles are driven by the client's Traffic Manager",
    "restore_physx_physics": _PHYSICS,
    "is_sensor_enabled_for_ros": _ROS,
    "enable_gbuffers": _G_BUFFERS,
    "are_gbuffers_enabled": _G_BUFFERS,
}

#: Methods that are refused with a sentence; in the server's log where the client does not wait.
REFUSED = {
    "apply_color_texture_to_objects": _TEXTURES,
    "apply_float_color_texture_to_objects": _TEXTURES,
    "enable_carsim": _PHYSICS,
    "use_carsim_road": _PHYSICS,
    "enable_chrono_physics": _PHYSICS,
    "enable_sensor_for_ros": _ROS,
    "disable_sensor_for_ros": _ROS,
    "send": "there are no vehicle-to-everything sensors",
    "get_gbuffer_token": _G_BUFFERS,
}
