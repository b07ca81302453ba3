"""Weather, scenery, street lamps, rays and debug drawing."""

from __future__ import annotations

from typing import Any

from sim.pocket.geometry import Rotation, Transform, Vector3
from sim.pocket.methods.method import Method, completes, fires, returns
from sim.pocket.protocol.values import (
    BoundingBox,
    fields_from_wire,
    list_from_wire,
    number_from_wire,
    numbers_from_wire,
    object_ids_from_wire,
    uint_from_wire,
    vector_from_wire,
)
from sim.pocket.scene.labels import CityObjectLabel
from sim.pocket.world import rays
from sim.pocket.world.world import World

_WEATHER_FIELDS = 14
_ANY_LABEL = 255
_DEBUG_SHAPE_FIELDS = 4


def get_weather_parameters(world: World, _owner: object) -> tuple[float, ...]:
    """Return the weather."""
    return world.weather


def set_weather_parameters(world: World, _owner: object, weather: Any) -> None:
    """Change the weather."""
    world.weather = numbers_from_wire(weather, _WEATHER_FIELDS)


def get_imui_gravity(world: World, _owner: object) -> float:
    """Return the gravity that IMU sensors add, m/s^2."""
    return world.imui_gravity


def set_imui_gravity(world: World, _owner: object, gravity: Any) -> None:
    """Change the gravity that IMU sensors add, m/s^2."""
    world.imui_gravity = number_from_wire(gravity)


def get_all_level_bbs(world: World, _owner: object, label: Any) -> list[BoundingBox]:
    """Return the boxes of the scenery with a tag, world frame."""
    wanted = uint_from_wire(label, 255)
    return [
        BoundingBox(item.location, item.half_extent, Rotation(0.0, item.yaw_deg, 0.0))
        for item in world.episode.town.scene.obstacles
        if wanted in (_ANY_LABEL, item.tag)
    ]


def get_environment_objects(world: World, _owner: object, label: Any) -> list[list[Any]]:
    """Return the scenery with a tag; ids count the obstacles of the scene from 1."""
    wanted = uint_from_wire(label, 255)
    objects = []
    for number, item in enumerate(world.episode.town.scene.obstacles, start=1):
        if wanted not in (_ANY_LABEL, item.tag):
            continue
        rotation = Rotation(0.0, item.yaw_deg, 0.0)
        box = BoundingBox(item.location, item.half_extent, rotation)
        name = _object_name(item.tag, number)
        objects.append([Transform(item.location, rotation), box, number, name, int(item.tag)])
    return objects


def get_names_of_all_objects(world: World, _owner: object) -> list[str]:
    """Return the names of the scenery."""
    obstacles = world.episode.town.scene.obstacles
    return [_object_name(item.tag, number) for number, item in enumerate(obstacles, start=1)]


def enable_environment_objects(
    _world: World, _owner: object, object_ids: Any, _enabled: Any
) -> None:
    """Accept the hiding of scenery; everything stays visible."""
    object_ids_from_wire(object_ids)


def project_point(
    world: World, _owner: object, location: Any, direction: Any, distance: Any
) -> list[Any]:
    """Return the first surface in a direction: (found, (location, label))."""
    start = vector_from_wire(location)
    reach_m = number_from_wire(distance)
    end = Vector3(
        *(a + b * reach_m for a, b in zip(start, vector_from_wire(direction), strict=True))
    )
    hits = rays.cast(world.episode.town, start, end)
    if not hits:
        return [False, [Vector3(), int(CityObjectLabel.NONE)]]
    return [True, [hits[0].location, int(hits[0].label)]]


def cast_ray(world: World, _owner: object, start: Any, end: Any) -> list[Any]:
    """Return the surfaces between two points, near to far."""
    hits = rays.cast(world.episode.town, vector_from_wire(start), vector_from_wire(end))
    return [[hit.location, int(hit.label)] for hit in hits]


def query_lights_state(_world: World, _owner: object, _endpoint: Any) -> list[Any]:
    """Return no street lamps: nights are dark here."""
    return []


def update_lights_state(
    _world: World, _owner: object, _endpoint: Any, lights: Any, _discard: Any
) -> None:
    """Accept new states of street lamps; there are none."""
    list_from_wire(lights)


def accept(_world: World, _owner: object, *_arguments: Any) -> None:
    """Accept a switch that has no effect here."""


def draw_debug_shape(_world: World, _owner: object, shape: Any) -> None:
    """Accept a debug shape; cameras do not see any."""
    fields_from_wire(shape, _DEBUG_SHAPE_FIELDS)


def apply_texture_to_objects(
    _world: World, _owner: object, names: Any, _parameter: Any, texture: Any
) -> None:
    """Accept a texture; the scenery keeps its own."""
    list_from_wire(names)
    fields_from_wire(texture, 3)


def _object_name(tag: int, number: int) -> str:
    return f"{CityObjectLabel(tag).name.title()}_{number}"


METHODS: dict[str, Method] = {
    "get_weather_parameters": returns(get_weather_parameters),
    "set_weather_parameters": fires(set_weather_parameters),
    "get_imui_gravity": returns(get_imui_gravity),
    "set_imui_gravity": fires(set_imui_gravity),
    "get_all_level_BBs": returns(get_all_level_bbs),
    "get_environment_objects": returns(get_environment_objects),
    "get_names_of_all_objects": returns(get_names_of_all_objects),
    "enable_environment_objects": fires(enable_environment_objects),
    "project_point": returns(project_point),
    "cast_ray": returns(cast_ray),
    "query_lights_state": returns(query_lights_state),
    "update_lights_state": fires(update_lights_state),
    "update_day_night_cycle": fires(accept),
    "draw_debug_shape": fires(draw_debug_shape),
    "clear_debug_shape": fires(accept),
    "clear_debug_string": fires(accept),
    "apply_color_texture_to_objects": completes(apply_texture_to_objects),
    "apply_float_color_texture_to_objects": completes(apply_texture_to_objects),
    "set_annotations_traverse_translucency": fires(accept),
}
