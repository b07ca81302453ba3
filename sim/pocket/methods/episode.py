"""Version, maps, loading, settings and ticks."""

from __future__ import annotations

from typing import Any

from bicameral.errors import UserError
from bicameral.simulation import CARLA_VERSION
from sim.pocket.methods.dispatch import Method, completes, returns
from sim.pocket.protocol.values import EpisodeSettings, Uint32, to_wire
from sim.pocket.scene.hiding import LAYER_TAGS
from sim.pocket.world import tick
from sim.pocket.world.world import World


def load_new_episode(
    world: World, owner: object, name: str, reset_settings: bool, layers: Uint32 = 0xFFFF
) -> None:
    """Begin a new episode, with some layers of its map."""
    old_id = world.episode.episode_id
    world.load(name, reset_settings=reset_settings)
    world.old_episode_ids[owner] = old_id
    unload_map_layer(world, ~layers)


def copy_opendrive_to_file(world: World, text: str, _parameters: Any) -> None:
    """Keep an OpenDRIVE text for the load that follows."""
    world.prepare_opendrive(text)


def load_map_layer(world: World, layers: Uint32) -> None:
    """Show the buildings, the trees, or both; other layers hold nothing here."""
    _hide_tags(world, world.episode.hidden_tags - _tags_of(layers))


def unload_map_layer(world: World, layers: Uint32) -> None:
    """Take away the buildings, the trees, or both; other layers hold nothing here."""
    _hide_tags(world, world.episode.hidden_tags | _tags_of(layers))


def _tags_of(layers: int) -> frozenset[int]:
    return frozenset(int(tag) for flag, tag in LAYER_TAGS.items() if layers & flag)


def _hide_tags(world: World, tags: frozenset[int]) -> None:
    world.episode.hide(tags, world.episode.hidden_objects)


def get_episode_info(world: World, owner: object) -> list[Any]:
    """Return the episode's id and the token of the snapshots' stream.

    The real server changes its map on its next frame, so who has just loaded is told the old id
    once. The client notices the change by the new id of the next snapshot, and only then do its
    Traffic Managers plan on the new map.
    """
    episode_id = world.old_episode_ids.pop(owner, world.episode.episode_id)
    return [episode_id, [world.publisher.token(world.world_stream_id)]]


def set_episode_settings(world: World, settings: EpisodeSettings) -> int:
    """Change the settings; returns the present frame, so that the client does not wait."""
    if settings.fixed_delta_s is not None and settings.fixed_delta_s <= 0.0:
        settings = settings._replace(fixed_delta_s=None)  # none, as in CARLA
    world.settings = settings
    return world.frame


def tick_cue(world: World) -> int:
    """Advance a synchronous world by one frame and return it.

    An asynchronous world runs by itself; the next frame is returned then.
    """
    if not world.settings.synchronous_mode:
        return world.frame + 1
    return tick.advance(world)


def get_map_info(world: World) -> list[Any]:
    """Return the map's name and its recommended spawn points."""
    town = world.episode.town
    return [f"Carla/Maps/{town.name}", town.map.spawn_points]


def get_required_files(world: World, folder: str = "") -> list[str]:
    """Return the navigation mesh for ``Nav``, and no file for any other folder.

    Clients ask for ``Nav`` when they first use walkers, and for other folders out of habit. They
    cache what they are given for ever.
    """
    if not needs_navigation(folder):
        return []
    file = world.navigation.of_map(world.episode.town.map.opendrive)
    return [] if file is None else [file.name]


def needs_navigation(folder: object) -> bool:
    """Say whether a folder of required files is that of the navigation mesh."""
    return isinstance(folder, str) and folder.strip("/") == "Nav"


def request_file(world: World, name: str) -> bytes:
    """Return a file that was offered.

    Raises:
        UserError: It was not.
    """
    data = world.navigation.find(name)
    if data is None:
        raise UserError(f"there is no file {name!r}; only the navigation mesh can be had")
    return data


def get_navigation_mesh(world: World) -> bytes:
    """Return the navigation mesh if it was built; the client asks for it as a file."""
    file = world.navigation.of_map(world.episode.town.map.opendrive)
    return b"" if file is None else file.data


METHODS: dict[str, Method] = {
    "version": returns(lambda: CARLA_VERSION),
    "get_available_maps": returns(
        lambda world: [f"/Game/Carla/Maps/{name}" for name in world.shelf.names()]
    ),
    "load_new_episode": completes(load_new_episode),
    "load_map_layer": completes(load_map_layer),
    "unload_map_layer": completes(unload_map_layer),
    "copy_opendrive_to_file": completes(copy_opendrive_to_file),
    "get_episode_info": returns(get_episode_info),
    "get_episode_settings": returns(lambda world: to_wire(world.settings)),
    "set_episode_settings": returns(set_episode_settings),
    "tick_cue": returns(tick_cue),
    "get_map_info": returns(get_map_info),
    "get_map_data": returns(lambda world: world.episode.town.map.opendrive),
    "get_required_files": returns(get_required_files),
    "request_file": returns(request_file),
    "get_navigation_mesh": returns(get_navigation_mesh),
    "console_command": returns(lambda _command: False, Any),
}
