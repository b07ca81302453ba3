"""Weather, scenery, street lamps, rays and debug drawing."""

from __future__ import annotations

from typing import Annotated, Any

from sim.pocket.geometry import Transform, Vector3
from sim.pocket.methods.dispatch import Method, completes, fires, nothing, refusal, returns
from sim.pocket.protocol.values import BoundingBox, Exactly, Uint8, Uint64
from sim.pocket.scene.labels import CityObjectLabel
from sim.pocket.world import rays
from sim.pocket.world.level_boxes import ANY_LABEL, actor_objects, level_objects
from sim.pocket.world.world import World

Weather = Annotated[tuple[float, ...], Exactly(14)]
_APPLY_TEXTURE = completes(
    refusal(
        "the pocket simulator paints its things with textures of its own, which they share; no "
        "other can be applied"
    ),
    *(list[Any], Any, tuple[Any, Any, Any]),  # names; then width, height and texels
)


def set_weather_parameters(world: World, weather: Weather) -> None:
    """Change the weather."""
    world.weather = weather


def set_imui_gravity(world: World, gravity: float) -> None:
    """Change the gravity that IMU sensors add, m/s^2."""
    world.imui_gravity = gravity


def get_all_level_bbs(world: World, label: Uint8) -> list[BoundingBox]:
    """Return the boxes of everything with a tag, actors too, world frame."""
    found = (*level_objects(world.episode), *actor_objects(world.episode))
    return [item.box for item in found if label in (ANY_LABEL, item.tag)]


def get_environment_objects(world: World, label: Uint8) -> list[list[Any]]:
    """Return the things of the map with a tag; ids count from 1. Actors are none, as in CARLA."""
    return [
        [Transform(box.location, box.rotation), box, number, _object_name(tag, number), int(tag)]
        for number, (box, tag) in enumerate(level_objects(world.episode), start=1)
        if label in (ANY_LABEL, tag)
    ]


def get_names_of_all_objects(world: World) -> list[str]:
    """Return the names of the things of the map."""
    return [
        _object_name(item.tag, number)
        for number, item in enumerate(level_objects(world.episode), start=1)
    ]


def enable_environment_objects(world: World, object_ids: list[Uint64], enabled: bool) -> None:
    """Show or hide obstacles and signs; lights and the ground stay."""
    scene, hidden = world.episode.whole_town.scene, world.episode.hidden_objects
    count = len(scene.obstacles) + len(scene.signs)
    named = frozenset(number - 1 for number in object_ids if 0 < number <= count)
    world.episode.hide(world.episode.hidden_tags, hidden - named if enabled else hidden | named)


def project_point(
    world: World, location: Vector3, direction: Vector3, distance: float
) -> list[Any]:
    """Return the first surface in a direction: (found, (location, label))."""
    end = Vector3(*(a + b * distance for a, b in zip(location, direction, strict=True)))
    hits = rays.cast(world.episode, location, end)
    if not hits:
        return [False, [Vector3(), int(CityObjectLabel.NONE)]]
    return [True, [hits[0].location, int(hits[0].label)]]


def cast_ray(world: World, start: Vector3, end: Vector3) -> list[Any]:
    """Return the surfaces between two points, near to far."""
    hits = rays.cast(world.episode, start, end)
    return [[hit.location, int(hit.label)] for hit in hits]


def _object_name(tag: int, number: int) -> str:
    return f"{CityObjectLabel(tag).name.title()}_{number}"


METHODS: dict[str, Method] = {
    "get_weather_parameters": returns(lambda world: world.weather),
    "set_weather_parameters": fires(set_weather_parameters),
    "get_imui_gravity": returns(lambda world: world.imui_gravity),
    "set_imui_gravity": fires(set_imui_gravity),
    "get_all_level_BBs": returns(get_all_level_bbs),
    "get_environment_objects": returns(get_environment_objects),
    "get_names_of_all_objects": returns(get_names_of_all_objects),
    "enable_environment_objects": fires(enable_environment_objects),
    "project_point": returns(project_point),
    "cast_ray": returns(cast_ray),
    "query_lights_state": returns(lambda _endpoint: [], Any),
    "update_lights_state": fires(nothing, Any, list[Any], Any),
    "update_day_night_cycle": fires(nothing),
    "draw_debug_shape": fires(nothing, tuple[Any, Any, Any, Any]),
    "clear_debug_shape": fires(nothing),
    "clear_debug_string": fires(nothing),
    "apply_color_texture_to_objects": _APPLY_TEXTURE,
    "apply_float_color_texture_to_objects": _APPLY_TEXTURE,
    "set_annotations_traverse_translucency": fires(nothing),
}
