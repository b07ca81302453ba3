"""The file of a recording: written frame by frame, readable up to the last whole one.

It begins with `MAGIC`. Blocks follow until the end of the file. Each is the length of its body
(uint32), the CRC-32 of that body (uint32), a time in seconds (float64), all little endian, and the
body: a map in MessagePack, compressed with zlib.

The body of the first block says what was recorded: the fields of `About`. Every other block is one
tick; its time counts from the first recorded tick. Its body holds the fields of `Frame`; those that
are empty are left out. The places and motions of the actors are the records of the snapshot as they
go over the wire (`protocol.messages`), 119 bytes an actor.

A block is appended with one call to the operating system, so that a server that is killed loses
nothing but a block that it was about to write.
"""

from __future__ import annotations

import dataclasses
import math
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgpack
import numpy as np
from numpy.typing import NDArray

from bicameral.errors import DataError, UserError
from bicameral.files import write_bytes_atomic
from sim.pocket.protocol.values import (
    MAX_MAGNITUDE,
    ActorDescription,
    BoundingBox,
    Uint32,
    WireError,
    from_wire,
    to_wire,
)

MAGIC = b"bicameral recording 1\n"
#: CARLA's own recordings begin with the length of this text and the text.
_CARLA_MAGIC = b"CARLA_RECORDER"

_block_header = struct.Struct("<IId")
_LARGEST_BODY_BYTES = 64 << 20

#: One actor of a frame, as in the snapshot: m, degrees, m/s, degrees/s, m/s^2, world frame.
RECORD = np.dtype(
    [
        ("id", "<u4"),
        ("alive", "u1"),
        ("location", "<f4", 3),
        ("rotation", "<f4", 3),
        ("velocity", "<f4", 3),
        ("angular_velocity", "<f4", 3),
        ("acceleration", "<f4", 3),
        ("state", "V54"),
    ]
)
_NUMBERS = ("location", "rotation", "velocity", "angular_velocity", "acceleration")


class About(NamedTuple):
    """What was recorded.

    Attributes:
        town: Name of the map.
        map_sha256: Digest of its OpenDRIVE text, hexadecimal.
        date: When the recording began, UTC.
        additional_data: Whether the client asked for more than a replay needs.
    """

    town: str
    map_sha256: str
    date: str
    additional_data: bool


class SpawnedActor(NamedTuple):
    """An actor that is new in a frame.

    Attributes:
        actor_id: Its id in the recording.
        parent_id: What it is attached to, or 0.
        description: Blueprint and attributes.
        box: In its own frame.
        tag: Its semantic tag.
    """

    actor_id: Uint32
    parent_id: Uint32
    description: ActorDescription
    box: BoundingBox
    tag: int


class RecordedCollision(NamedTuple):
    """Two things that touched in a frame; the other one is 0 for what belongs to the map."""

    actor_id: Uint32
    other_id: Uint32
    other_tag: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One recorded tick.

    Attributes:
        time_s: Simulated time since the first recorded tick.
        step_s: How long the tick was.
        platform_s: Wall time since the server started.
        spawned: Actors that are new.
        destroyed: Ids of the actors that are gone.
        collisions: What touched.
        lamps: (actor id, flags) of the vehicles whose lamps changed.
        weather: 14 numbers if it changed, else none.
        physics: (actor id, fields of `VehiclePhysicsControl`) of new vehicles; additional data.
        actors: Array of `RECORD`.
    """

    time_s: float
    step_s: float
    platform_s: float
    spawned: tuple[SpawnedActor, ...] = ()
    destroyed: tuple[int, ...] = ()
    collisions: tuple[RecordedCollision, ...] = ()
    lamps: tuple[tuple[int, int], ...] = ()
    weather: tuple[float, ...] = ()
    physics: tuple[tuple[int, Any], ...] = ()
    actors: NDArray[np.void]


_LISTS = {
    "spawned": tuple[SpawnedActor, ...],
    "destroyed": tuple[Uint32, ...],
    "collisions": tuple[RecordedCollision, ...],
    "lamps": tuple[tuple[Uint32, Uint32], ...],
    "weather": tuple[float, ...],
    "physics": tuple[tuple[Uint32, Any], ...],
}


class RecordingWriter:
    """Writes a new recording; it takes the place of an old one of that name.

    Args:
        path: The file.
        about: What is recorded.

    Raises:
        UserError: The file exists and is no recording of ours, or cannot be written.
    """

    def __init__(self, path: Path, about: About) -> None:
        if path.exists():
            _check_magic(path, "; nothing was overwritten: choose another name")
        self.path = path
        try:
            write_bytes_atomic(path, MAGIC + _block(0.0, about._asdict()))
            self._file = path.open("ab", buffering=0)
        except OSError as error:
            raise UserError(f"cannot write the recording {str(path)!r}: {error}") from error

    def write(self, frame: Frame) -> None:
        """Append a frame.

        Raises:
            OSError: The disk is full, or the like.
        """
        body: dict[str, Any] = {"step_s": frame.step_s, "platform_s": frame.platform_s}
        for name in _LISTS:
            if getattr(frame, name):
                body[name] = to_wire(getattr(frame, name))
        body["actors"] = frame.actors.tobytes()
        self._file.write(_block(frame.time_s, body))

    def close(self) -> None:
        """End the recording."""
        self._file.close()


class _Place(NamedTuple):
    """Where a block's body lies, and its time."""

    offset: int
    length: int
    time_s: float


class Recording:
    """A recording to read.

    Args:
        path: The file; it may still be growing, or end within a frame.

    Raises:
        UserError: There is no such file.
        DataError: It is no recording of ours.

    Attributes:
        about: What was recorded.
        unread_bytes: What is left after the last whole frame, of a write that was cut off.
    """

    def __init__(self, path: Path) -> None:
        _check_magic(path)
        self._path = path
        self._blocks: list[_Place] = []
        self.unread_bytes = 0
        self._find_blocks()
        try:
            body = self._body(self._blocks[0])
            self.about: About = from_wire(About, [body.get(name) for name in About._fields])
        except (IndexError, WireError) as error:
            raise DataError(f"{str(path)!r} does not say what was recorded: {error}") from error

    def __len__(self) -> int:
        return len(self._blocks) - 1

    @property
    def duration_s(self) -> float:
        """The time of the last frame; 0 for a recording without any."""
        return self._blocks[-1].time_s

    def time_s(self, index: int) -> float:
        """Return the time of a frame, seconds since the first one; infinite after the last."""
        return self._blocks[index + 1].time_s if index < len(self) else math.inf

    def frame(self, index: int) -> Frame:
        """Read a frame; they count from 0.

        Raises:
            DataError: It holds something else than a frame.
        """
        place = self._blocks[index + 1]
        body = self._body(place)
        try:
            lists = {name: from_wire(kind, body.get(name, [])) for name, kind in _LISTS.items()}
            return Frame(
                time_s=place.time_s,
                step_s=from_wire(float, body.get("step_s")),
                platform_s=from_wire(float, body.get("platform_s")),
                actors=_records(body.get("actors")),
                **lists,
            )
        except WireError as error:
            raise DataError(f"frame {index + 1} of {str(self._path)!r}: {error}") from error

    def frames(self) -> Iterator[Frame]:
        """Read all frames in their order."""
        return map(self.frame, range(len(self)))

    def _find_blocks(self) -> None:
        with self._path.open("rb") as file:
            file.seek(len(MAGIC))
            end = len(MAGIC)
            while header := file.read(_block_header.size):
                if len(header) < _block_header.size:
                    break
                length, checksum, time_s = _block_header.unpack(header)
                if length > _LARGEST_BODY_BYTES or not 0.0 <= time_s < MAX_MAGNITUDE:
                    break
                body = file.read(length)
                if len(body) < length or zlib.crc32(body) != checksum:
                    break
                self._blocks.append(_Place(file.tell() - length, length, time_s))
                end = file.tell()
            self.unread_bytes = self._path.stat().st_size - end

    def _body(self, place: _Place) -> dict[str, Any]:
        with self._path.open("rb") as file:
            file.seek(place.offset)
            compressed = file.read(place.length)
        try:
            body = zlib.decompressobj().decompress(compressed, _LARGEST_BODY_BYTES)
            value = msgpack.unpackb(body, raw=False, unicode_errors="surrogateescape")
        except (zlib.error, ValueError, msgpack.UnpackException) as error:
            raise DataError(f"a block of {str(self._path)!r} cannot be read: {error}") from error
        if not isinstance(value, dict):
            raise DataError(f"a block of {str(self._path)!r} holds no map")
        return value


def _check_magic(path: Path, what_to_do: str = "") -> None:
    try:
        with path.open("rb") as file:
            start = file.read(max(len(MAGIC), 64))
    except FileNotFoundError:
        raise UserError(
            f"there is no recording {str(path)!r} on the server; "
            "client.start_recorder(NAME) makes one and answers where it is"
        ) from None
    except OSError as error:
        raise UserError(f"cannot read the recording {str(path)!r}: {error}") from error
    if start.startswith(MAGIC):
        return
    what = "a recording of CARLA's own format, which only CARLA reads"
    if _CARLA_MAGIC not in start:
        what = "no recording of the pocket simulator"
    raise DataError(f"{str(path)!r} is {what}{what_to_do}")


def _block(time_s: float, body: dict[str, Any]) -> bytes:
    packed = msgpack.packb(body, use_bin_type=True, unicode_errors="surrogateescape")
    compressed = zlib.compress(packed, level=1)
    return _block_header.pack(len(compressed), zlib.crc32(compressed), time_s) + compressed


def _records(data: Any) -> NDArray[np.void]:
    if not isinstance(data, bytes) or len(data) % RECORD.itemsize:
        raise WireError(f"expected the records of actors, {RECORD.itemsize} bytes each")
    records = np.frombuffer(data, RECORD)
    for name in _NUMBERS:
        if not np.all(np.abs(records[name]) <= MAX_MAGNITUDE):  # false for what is no number, too
            raise WireError(f"the {name} of an actor is no number within +-{MAX_MAGNITUDE:g}")
    return records
