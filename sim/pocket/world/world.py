"""The world that a server simulates: one episode after the other on one town after the other."""

from __future__ import annotations

import itertools
import time

from bicameral.errors import UserError
from bicameral.simulation import TICK_S
from sim.pocket.map_store import MapSource, source_of_text
from sim.pocket.navigation.files import NavigationFiles
from sim.pocket.protocol.values import EpisodeSettings
from sim.pocket.world import spawning
from sim.pocket.world.episode import Episode
from sim.pocket.world.publisher import Publisher
from sim.pocket.world.recorder import Recorder, RecordingPlaces
from sim.pocket.world.replayer import Replayer
from sim.pocket.world.town import Town, TownShelf
from sim.pocket.world.traffic_managers import TrafficManagerRegistry

#: Longer steps than a second are cut; physics has no use for them.
LONGEST_DELTA_S = 1.0
#: The name of the map that `copy_opendrive_to_file` prepares.
OPENDRIVE_WORLD = "OpenDriveMap"
#: Clear noon, the weather of a fresh CARLA world; fields in the wire's order.
DEFAULT_WEATHER = (10.0, 0.0, 0.0, 5.0, 0.0, 70.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.03, 0.0331, 0.0)

_WORLD_STREAM_ID = 1


class World:
    """The state that the RPC methods read and change.

    Ids count up from fixed numbers and frames never restart, so the same calls give the same bytes
    in every process.

    Args:
        shelf: The towns.
        publisher: Carries messages to the clients.
        town: Name of the first map.
        seed: Seed of scenery and noise.

    Attributes:
        publisher: See above.
        shelf: See above.
        seed: See above.
        settings: What the clients set.
        weather: 14 numbers in the wire's order.
        frame: Number of the last tick.
        episode: The present episode.
        world_stream_id: The stream of the snapshots, for the life of the server.
        traffic_managers: The registry of the clients' Traffic Managers.
        old_episode_ids: The id of the episode before, by the connection that loaded the present
            one and was not told yet.
        imui_gravity: Gravity that IMU sensors add, m/s^2.
        recordings: Where recordings may lie.
        recorder: Records the present episode.
        replayer: Replays a recording in it.
        navigation: Where walkers may go, for clients that ask.
    """

    def __init__(
        self,
        shelf: TownShelf,
        publisher: Publisher,
        *,
        town: str,
        seed: int,
        number_anew: bool = False,
    ) -> None:
        self.shelf = shelf
        self.publisher = publisher
        self.seed = seed
        self.settings = EpisodeSettings()
        self.weather: tuple[float, ...] = DEFAULT_WEATHER
        self.frame = 0
        self.world_stream_id = _WORLD_STREAM_ID
        self.imui_gravity = 9.81
        self.traffic_managers = TrafficManagerRegistry()
        self.old_episode_ids: dict[object, int] = {}
        self.recordings = RecordingPlaces()
        self.recorder = Recorder()
        self.replayer = Replayer()
        self.navigation = NavigationFiles()
        self._started_s = time.monotonic()
        # Never used again, for the life of the server; both count up from fixed numbers.
        self._actor_ids = itertools.count(1)
        self._stream_ids = itertools.count(_WORLD_STREAM_ID + 1)
        self._number_anew = number_anew
        self._last_episode_id = 0
        self._prepared_opendrive: str | None = None
        self.episode = self._begin(shelf.town(town))

    @property
    def delta_s(self) -> float:
        """What the next step lasts.

        When the client fixes nothing, CARLA measures its wall clock; no run could be repeated then.
        """
        return min(self.settings.fixed_delta_s or TICK_S, LONGEST_DELTA_S)

    @property
    def physics_delta_s(self) -> float:
        """How much of the next step vehicles move in.

        As in CARLA, substeps cover no more than `max_substeps` times `max_substep_delta_time`:
        0.1 s unless the client sets something else.
        """
        settings = self.settings
        if not settings.substepping or settings.max_substep_delta_s <= 0.0:
            return self.delta_s
        return min(self.delta_s, max(settings.max_substeps, 1) * settings.max_substep_delta_s)

    @property
    def platform_timestamp_s(self) -> float:
        """Wall time since the server started; the only trace of it on the wire."""
        return time.monotonic() - self._started_s

    def prepare_opendrive(self, text: str) -> None:
        """Keep an OpenDRIVE text for the next load of `OPENDRIVE_WORLD`."""
        self._prepared_opendrive = text

    def source(self, name: str) -> MapSource | None:
        """Return the text of the map that `load` would have to read, if it is one.

        Raises:
            UserError: There is no such map.
        """
        base = name.rsplit("/", 1)[-1]
        if base == OPENDRIVE_WORLD and self._prepared_opendrive is not None:
            return source_of_text(OPENDRIVE_WORLD, self._prepared_opendrive)
        return self.shelf.source(name) if base not in ("", OPENDRIVE_WORLD) else None

    def load(self, name: str, *, reset_settings: bool) -> None:
        """Begin a new episode; all actors of the old one are gone.

        Args:
            name: A map, with or without CARLA's folders; empty for the present one.
            reset_settings: Whether to go back to the default settings.

        Raises:
            UserError: There is no such map; the old episode goes on.
        """
        town = self._town(name)
        self.recorder.stop()
        self.replayer.drop()
        if reset_settings:
            self.settings = EpisodeSettings()
        self.weather = DEFAULT_WEATHER
        self.episode = self._begin(town)

    def substeps(self) -> int:
        """Return into how many parts physics divides a step."""
        settings = self.settings
        if not settings.substepping or settings.max_substep_delta_s <= 0.0:
            return 1
        wanted = -int(-self.physics_delta_s // settings.max_substep_delta_s)
        return max(1, min(wanted, settings.max_substeps, 100))

    def _town(self, name: str) -> Town:
        base = name.rsplit("/", 1)[-1]
        if not base:
            return self.episode.whole_town
        if base != OPENDRIVE_WORLD:
            return self.shelf.town(name)
        if self._prepared_opendrive is not None:
            return self.shelf.town_from_opendrive(OPENDRIVE_WORLD, self._prepared_opendrive)
        raise UserError(f"no OpenDRIVE text was sent before loading {OPENDRIVE_WORLD!r}")

    def _begin(self, town: Town) -> Episode:
        self._last_episode_id += 1
        if self._number_anew:
            self._actor_ids = itertools.count(1)
        episode = Episode(self._last_episode_id, town, self._actor_ids, self._stream_ids)
        spawning.populate(episode)
        return episode
