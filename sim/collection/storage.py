"""The folder of one collected episode; docs/dataset.md describes it for users."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bicameral.errors import DataError
from bicameral.files import write_bytes_atomic, write_json_atomic
from bicameral.types import CameraSpec

#: Column of labels.npz and its type; docs/dataset.md says what each means.
COLUMNS: dict[str, type[np.generic]] = {
    "frame": np.int64,
    "time_s": np.float64,
    "steer_expert": np.float32,
    "steer_applied": np.float32,
    "throttle": np.float32,
    "brake": np.float32,
    "speed_mps": np.float32,
    "command": np.int8,
    "cross_track_m": np.float32,
    "heading_error_rad": np.float32,
    "perturbed": np.bool_,
    "x_m": np.float64,
    "y_m": np.float64,
    "z_m": np.float64,
    "yaw_rad": np.float64,
    "in_junction": np.bool_,
    "route": np.int16,
    "expert_in_charge": np.bool_,
    "ahead_m": np.float32,
}

#: Further columns of an episode among others: diagnostics of the expert by the same names.
TRAFFIC_COLUMNS: dict[str, type[np.generic]] = {
    "target_speed_mps": np.float32,
    "allowed_speed_mps": np.float32,
    "lead_distance_m": np.float32,
    "lead_speed_mps": np.float32,
    "light": np.int8,
    "stop_line_m": np.float32,
}

_PARTIAL_PREFIX = ".partial-"
# A .npy header is padded so that a number of any size fits; see numpy.lib.format.
_HEADER_BYTES = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEpisode:
    """A complete episode.

    Attributes:
        folder: Where it lies.
        record: The content of episode.json.
    """

    folder: Path
    record: dict[str, Any]

    @property
    def frames(self) -> NDArray[np.uint8]:
        """(N, H, W, 3) uint8 RGB, memory-mapped."""
        mapped: NDArray[np.uint8] = np.load(self.folder / "frames.npy", mmap_mode="r")
        return mapped

    @property
    def labels(self) -> dict[str, NDArray[Any]]:
        """Every column of `COLUMNS`, (N,), among others of `TRAFFIC_COLUMNS`, too.

        `ahead_m` is (N, 6, 2).
        """
        with np.load(self.folder / "labels.npz", allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}


@dataclass(slots=True)
class EpisodeWriter:
    """Writes an episode beside its final place and moves it there when it is complete.

    Pictures go straight to the disk. Use it as a context manager: without `finish`, leaving the
    block removes what was written.

    Args:
        folder: The final place.
        camera: Decides the size of the pictures.
        columns: Of labels.npz, and their types.
    """

    folder: Path
    camera: CameraSpec
    columns: Mapping[str, type[np.generic]] = field(default_factory=lambda: COLUMNS)
    _rows: dict[str, list[Any]] = field(init=False)

    def __post_init__(self) -> None:
        self._rows = {name: [] for name in self.columns}

    def __enter__(self) -> EpisodeWriter:
        shutil.rmtree(self._partial, ignore_errors=True)
        self._partial.mkdir(parents=True)
        with self._frames_path.open("wb") as file:
            file.write(bytes(_HEADER_BYTES))
        return self

    def __exit__(self, *error: object) -> None:
        shutil.rmtree(self._partial, ignore_errors=True)

    def __len__(self) -> int:
        return len(self._rows["frame"])

    def add(self, images: list[NDArray[np.uint8]], rows: list[dict[str, Any]]) -> None:
        """Append pictures and their rows.

        Args:
            images: Each (H, W, 3) uint8 RGB.
            rows: One per picture, with a value (or array) for every column.
        """
        with self._frames_path.open("ab") as file:
            for image in images:
                file.write(np.ascontiguousarray(image).tobytes())
        for row in rows:
            for name, values in self._rows.items():
                values.append(row[name])

    def finish(self, record: dict[str, Any]) -> None:
        """Write labels and record, and move the episode to its final place."""
        shape = (len(self), self.camera.height, self.camera.width, 3)
        with self._frames_path.open("r+b") as file:
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
        buffer = io.BytesIO()
        columns = {name: np.array(self._rows[name], dtype) for name, dtype in self.columns.items()}
        np.savez_compressed(buffer, allow_pickle=False, **columns)
        write_bytes_atomic(self._partial / "labels.npz", buffer.getvalue())
        write_json_atomic(self._partial / "episode.json", {**record, "complete": True})
        self._partial.rename(self.folder)

    @property
    def _partial(self) -> Path:
        return self.folder.with_name(_PARTIAL_PREFIX + self.folder.name)

    @property
    def _frames_path(self) -> Path:
        return self._partial / "frames.npy"


def read_stored_episode(folder: Path) -> StoredEpisode:
    """Open a complete episode.

    Raises:
        DataError: If the folder holds something else.
    """
    path = folder / "episode.json"
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        complete = record["complete"] is True
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is no record of a collected episode: {error!r}") from error
    if not complete:
        raise DataError(f"{path} is not marked complete; delete the folder and collect it again")
    return StoredEpisode(folder=folder, record=record)


def find_stored_episodes(data: Path) -> list[StoredEpisode]:
    """Open every complete episode of a data set, sorted by town and id.

    Raises:
        DataError: If there is none.
    """
    found = [read_stored_episode(path.parent) for path in sorted(data.glob("*/*/episode.json"))]
    found = [episode for episode in found if not episode.folder.name.startswith(".")]
    if not found:
        raise DataError(
            f"no collected episodes in {data} (looked for TOWN/EPISODE/episode.json); "
            "collect some first: bicameral collect"
        )
    return found
