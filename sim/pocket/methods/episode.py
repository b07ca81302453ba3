"""Version, maps, loading, settings and ticks."""

from __future__ import annotations

from typing import Any

from sim.pocket.methods.method import Method, completes, returns
from sim.pocket.protocol.values import (
    bool_from_wire,
    settings_from_wire,
    str_from_wire,
    uint_from_wire,
    wire_from_settings,
)
from sim.pocket.world import tick
from sim.pocket.world.world import World

#: What the official client of this version expects to hear.
CARLA_VERSION = "0.9.16"


def version(_world: World, _owner: object) -> str:
    """Return the version of CARLA that the server speaks."""
    return CARLA_VERSION


def get_available_maps(world: World, _owner: object) -> list[str]:
    """Return the long names of all maps."""
    return [f"/Game/Carla/Maps/{name}" for name in world.shelf.names()]


def load_new_episode(
    world: World, _owner: object, name: Any, reset_settings: Any, layers: Any = 0xFFFF
) -> None:
    """Begin a new episode; map layers make no difference."""
    uint_from_wire(layers)
    world.load(str_from_wire(name), reset_settings=bool_from_wire(reset_settings))


def copy_opendrive_to_file(world: World, _owner: object, text: Any, _parameters: Any) -> None:
    """Keep an OpenDRIVE text for the load that follows."""
    world.prepare_opendrive(str_from_wire(text))


def accept_layers(_world: World, _owner: object, _layers: Any) -> None:
    """Accept a change of map layers; all are always shown."""


def get_episode_info(world: World, _owner: object) -> list[Any]:
    """Return the episode's id and the token of the snapshots' stream."""
    return [world.episode.episode_id, [world.publisher.token(world.world_stream_id)]]


def get_episode_settings(world: World, _owner: object) -> list[Any]:
    """Return the settings."""
    return wire_from_settings(world.settings)


def set_episode_settings(world: World, _owner: object, settings: Any) -> int:
    """Change the settings; returns the present frame, so that the client does not wait."""
    world.settings = settings_from_wire(settings)
    return world.frame


def tick_cue(world: World, _owner: object) -> int:
    """Advance a synchronous world by one frame and return it.

    An asynchronous world runs by itself; the next frame is returned then.
    """
    if not world.settings.synchronous_mode:
        return world.frame + 1
    return tick.advance(world)


def get_map_info(world: World, _owner: object) -> list[Any]:
    """Return the map's name and its recommended spawn points."""
    town = world.episode.town
    return [f"Carla/Maps/{town.name}", town.map.spawn_points]


def get_map_data(world: World, _owner: object) -> str:
    """Return the OpenDRIVE text."""
    return world.episode.town.map.opendrive


def get_required_files(_world: World, _owner: object, _folder: Any = "") -> list[str]:
    """Return no files, so that the client neither downloads nor caches any."""
    return []


def request_file(_world: World, _owner: object, _name: Any) -> bytes:
    """Return an empty file; none was offered."""
    return b""


def get_navigation_mesh(_world: World, _owner: object) -> bytes:
    """Return no mesh: the client then says that walkers have no navigation."""
    return b""


def console_command(_world: World, _owner: object, _command: Any) -> bool:
    """Say that no console ran the command."""
    return False


METHODS: dict[str, Method] = {
    "version": returns(version),
    "get_available_maps": returns(get_available_maps),
    "load_new_episode": completes(load_new_episode),
    "load_map_layer": completes(accept_layers),
    "unload_map_layer": completes(accept_layers),
    "copy_opendrive_to_file": completes(copy_opendrive_to_file),
    "get_episode_info": returns(get_episode_info),
    "get_episode_settings": returns(get_episode_settings),
    "set_episode_settings": returns(set_episode_settings),
    "tick_cue": returns(tick_cue),
    "get_map_info": returns(get_map_info),
    "get_map_data": returns(get_map_data),
    "get_required_files": returns(get_required_files),
    "request_file": returns(request_file),
    "get_navigation_mesh": returns(get_navigation_mesh),
    "console_command": returns(console_command),
}
