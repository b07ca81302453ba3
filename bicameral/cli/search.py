"""`bicameral search`: find frames of recorded drives by words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from bicameral.cli.progress import ProgressBar
from bicameral.errors import ConfigError, DataError
from bicameral.files import write_bytes_atomic
from bicameral.tables import print_table, table_of
from bicameral.types import CameraSpec
from edge.drives.reader import DriveReader
from sim.collection.storage import StoredEpisode, find_stored_episodes

#: Of frames of one episode that are so near in time only the best is shown.
_APART_S = 2.0
#: Recordings have ten frames a second, of which every second is looked at.
_EVERY = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class _Frame:
    """A frame of an episode and how well it fits."""

    episode: StoredEpisode
    row: int
    time_s: float
    command: int
    score: float

    @property
    def picture(self) -> NDArray[np.uint8]:
        return np.asarray(self.episode.frames[self.row])


def search(
    drives: Path,
    query: str,
    /,
    *,
    top: int = 5,
    pictures: Path | None = None,
) -> int:
    """Find the frames of recorded drives that fit a query best, and say what is to be seen there.

    A query is what `describe-frame` says, in short, with commas: "night, left turn, junction
    close". The drives are those that `collect` recorded among others (--traffic), whose camera the
    network knows. Of frames within 2 s of each other only the best is shown.

    Args:
        drives: Folder that `collect` filled.
        query: What to look for; an unknown word is refused, with the list of those that are known.
        top: How many frames to show.
        pictures: Folder to write the frames that were found to, as PNG files.
    """
    if top < 1:
        raise ConfigError(f"--top is {top}, expected at least 1")
    reader = DriveReader.load()
    wanted = reader.query(query)
    episodes = _episodes(drives, reader.spec.camera)
    frames = sorted(_scored(reader, wanted, episodes), key=lambda one: -one.score)
    shown = []
    for place, frame in enumerate(_apart(frames, top), start=1):
        said = reader.describe(frame.picture, frame.command)
        file = str(frame.episode.folder / "frames.npy")
        shown.append((file, frame.row, f"{frame.score:.3f}", said))
        if pictures is not None:
            _write_png(pictures / f"{place:02d}.png", frame.picture)
    heads = ("file", "row", "score", "description")
    print_table(table_of(f"{len(frames)} frames, searched for {query!r}", heads, shown))
    return 0


def _episodes(drives: Path, camera: CameraSpec) -> list[StoredEpisode]:
    """Return the episodes that hold frames of a camera."""
    found = [one for one in find_stored_episodes(drives) if len(one.labels["frame"])]
    if not found:
        raise DataError(f"the drives in {drives} hold no frames; collect some: bicameral collect")
    strange = [one for one in found if CameraSpec(**one.record["camera"]) != camera]
    if strange:
        raise DataError(
            f"{strange[0].folder} was recorded by another camera than the network knows; it reads "
            "drives among others, which `bicameral collect --traffic N` records"
        )
    return found


def _scored(
    reader: DriveReader, wanted: NDArray[np.float32], episodes: list[StoredEpisode]
) -> Iterator[_Frame]:
    with ProgressBar("search") as bar:
        for done, episode in enumerate(episodes, start=1):
            frames, labels = episode.frames, episode.labels
            for row in range(0, len(frames), _EVERY):
                command = int(labels["command"][row])
                yield _Frame(
                    episode=episode,
                    row=row,
                    time_s=float(labels["time_s"][row]),
                    command=command,
                    score=reader.score(wanted, np.asarray(frames[row]), command),
                )
            bar.update(done, len(episodes), str(episode.folder))


def _apart(frames: list[_Frame], top: int) -> list[_Frame]:
    """Return the first frames that are no neighbours of better ones."""
    chosen: list[_Frame] = []
    for frame in frames:
        if len(chosen) == top:
            break
        near = (abs(one.time_s - frame.time_s) for one in chosen if one.episode is frame.episode)
        if min(near, default=_APART_S) >= _APART_S:
            chosen.append(frame)
    return chosen


def _write_png(path: Path, picture: NDArray[np.uint8]) -> None:
    _, encoded = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    write_bytes_atomic(path, encoded.tobytes())
