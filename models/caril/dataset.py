"""Collected episodes as one array of network pictures and labels, split by town and episode.

Frames of one episode look alike, so a frame never decides its own split: whole episodes, and for
the test whole towns, are held out.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bicameral.errors import DataError
from bicameral.types import AGENT_CAMERA, PACE_CAMERA, CameraSpec
from edge.preprocessing import canonical_from_picture
from edge.sidecar import ImageSpec
from models.networks.pace_classes import EARLIER_TICKS, PACE_IMAGE
from models.networks.path_classes import AHEAD_DISTANCES_M
from models.networks.steering_classes import NETWORK_IMAGE

_LOGGER = logging.getLogger(__name__)

Split = Literal["train", "validation", "test"]

#: One episode in this many of a training town validates instead.
_HELD_OUT_ONE_IN = 8
_CHUNK = 256
#: Columns that are read from labels.npz, by their names in `Frames`.
_COLUMNS = ("steer", "speed_mps", "command", "in_junction", "ahead_m", "others", "earlier")
#: Columns of labels.npz that are those of `Frames.others`.
_OTHERS = ("allowed_speed_mps", "lead_distance_m", "lead_speed_mps", "light", "stop_line_m")


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """One collected episode folder."""

    folder: Path
    town: str
    episode_id: str
    weather: str
    split: Split
    driver: str
    camera: CameraSpec

    @property
    def is_dagger(self) -> bool:
        """True if a trained agent drove and the expert only labelled."""
        return self.driver.startswith("dagger:")


@dataclass(frozen=True, slots=True, kw_only=True)
class Frames:
    """Frames of many episodes, ready for a network.

    Attributes:
        images: One (n, h, w, 3) uint8 RGB array per episode; memory-mapped caches, so that
            several trainings share one copy in memory.
        episodes: The episodes, in the order of `images`.
        episode: (N,) int32 index into `episodes`.
        row: (N,) int32 index into that episode's images.
        steer: (N,) float32 expert label, raw steer.
        speed_mps: (N,) float32.
        command: (N,) int8, `RoadOption`.
        in_junction: (N,) bool, the nearest point of the route lies in a junction.
        ahead_m: (N, 6, 2) float32, (x, y) of the route at
            `models.networks.path_classes.AHEAD_DISTANCES_M` ahead, in the car's frame (x forward, y
            right); not a number in data sets that were collected before there was such a column.
        others: (N, 5) float32: how fast others and lights let the expert drive, distance and speed
            of the vehicle ahead, `LightState` of the next light (0: none), distance to its line; as
            in docs/dataset.md, and not a number in data sets of a driver alone on the road.
        earlier: (N,) int32, the row of the picture of `EARLIER_TICKS` before; the frame's own where
            there is none.
        dagger: (N,) bool, an agent drove.
        fingerprint: SHA-256 over the episodes' names and labels.
    """

    images: tuple[NDArray[np.uint8], ...]
    episodes: tuple[Episode, ...]
    episode: NDArray[np.int32]
    row: NDArray[np.int32]
    steer: NDArray[np.float32]
    speed_mps: NDArray[np.float32]
    command: NDArray[np.int8]
    in_junction: NDArray[np.bool_]
    ahead_m: NDArray[np.float32]
    others: NDArray[np.float32]
    earlier: NDArray[np.int32]
    dagger: NDArray[np.bool_]
    fingerprint: str

    def __len__(self) -> int:
        return int(self.steer.size)

    def gather(self, index: NDArray[np.integer]) -> NDArray[np.uint8]:
        """Copy the images of some frames, (len(index), h, w, 3) uint8."""
        return self._gather(index, self.row)

    def gather_earlier(self, index: NDArray[np.integer]) -> NDArray[np.uint8]:
        """Copy the earlier images of some frames, likewise."""
        return self._gather(index, self.earlier)

    def _gather(self, index: NDArray[np.integer], rows: NDArray[np.int32]) -> NDArray[np.uint8]:
        batch = np.empty((len(index), *self.images[0].shape[1:]), np.uint8)
        for place, frame in enumerate(index):
            batch[place] = self.images[self.episode[frame]][rows[frame]]
        return batch

    def select(self, keep: NDArray[np.bool_]) -> Frames:
        """Return only the frames where `keep` (N,) is True."""
        columns = ("episode", "row", *_COLUMNS, "dagger")
        return replace(self, **{name: getattr(self, name)[keep] for name in columns})

    def require_path(self) -> None:
        """Refuse frames without the route ahead.

        Raises:
            DataError: If any has none.
        """
        lacking = np.unique(self.episode[np.isnan(self.ahead_m).any(axis=(1, 2))])
        if lacking.size:
            raise DataError(
                f"{lacking.size} of {len(self.episodes)} episodes have no column ahead_m, which a "
                f"path network learns from, such as {self.episodes[lacking[0]].folder}; collect "
                "them again with this version"
            )

    def batches(self) -> Iterator[NDArray[np.int64]]:
        """Yield the indices of all frames, a few hundred at a time."""
        for start in range(0, len(self), _CHUNK):
            yield np.arange(start, min(start + _CHUNK, len(self)))

    @property
    def towns(self) -> tuple[str, ...]:
        """Towns, sorted."""
        return tuple(sorted({episode.town for episode in self.episodes}))

    @property
    def weathers(self) -> tuple[str, ...]:
        """Weathers, sorted."""
        return tuple(sorted({episode.weather for episode in self.episodes}))


def find_episodes(data: Path) -> list[Episode]:
    """List the complete episodes below `data`, sorted by town and id.

    Episodes of a training town whose hashed id falls into one of eight parts become validation;
    adding data never moves an episode from one split to another.

    Raises:
        DataError: If there are none, an `episode.json` is wrong, or a test town is trained on.
    """
    # A name with a dot is an episode that is being written, or whose writer was killed.
    paths = (path for path in data.glob("*/*/episode.json") if path.parent.name[0] != ".")
    episodes = [_read_episode(path) for path in sorted(paths)]
    if not episodes:
        raise DataError(
            f"no collected episodes in {data} (looked for TOWN/EPISODE/episode.json); "
            "collect some first: bicameral collect"
        )
    trained = {episode.town for episode in episodes if episode.split != "test"}
    tested = {episode.town for episode in episodes if episode.split == "test"}
    if trained & tested:
        raise DataError(
            f"towns {sorted(trained & tested)} in {data} are both trained on and tested on; "
            "a test town may hold test episodes only"
        )
    return episodes


def load_frames(
    data: Path | Sequence[Path],
    split: Split,
    *,
    weathers: Sequence[str] = (),
    spec: ImageSpec = NETWORK_IMAGE,
) -> Frames:
    """Load one split.

    Args:
        data: Folder (or folders) of collected data.
        split: Which episodes.
        weathers: Only episodes of these weathers; empty for all.
        spec: Crop and size of the network's pictures.

    Raises:
        DataError: If nothing is left, or a file of an episode is damaged.
    """
    chosen = _choose_episodes([data] if isinstance(data, Path) else data, split, weathers)
    images: list[NDArray[np.uint8]] = []
    labels: list[dict[str, NDArray[Any]]] = []
    digest = hashlib.sha256()
    for episode in chosen:
        columns, label_hash = _read_labels(episode)
        images.append(_load_images(episode, spec, columns["steer"].size))
        labels.append(columns)
        digest.update(f"{episode.town}/{episode.episode_id}/{label_hash}\n".encode())
    sizes = [array.shape[0] for array in images]
    frames = Frames(
        images=tuple(images),
        episodes=tuple(chosen),
        episode=np.repeat(np.arange(len(chosen), dtype=np.int32), sizes),
        row=np.concatenate([np.arange(size, dtype=np.int32) for size in sizes]),
        **{name: np.concatenate([columns[name] for columns in labels]) for name in _COLUMNS},
        dagger=np.repeat(np.array([episode.is_dagger for episode in chosen]), sizes),
        fingerprint=digest.hexdigest(),
    )
    _LOGGER.info("%s: %d frames of %d episodes", split, len(frames), len(chosen))
    return frames


def _choose_episodes(
    folders: Sequence[Path], split: Split, weathers: Sequence[str]
) -> list[Episode]:
    """Return the episodes of a split and of some weathers, at least one."""
    found = [episode for folder in folders for episode in find_episodes(folder)]
    known = sorted({episode.weather for episode in found})
    if unknown := sorted(set(weathers) - set(known)):
        raise DataError(f"no episode has weather {', '.join(unknown)}; the data hold {known}")
    chosen = [
        episode
        for episode in found
        if episode.split == split and (not weathers or episode.weather in weathers)
    ]
    if not chosen:
        counts = dict(Counter(episode.split for episode in found))
        raise DataError(
            f"no {split} episodes with weather {list(weathers) or 'any'} in "
            f"{', '.join(map(str, folders))}; episodes per split: {counts}. Collect some: "
            f"bicameral collect --split {split}"
        )
    return chosen


def _read_episode(path: Path) -> Episode:
    try:
        record = json.loads(path.read_text("utf-8"))
        split, town = record["split"], record["town"]
        weather, driver = record["weather"], record["driver"]
        camera = CameraSpec(**record["camera"])
        complete = record["complete"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is no record of a collected episode: {error!r}") from error
    if split not in ("train", "validation", "test"):
        raise DataError(f"{path}: split is {split!r}, expected train, validation or test")
    if complete is not True:
        raise DataError(f"{path} is not marked complete; delete the folder and collect it again")
    episode_id = path.parent.name
    if split == "train" and _is_held_out(f"{town}/{episode_id}"):
        split = "validation"
    return Episode(
        folder=path.parent,
        town=str(town),
        episode_id=episode_id,
        weather=str(weather),
        split=split,
        driver=str(driver),
        camera=camera,
    )


def _is_held_out(name: str) -> bool:
    digest = hashlib.sha256(name.encode()).digest()
    return int.from_bytes(digest[:4], "big") % _HELD_OUT_ONE_IN == 0


def _read_labels(episode: Episode) -> tuple[dict[str, NDArray[Any]], str]:
    """Return the columns `_COLUMNS` of an episode, and the hash of the file."""
    path = episode.folder / "labels.npz"
    try:
        content = path.read_bytes()
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            columns: dict[str, NDArray[Any]] = {
                "steer": archive["steer_expert"].astype(np.float32),
                "speed_mps": archive["speed_mps"].astype(np.float32),
                "command": archive["command"].astype(np.int8),
                "in_junction": archive["in_junction"].astype(bool),
            }
            known = archive["ahead_m"].astype(np.float32) if "ahead_m" in archive else None
            columns["others"] = _read_others(archive, columns["steer"].size)
            columns["earlier"] = _find_earlier(archive["frame"], archive["route"])
    except Exception as error:  # numpy and zipfile raise many kinds for a damaged archive
        raise DataError(f"cannot read the labels {path}: {error!r}; collect it again") from error
    sizes = {name: column.shape[:1] for name, column in columns.items()}
    if len(set(sizes.values())) != 1 or columns["steer"].ndim != 1:
        raise DataError(f"the columns of {path} differ in length: {sizes}")
    shape = (columns["steer"].size, len(AHEAD_DISTANCES_M), 2)
    columns["ahead_m"] = np.full(shape, np.nan, np.float32) if known is None else known
    if columns["ahead_m"].shape != shape:
        raise DataError(f"{path}: ahead_m has shape {columns['ahead_m'].shape}, expected {shape}")
    checked = ("steer", "speed_mps") if known is None else ("steer", "speed_mps", "ahead_m")
    for name in checked:
        if not np.isfinite(columns[name]).all():
            raise DataError(f"{path}: column {name!r} holds values that are not finite")
    if columns["steer"].size and np.abs(columns["steer"]).max() > 1.0:
        raise DataError(f"{path}: steer_expert lies outside -1..1")
    return columns, hashlib.sha256(content).hexdigest()


def _read_others(archive: Mapping[str, NDArray[Any]], count: int) -> NDArray[np.float32]:
    """Return the columns `_OTHERS` (N, 5) of an episode among others."""
    if not set(_OTHERS) <= set(archive):
        return np.full((count, len(_OTHERS)), np.nan, np.float32)
    return np.column_stack([archive[name].astype(np.float32) for name in _OTHERS])


def _find_earlier(frame: NDArray[np.integer], route: NDArray[np.integer]) -> NDArray[np.int32]:
    """Return the row (N,) of the same route whose frame was `EARLIER_TICKS` before."""
    rows = np.arange(len(frame), dtype=np.int32)
    found = np.searchsorted(frame, frame - EARLIER_TICKS).astype(np.int32)
    there = (frame[found] == frame - EARLIER_TICKS) & (route[found] == route)
    return np.where(there, found, rows)


def _load_images(episode: Episode, spec: ImageSpec, expected: int) -> NDArray[np.uint8]:
    """Return an episode's reduced pictures, from its cache if that is there and fits."""
    if episode.camera != (PACE_CAMERA if spec == PACE_IMAGE else AGENT_CAMERA):
        raise DataError(
            f"{episode.folder} was recorded by another camera than this network's; a pace network "
            "learns from what `bicameral collect --traffic N --walkers M` records, every other "
            "from what it records without these, or with --driver"
        )
    key = hashlib.sha256(spec.model_dump_json().encode()).hexdigest()[:12]
    cache = episode.folder / f"network-{key}.npy"
    shape = (expected, spec.height, spec.width, 3)
    if expected == 0:
        return np.empty(shape, np.uint8)
    if cache.exists():
        cached = _map_array(cache)
        if cached.shape == shape:
            return cached
    path = episode.folder / "frames.npy"
    frames = _map_array(path)
    pictures = (expected, episode.camera.height, episode.camera.width, 3)
    if frames.shape != pictures:
        raise DataError(f"{path} has shape {frames.shape}, its labels and camera say {pictures}")
    if pictures == shape and spec.crop is None:
        return frames
    images = np.empty(shape, np.uint8)
    for start in range(0, expected, _CHUNK):
        part = slice(start, start + _CHUNK)
        images[part] = canonical_from_picture(frames[part], spec)
    # Two trainings may fill the same cache at once.
    temporary = cache.with_name(f".{cache.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            np.save(file, images)
        temporary.replace(cache)
    except OSError as error:
        _LOGGER.warning("cannot cache %s (%s): kept in memory", cache, error)
        return images
    return _map_array(cache)


def _map_array(path: Path) -> NDArray[np.uint8]:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read the frames {path}: {error}; collect it again") from error
    if array.dtype != np.uint8:
        raise DataError(f"{path} holds {array.dtype}, expected uint8")
    return np.asarray(array)
