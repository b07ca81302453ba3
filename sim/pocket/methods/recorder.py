"""Recording an episode, asking what is in a recording, and replaying it."""

from __future__ import annotations

import hashlib

from bicameral.errors import UserError
from sim.pocket.geometry import Transform
from sim.pocket.methods.dispatch import Method, fires, returns
from sim.pocket.protocol.values import Uint8, Uint32
from sim.pocket.recording import text
from sim.pocket.recording.file import Recording
from sim.pocket.world.replayer import ReplayRequest
from sim.pocket.world.world import OPENDRIVE_WORLD, World


def start_recorder(world: World, name: str, additional_data: bool = False) -> str:
    """Record from the next tick on; a replay that is on ends. Returns where the file is."""
    path = world.recordings.path(name)
    world.replayer.stop(world, keep_actors=True)
    world.recorder.start(world, path, additional_data=additional_data)
    return str(path)


def show_recorder_file_info(world: World, name: str, show_all: bool) -> str:
    """Return what happened in a recording."""
    return text.describe(_open(world, name), show_all=show_all)


def show_recorder_collisions(world: World, name: str, first: Uint8, second: Uint8) -> str:
    """Return when actors of two kinds touched; the kinds are codes of letters."""
    return text.describe_collisions(_open(world, name), chr(first), chr(second))


def show_recorder_actors_blocked(
    world: World, name: str, shortest_s: float, reach_cm: float
) -> str:
    """Return who moved less than a distance for longer than a time.

    The distance is in centimetres, as in CARLA.
    """
    return text.describe_blocked(_open(world, name), shortest_s, reach_cm / 100.0)


def replay_file(  # noqa: PLR0913 -- the arguments of the call
    world: World,
    name: str,
    start_s: float,
    duration_s: float,
    follow_id: Uint32,
    sensors: bool = False,
    offset: Transform = Transform(),  # noqa: B008 -- immutable
) -> str:
    """Replay a part of a recording; its map is loaded if another one is open."""
    recording = _open(world, name)
    world.recorder.stop()
    lines = [f"Replaying File: {world.recordings.path(name)}", *_load_map(world, recording)]
    request = ReplayRequest(
        start_s=start_s,
        duration_s=duration_s,
        follow_id=follow_id,
        sensors=sensors,
        offset=offset,
    )
    return "\n".join([*lines, *world.replayer.start(world, recording, request), ""])


def set_replayer_time_factor(world: World, factor: float) -> None:
    """Set how much faster than recorded replays run."""
    if factor < 0.0:
        raise UserError(f"a replay cannot run {factor:g} times as fast; expected 0 or more")
    world.replayer.settings.time_factor = factor


def set_replayer_ignore_hero(world: World, ignore: bool) -> None:
    """Leave vehicles whose role is hero out of replays, or not."""
    world.replayer.settings.ignore_hero = ignore


def set_replayer_ignore_spectator(world: World, ignore: bool) -> None:
    """Leave the spectator out of replays, or not."""
    world.replayer.settings.ignore_spectator = ignore


def _open(world: World, name: str) -> Recording:
    return Recording(world.recordings.path(name))


def _load_map(world: World, recording: Recording) -> list[str]:
    about, town = recording.about, world.episode.town
    digest = hashlib.sha256(town.map.opendrive.encode("utf-8", "surrogateescape")).hexdigest()
    if digest == about.map_sha256:
        return []
    if about.town == OPENDRIVE_WORLD:
        raise UserError(
            "the recording was made on a map that a client had sent as text, and another one is "
            "open; open that map with generate_opendrive_world first"
        )
    world.load(about.town, reset_settings=False)
    return [f"Loading map {about.town}"]


METHODS: dict[str, Method] = {
    "start_recorder": returns(start_recorder),
    "stop_recorder": fires(lambda world: world.recorder.stop()),
    "show_recorder_file_info": returns(show_recorder_file_info),
    "show_recorder_collisions": returns(show_recorder_collisions),
    "show_recorder_actors_blocked": returns(show_recorder_actors_blocked),
    "replay_file": returns(replay_file),
    "stop_replayer": fires(lambda world, keep: world.replayer.stop(world, keep_actors=keep), bool),
    "set_replayer_time_factor": fires(set_replayer_time_factor),
    "set_replayer_ignore_hero": fires(set_replayer_ignore_hero),
    "set_replayer_ignore_spectator": fires(set_replayer_ignore_spectator),
}
