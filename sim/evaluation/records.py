"""What an episode leaves behind, in memory and on disk.

An episode is a folder with ``trajectory.npz`` (one row per tick) and ``episode.json`` (all else).
The folder is written under another name and renamed, so one that exists is complete.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from bicameral.errors import DataError
from bicameral.files import write_json_atomic
from bicameral.types import Route
from sim.evaluation.limits import Status
from sim.evaluation.plan import SCHEMA

#: Entries of episode.json that differ between two equal runs.
VOLATILE_FIELDS = ("wall_time_s", "restarts")

#: Columns of trajectory.npz that differ between two equal runs.
VOLATILE_COLUMNS = ("inference_s",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trajectory:
    """One row per tick, T rows. Row t holds what the agent saw and what it decided from it.

    The decision of row t moves the vehicle from row t to row t + 1.

    Attributes:
        frame: (T,) int64, ticks since the first observation.
        time_s: (T,) float64, simulated time since the first observation.
        x_m: (T,) float64, position, world frame.
        y_m: (T,) float64.
        z_m: (T,) float64.
        yaw_rad: (T,) float64.
        speed_mps: (T,) float64, forward speed.
        steer: (T,) float32, steering sent, -1..1, with the episode's noise.
        throttle: (T,) float32, sent.
        brake: (T,) float32, sent.
        steer_noise: (T,) float32, the part of `steer` that the agent did not ask for.
        steer_raw: (T,) float32, steering of the regression head, NaN if there is none.
        confidence: (T,) float32, 0..1, NaN if there is none.
        entropy: (T,) float32, nats, NaN if there is none.
        branch: (T,) uint8, index into `EpisodeRecord.branches`.
        asked_b: (T,) uint8, 1 where a second network was asked.
        inference_s: (T,) float32, CPU time of the networks. Volatile.
        progress_m: (T,) float64, arc length along the route.
        cross_track_m: (T,) float64, signed, positive right of the route.
        heading_error_rad: (T,) float64, signed, positive pointing right of the route.
        off_road: (T,) uint8, 1 where the vehicle's centre is over no driving lane of the map.
        traffic_light: (T,) uint8, light that the vehicle stands at: 0 none, 1 red, 2 yellow,
            3 green, 4 other.
        diagnostics: Further (T,) float32 columns by name, NaN where the agent gave no value.
    """

    frame: NDArray[np.int64]
    time_s: NDArray[np.float64]
    x_m: NDArray[np.float64]
    y_m: NDArray[np.float64]
    z_m: NDArray[np.float64]
    yaw_rad: NDArray[np.float64]
    speed_mps: NDArray[np.float64]
    steer: NDArray[np.float32]
    throttle: NDArray[np.float32]
    brake: NDArray[np.float32]
    steer_noise: NDArray[np.float32]
    steer_raw: NDArray[np.float32]
    confidence: NDArray[np.float32]
    entropy: NDArray[np.float32]
    branch: NDArray[np.uint8]
    asked_b: NDArray[np.uint8]
    inference_s: NDArray[np.float32]
    progress_m: NDArray[np.float64]
    cross_track_m: NDArray[np.float64]
    heading_error_rad: NDArray[np.float64]
    off_road: NDArray[np.uint8]
    traffic_light: NDArray[np.uint8]
    diagnostics: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.frame)


#: dtype of every fixed column, in the order of `Trajectory`.
COLUMN_DTYPES: Mapping[str, str] = {
    entry.name: str(entry.type).split("np.")[1].rstrip("]")
    for entry in fields(Trajectory)
    if entry.name != "diagnostics"
}


def trajectory_from_columns(
    columns: Mapping[str, Any], diagnostics: Mapping[str, Any]
) -> Trajectory:
    """Build a trajectory from lists, one entry per tick; every fixed column must be there."""
    arrays = {name: np.asarray(columns[name], dtype) for name, dtype in COLUMN_DTYPES.items()}
    extra = {name: np.asarray(values, np.float32) for name, values in diagnostics.items()}
    return Trajectory(**arrays, diagnostics=extra)


@dataclass(frozen=True, slots=True, kw_only=True)
class CollisionRecord:
    """One contact with one other thing, however many ticks it lasted.

    Attributes:
        frame: First tick of the contact.
        last_frame: Last tick of the contact.
        other: Type of the other actor.
        impulse_ns: Largest impulse of a tick, newton seconds.
    """

    frame: int
    last_frame: int
    other: str
    impulse_ns: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneInvasionRecord:
    """Lane markings crossed in one tick."""

    frame: int
    markings: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeRecord:
    """Everything about one drive; the names are those of episode.json.

    Attributes:
        episode_id: Name of the folder.
        role: ``"evaluation"`` or ``"reference"``.
        agent: Name of the agent.
        correction: Its correction mode.
        privileged: True if the agent knows more than a camera and a navigator tell.
        route: Name of the route.
        town: Its town.
        weather: Name of the weather.
        seed: Seed of the episode.
        repetition: 0, 1, ...
        status: How it ended.
        message: More about a failure, or empty.
        collisions: In order of their first tick.
        lane_invasions: In order.
        branches: Names of the correction branches that were taken, in order of first use.
        restarts: How often the simulator was lost and the episode begun anew. Volatile.
        wall_time_s: Wall time of the drive. Volatile.
        versions: Versions of bicameral, the carla package and the simulator.
        trained_on: Simulator that the agent was trained on, or None.
        driven_on: Simulator that it drove on, ``"pocket"`` or ``"carla"``.
        weather_parameters: The 14 weather numbers after the disturbance.
        start: Start pose after the disturbance.
        trajectory: The ticks.
    """

    episode_id: str
    role: str
    agent: str
    correction: str
    privileged: bool
    route: str
    town: str
    weather: str
    seed: int
    repetition: int
    status: Status
    message: str
    collisions: tuple[CollisionRecord, ...]
    lane_invasions: tuple[LaneInvasionRecord, ...]
    branches: tuple[str, ...]
    restarts: int
    wall_time_s: float
    versions: Mapping[str, str]
    trained_on: str | None
    driven_on: str
    weather_parameters: Mapping[str, float]
    start: Mapping[str, float]
    trajectory: Trajectory

    @property
    def domain_mismatch(self) -> bool:
        """True if the agent drove on another simulator than it was trained on."""
        return self.trained_on is not None and self.trained_on != self.driven_on


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _CollisionEntry(_Strict):
    frame: int
    last_frame: int
    other: str
    impulse_ns: float


class _LaneInvasionEntry(_Strict):
    frame: int
    markings: tuple[str, ...]


class _EpisodeFile(_Strict):
    """episode.json as it is on disk."""

    schema_version: int
    episode_id: str
    role: str
    agent: str
    correction: str
    privileged: bool
    route: str
    town: str
    weather: str
    seed: int
    repetition: int
    status: Status
    message: str
    collisions: tuple[_CollisionEntry, ...]
    lane_invasions: tuple[_LaneInvasionEntry, ...]
    branches: tuple[str, ...]
    restarts: int
    wall_time_s: float
    versions: dict[str, str]
    trained_on: str | None
    driven_on: str
    domain_mismatch: bool
    weather_parameters: dict[str, float]
    start: dict[str, float]


def write_episode(folder: Path, record: EpisodeRecord, video: Path | None = None) -> None:
    """Write an episode's folder whole, replacing one of the same name.

    Args:
        folder: Destination; its parent must exist.
        record: What to write.
        video: A finished video file to move into the folder, or None.
    """
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        temporary.chmod(0o755)
        columns: dict[str, Any] = {name: getattr(record.trajectory, name) for name in COLUMN_DTYPES}
        columns |= record.trajectory.diagnostics
        np.savez(temporary / "trajectory.npz", **columns)
        write_json_atomic(temporary / "episode.json", _file_from_record(record))
        if video is not None:
            shutil.move(video, temporary / f"video{video.suffix}")
        shutil.rmtree(folder, ignore_errors=True)
        temporary.replace(folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def read_episode(folder: Path) -> EpisodeRecord:
    """Read what `write_episode` wrote.

    Raises:
        DataError: If the folder is not a complete episode of this schema.
    """
    try:
        text = (folder / "episode.json").read_text(encoding="utf-8")
        entry = _EpisodeFile.model_validate_json(text)
        with np.load(folder / "trajectory.npz", allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        diagnostics = {name: arrays[name] for name in arrays if name not in COLUMN_DTYPES}
        trajectory = trajectory_from_columns(arrays, diagnostics)
    except (OSError, ValueError, KeyError, ValidationError) as error:
        raise DataError(
            f"{folder} is not a complete episode: {error}; delete it and resume the evaluation"
        ) from error
    if entry.schema_version != SCHEMA:
        raise DataError(
            f"{folder} has schema {entry.schema_version}, this version reads {SCHEMA}; "
            "evaluate anew"
        )
    values = entry.model_dump(exclude={"schema_version", "domain_mismatch"})
    values["collisions"] = tuple(CollisionRecord(**c) for c in values["collisions"])
    values["lane_invasions"] = tuple(LaneInvasionRecord(**i) for i in values["lane_invasions"])
    return EpisodeRecord(**values, trajectory=trajectory)


def write_route(path: Path, route: Route) -> None:
    """Write a route as npz: its arrays, and name, town and kind as 0-d strings."""
    with tempfile.NamedTemporaryFile(
        dir=path.parent, prefix=f".{path.name}.", suffix=".npz", delete=False
    ) as file:
        np.savez(file, **{entry.name: getattr(route, entry.name) for entry in fields(Route)})
    Path(file.name).chmod(0o644)
    Path(file.name).replace(path)


def read_route(path: Path) -> Route:
    """Read what `write_route` wrote.

    Raises:
        DataError: If the file is not a route.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            values = {entry.name: stored[entry.name] for entry in fields(Route)}
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{path} is not a stored route: {error}; evaluate anew") from error
    for name in ("name", "town", "kind"):
        values[name] = str(values[name])
    return Route(**values)


def _file_from_record(record: EpisodeRecord) -> dict[str, Any]:
    values = {
        entry.name: getattr(record, entry.name)
        for entry in fields(EpisodeRecord)
        if entry.name != "trajectory"
    }
    values["collisions"] = [asdict(collision) for collision in record.collisions]
    values["lane_invasions"] = [asdict(invasion) for invasion in record.lane_invasions]
    values["domain_mismatch"] = record.domain_mismatch
    model = _EpisodeFile(schema_version=SCHEMA, **values)
    return dict(json.loads(model.model_dump_json()))
