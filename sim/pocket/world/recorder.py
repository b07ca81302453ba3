"""Records the present episode, tick by tick."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

import numpy as np

from bicameral.errors import UserError
from bicameral.files import user_data_folder
from sim.pocket.collision import Contact
from sim.pocket.protocol.values import to_wire
from sim.pocket.recording.file import (
    RECORD,
    About,
    Frame,
    RecordedCollision,
    RecordingWriter,
    SpawnedActor,
)
from sim.pocket.world.actors import Vehicle

if TYPE_CHECKING:
    from sim.pocket.world.episode import Episode
    from sim.pocket.world.world import World

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingPlaces:
    """Where recordings may lie.

    Attributes:
        anywhere: Whether clients may name files outside the folder, as CARLA lets them. A server
            that listens to the network must not.
    """

    anywhere: bool = True

    @property
    def folder(self) -> Path:
        """Where a file lies that is named without a folder."""
        return user_data_folder() / "recordings"

    def path(self, name: str) -> Path:
        """Return the file that a client means.

        Raises:
            UserError: It may not lie there.
        """
        if not name or "\0" in name or ".." in PurePath(name).parts:
            raise UserError(f"{name!r} names no recording; expected a name such as 'run1.log'")
        if PurePath(name).is_absolute() and not self.anywhere:
            raise UserError(
                f"{name!r} is outside {str(self.folder)!r}, the folder for recordings; a server "
                "that listens to the network takes names in there only: leave out the first '/'"
            )
        return self.folder / name


@dataclass(slots=True, kw_only=True)
class _Known:
    """What the file tells already, so that a frame holds only what is new."""

    actor_ids: frozenset[int] = frozenset()
    lamps: dict[int, int]
    weather: tuple[float, ...] = ()


class Recorder:
    """Writes what happens into a file, from `start` to `stop` or to the next load of a world."""

    def __init__(self) -> None:
        self._writer: RecordingWriter | None = None
        self._known = _Known(lamps={})
        self._additional_data = False
        self._began_s: float | None = None

    def start(self, world: World, path: Path, *, additional_data: bool) -> None:
        """Begin a recording with the next tick; one that is on ends.

        Raises:
            UserError: The file cannot be written, or is something else than a recording.
        """
        self.stop()
        town = world.episode.town
        digest = hashlib.sha256(town.map.opendrive.encode("utf-8", "surrogateescape"))
        date = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
        about = About(town.name, digest.hexdigest(), date, additional_data)
        self._writer = RecordingWriter(path, about)
        self._known = _Known(lamps={})
        self._additional_data = additional_data
        self._began_s = None

    def stop(self) -> None:
        """End the recording, if one is on."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def take(self, world: World, contacts: Sequence[Contact]) -> None:
        """Record the tick that is just over."""
        if self._writer is None:
            return
        now_s = world.episode.clock.now_s
        if self._began_s is None:
            self._began_s = now_s
        try:
            self._writer.write(self._frame(world, contacts, now_s - self._began_s))
        except OSError as error:
            # A full disk must not end the server; what was written so far can be read.
            logger.warning("the recording %s ends here: %s", self._writer.path, error)
            self.stop()

    def _frame(self, world: World, contacts: Sequence[Contact], time_s: float) -> Frame:
        episode, known = world.episode, self._known
        records = b"".join(actor.record() for actor in episode.actors)
        spawned = tuple(
            SpawnedActor(
                actor.id,
                actor.identity.parent_id,
                actor.identity.description,
                actor.identity.bounding_box,
                actor.identity.semantic_tag,
            )
            for actor in episode.actors
            if actor.id not in known.actor_ids
        )
        actor_ids = frozenset(actor.id for actor in episode.actors)
        lamps = {one.id: one.light_state for one in episode.actors.of_class(Vehicle)}
        new_lamps = tuple(
            (actor_id, flags)
            for actor_id, flags in lamps.items()
            if known.lamps.get(actor_id) != flags
        )
        frame = Frame(
            time_s=time_s,
            step_s=world.delta_s,
            platform_s=world.platform_timestamp_s,
            spawned=spawned,
            destroyed=tuple(sorted(known.actor_ids - actor_ids)),
            collisions=_collisions(contacts),
            lamps=new_lamps,
            weather=world.weather if world.weather != known.weather else (),
            physics=self._physics(episode, spawned),
            actors=np.frombuffer(records, RECORD),
        )
        self._known = _Known(actor_ids=actor_ids, lamps=lamps, weather=world.weather)
        return frame

    def _physics(
        self, episode: Episode, spawned: Sequence[SpawnedActor]
    ) -> tuple[tuple[int, object], ...]:
        if not self._additional_data:
            return ()
        return tuple(
            (item.actor_id, to_wire(episode.dynamics.physics(item.actor_id)))
            for item in spawned
            if item.actor_id in episode.dynamics
        )


def _collisions(contacts: Sequence[Contact]) -> tuple[RecordedCollision, ...]:
    """Return what touched, each pair once; vehicles that touch each have a contact of their own."""
    found: dict[tuple[int, int], RecordedCollision] = {}
    for contact in contacts:
        one, other = contact.actor_id, contact.other_id or 0
        if (other, one) not in found:
            found[one, other] = RecordedCollision(one, other, contact.other_tag)
    return tuple(found.values())
