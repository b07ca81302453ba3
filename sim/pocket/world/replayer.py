"""Replays a recording in the present episode: who was there moves as recorded.

Actors of the recording that are there already, by number and kind, are taken over; the others are
spawned. Whoever is not in the recording goes on as if nothing happened. Between two recorded ticks
places are interpolated, so that a replay may run at any speed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bicameral.errors import BicameralError, UserError
from sim.pocket.geometry import Rotation, Transform, Vector3, between, compose
from sim.pocket.protocol.messages import (
    unpack_traffic_light_state,
    unpack_vehicle_control,
    unpack_walker_state,
)
from sim.pocket.protocol.values import VehicleControl
from sim.pocket.recording.file import Frame, Recording, SpawnedActor
from sim.pocket.recording.text import is_hero
from sim.pocket.world import spawning
from sim.pocket.world.actors import Actor, Motion, TrafficLightActor, Vehicle, Walker

if TYPE_CHECKING:
    from sim.pocket.world.world import World

_SAME_TIME_S = 1e-6
_LIGHT, _SPECTATOR = "traffic.traffic_light", "spectator"
#: What a replay cannot bring back: it lives in the client that made it, or in the map.
_NOT_REPLAYED = ("controller.", "traffic.")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayRequest:
    """What a client asks for.

    Attributes:
        start_s: Where to begin; negative counts from the end.
        duration_s: How much of it; 0 for all.
        follow_id: The actor, by its number in the recording, that the spectator follows, or 0.
        sensors: Whether sensors are spawned, too.
        offset: Where the spectator is on the actor that it follows.
    """

    start_s: float
    duration_s: float
    follow_id: int
    sensors: bool
    offset: Transform


@dataclass(slots=True, kw_only=True)
class ReplaySettings:
    """What clients set for all replays.

    Attributes:
        time_factor: How much faster than recorded.
        ignore_hero: Whether vehicles whose role is hero are left to others.
        ignore_spectator: Whether the spectator is; CARLA's default.
    """

    time_factor: float = 1.0
    ignore_hero: bool = False
    ignore_spectator: bool = True


@dataclass(slots=True, kw_only=True)
class _Play:
    """One replay.

    Attributes:
        recording: What is replayed.
        request: What was asked for.
        time_s: Where it is.
        end_s: Where it stops.
        index: The frame that was taken in last; -1 before the first.
        frame: That frame.
        following: The one after, if there is one.
        actor_ids: The present number of an actor by its number in the recording.
        spawned_ids: Present numbers of the actors that the replay brought.
        left_out: Blueprints that could not be spawned, with the reason.
    """

    recording: Recording
    request: ReplayRequest
    time_s: float
    end_s: float
    index: int = -1
    frame: Frame | None = None
    following: Frame | None = None
    actor_ids: dict[int, int] = field(default_factory=dict)
    spawned_ids: set[int] = field(default_factory=set)
    left_out: dict[str, str] = field(default_factory=dict)


class Replayer:
    """Plays at most one recording at a time.

    Attributes:
        settings: What clients set for all replays.
    """

    def __init__(self) -> None:
        self.settings = ReplaySettings()
        self._play: _Play | None = None

    def start(self, world: World, recording: Recording, request: ReplayRequest) -> list[str]:
        """Show the world as it was at the start of the wanted part; ticks go on from there.

        What a replay brought that is still on goes.

        Returns:
            Sentences about it, for people.

        Raises:
            UserError: The recording has no such part.
        """
        self.stop(world, keep_actors=False)
        total_s = recording.duration_s
        start_s = request.start_s
        if start_s < 0.0:
            start_s = max(0.0, total_s + start_s)
        if not len(recording) or start_s > total_s or request.duration_s < 0.0:
            raise UserError(
                f"a replay from {request.start_s:g} s for {request.duration_s:g} s is not in the "
                f"recording: it has {len(recording)} frames, {total_s:g} s"
            )
        end_s = min(total_s, start_s + request.duration_s) if request.duration_s else total_s
        play = _Play(recording=recording, request=request, time_s=start_s, end_s=end_s)
        self._play = play
        self._show(world, play)
        lines = [
            f"Total time recorded: {total_s:g}",
            f"Replaying from {start_s:g} s - {end_s:g} s ({total_s:g} s) at "
            f"{self.settings.time_factor:.1f}x",
        ]
        if self.settings.ignore_hero:
            lines.append("Ignoring Hero vehicle")
        if self.settings.ignore_spectator:
            lines.append("Ignoring Spectator camera")
        lines += [f"Not created: {name}: {reason}" for name, reason in play.left_out.items()]
        return lines

    def advance(self, world: World, delta_s: float) -> None:
        """Go on by a tick; after the last one the actors stay and are free again."""
        play = self._play
        if play is None:
            return
        if play.time_s >= play.end_s - _SAME_TIME_S:
            self.stop(world, keep_actors=True)
            return
        play.time_s = min(play.end_s, play.time_s + delta_s * self.settings.time_factor)
        try:
            self._show(world, play)
        except BicameralError:
            # The file was spoilt meanwhile. What was replayed so far stays.
            self.stop(world, keep_actors=True)

    def stop(self, world: World, *, keep_actors: bool) -> None:
        """End the replay, if one is on.

        Args:
            world: Where.
            keep_actors: Whether the actors stay that the replay brought. Vehicles then stand and
                obey physics again.
        """
        play, self._play = self._play, None
        if play is None:
            return
        for actor_id in play.actor_ids.values():
            if actor_id in play.spawned_ids and not keep_actors:
                spawning.destroy(world.episode, actor_id)
            else:
                self._release(world, actor_id)

    def drop(self) -> None:
        """Forget the replay, because its episode is over."""
        self._play = None

    def _show(self, world: World, play: _Play) -> None:
        recording = play.recording
        while recording.time_s(play.index + 1) <= play.time_s + _SAME_TIME_S:
            play.index += 1
            play.frame = play.following or recording.frame(play.index)
            ahead = play.index + 1
            play.following = recording.frame(ahead) if ahead < len(recording) else None
            self._take_events(world, play, play.frame)
        self._move_all(world, play)
        self._follow(world, play)

    def _take_events(self, world: World, play: _Play, frame: Frame) -> None:
        records = {int(record["id"]): record for record in frame.actors}
        for item in frame.spawned:
            if item.actor_id in records:
                self._bring(world, play, item, _transform(records[item.actor_id]))
        for recorded_id in frame.destroyed:
            actor_id = play.actor_ids.pop(recorded_id, None)
            if actor_id is not None:
                spawning.destroy(world.episode, actor_id)
        for recorded_id, flags in frame.lamps:
            actor = world.episode.actors.find(play.actor_ids.get(recorded_id, 0))
            if isinstance(actor, Vehicle):
                actor.light_state = flags
        if frame.weather:
            world.weather = frame.weather

    def _bring(self, world: World, play: _Play, item: SpawnedActor, pose: Transform) -> None:
        """Find or spawn an actor of the recording, and take it out of physics."""
        type_id, episode = item.description.type_id, world.episode
        if type_id == _SPECTATOR:
            if not self.settings.ignore_spectator:
                play.actor_ids[item.actor_id] = episode.spectator.id
            return
        is_sensor = type_id.startswith("sensor.")
        if type_id.startswith(_NOT_REPLAYED) or (is_sensor and not play.request.sensors):
            return
        if self.settings.ignore_hero and is_hero(item):
            return
        actor = episode.actors.find(item.actor_id)
        if actor is None or actor.type_id != type_id:
            parent_id = play.actor_ids.get(item.parent_id, 0)
            if item.parent_id and not parent_id:
                return  # what it was attached to is not replayed
            try:
                actor = spawning.spawn(episode, item.description, pose, parent_id, is_replayed=True)
            except UserError as error:
                play.left_out[type_id] = str(error)
                return
            play.spawned_ids.add(actor.id)
        play.actor_ids[item.actor_id] = actor.id
        if isinstance(actor, Vehicle):
            episode.dynamics.set_simulated(actor.id, False)
        elif isinstance(actor, Walker):
            actor.simulated = False

    def _move_all(self, world: World, play: _Play) -> None:
        frame, following = play.frame, play.following
        if frame is None:
            return
        later = {}
        share = 0.0
        if following is not None and play.time_s > frame.time_s + _SAME_TIME_S:
            share = (play.time_s - frame.time_s) / (following.time_s - frame.time_s)
            later = {int(record["id"]): record for record in following.actors}
        light_ids = world.episode.light_actor_ids
        for record in frame.actors:
            recorded_id = int(record["id"])
            actor = world.episode.actors.find(play.actor_ids.get(recorded_id, 0))
            if actor is None:
                light = unpack_traffic_light_state(record["state"].tobytes())
                actor = world.episode.actors.find(light_ids.get(light.sign_id, 0))
                if isinstance(actor, TrafficLightActor):
                    actor.light.show(light.state)
                    actor.light.elapsed_s, actor.light.frozen = light.elapsed_s, light.frozen
            elif actor.relative is None:
                pose = _transform(record)
                if recorded_id in later:
                    pose = between(pose, _transform(later[recorded_id]), share)
                self._move(world, actor, pose, record)

    def _move(self, world: World, actor: Actor, pose: Transform, record: Any) -> None:
        factor = self.settings.time_factor
        motion: Motion = (
            _scaled(record["velocity"], factor),
            _scaled(record["angular_velocity"], factor),
            _scaled(record["acceleration"], factor * factor),
        )
        state = record["state"].tobytes()
        if isinstance(actor, Vehicle):
            world.episode.dynamics.teleport(actor.id, pose)
            actor.control = unpack_vehicle_control(state)
        elif isinstance(actor, Walker):
            actor.direction, actor.speed_mps, actor.jump = unpack_walker_state(state)
        actor.move(pose, motion)

    def _follow(self, world: World, play: _Play) -> None:
        followed = world.episode.actors.find(play.actor_ids.get(play.request.follow_id, 0))
        if followed is not None and followed is not world.episode.spectator:
            pose = compose(followed.transform, play.request.offset)
            world.episode.spectator.move(pose, followed.motion)

    def _release(self, world: World, actor_id: int) -> None:
        actor = world.episode.actors.find(actor_id)
        if isinstance(actor, Vehicle):
            actor.control = world.episode.dynamics.set_control(actor_id, VehicleControl())
            world.episode.dynamics.set_simulated(actor_id, True)
        elif isinstance(actor, Walker):
            actor.speed_mps, actor.simulated = 0.0, True


def _transform(record: Any) -> Transform:
    return Transform(Vector3(*record["location"].tolist()), Rotation(*record["rotation"].tolist()))


def _scaled(values: Any, factor: float) -> Vector3:
    return Vector3(*(value * factor for value in values.tolist()))
