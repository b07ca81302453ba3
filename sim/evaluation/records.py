"""What an episode leaves behind, in memory and on disk.

An episode is a folder with ``trajectory.npz`` (one row per tick), in traffic ``others.npz`` (where
everybody else was, and what the route's lights showed), and ``episode.json`` (all else).
The folder is written under another name and renamed, so one that exists is complete.
"""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Mapping
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, computed_field

from bicameral.errors import DataError
from bicameral.files import hidden_folder_beside, write_bytes_atomic, write_json_atomic
from bicameral.types import Route
from sim.client.ego import LaneInvasion
from sim.evaluation.limits import Status
from sim.evaluation.plan import SCHEMA

#: Entries of episode.json that differ between two equal runs.
VOLATILE_FIELDS = ("wall_time_s", "restarts")

#: Columns of trajectory.npz that differ between two equal runs.
VOLATILE_COLUMNS = ("inference_s",)

#: Where the others of a drive are kept.
_OTHERS = "others.npz"


def _convert_to(dtype: type[np.generic]) -> BeforeValidator:
    return BeforeValidator(partial(np.asarray, dtype=dtype))


Int64Column = Annotated[NDArray[np.int64], _convert_to(np.int64)]
Float64Column = Annotated[NDArray[np.float64], _convert_to(np.float64)]
Float32Column = Annotated[NDArray[np.float32], _convert_to(np.float32)]
Uint8Column = Annotated[NDArray[np.uint8], _convert_to(np.uint8)]


class Record(BaseModel):
    """What is stored as it is and read back by the same type."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class Trajectory(Record):
    """One row per tick, T rows. Row t holds what the agent saw and what it decided from it.

    The decision of row t moves the vehicle from row t to row t + 1. Columns may be given as lists;
    each becomes an array of its declared type.

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

    frame: Int64Column
    time_s: Float64Column
    x_m: Float64Column
    y_m: Float64Column
    z_m: Float64Column
    yaw_rad: Float64Column
    speed_mps: Float64Column
    steer: Float32Column
    throttle: Float32Column
    brake: Float32Column
    steer_noise: Float32Column
    steer_raw: Float32Column
    confidence: Float32Column
    entropy: Float32Column
    branch: Uint8Column
    asked_b: Uint8Column
    inference_s: Float32Column
    progress_m: Float64Column
    cross_track_m: Float64Column
    heading_error_rad: Float64Column
    off_road: Uint8Column
    traffic_light: Uint8Column
    diagnostics: Mapping[str, Float32Column] = {}

    def __len__(self) -> int:
        return len(self.frame)

    def columns(self) -> dict[str, Any]:
        """Return every array by name, the diagnostics last."""
        return {name: getattr(self, name) for name in COLUMNS} | dict(self.diagnostics)


#: Names of the fixed columns, in order.
COLUMNS = tuple(name for name in Trajectory.model_fields if name != "diagnostics")


class CollisionRecord(Record):
    """One collision as the CARLA leaderboard counts them, however many ticks it lasted.

    Attributes:
        frame: Its first tick.
        last_frame: Last tick of a contact that belongs to it.
        other: Type of the actor that was hit first.
        impulse_ns: Largest impulse of a tick, newton seconds.
    """

    frame: int
    last_frame: int
    other: str
    impulse_ns: float


class EpisodeRecord(Record):
    """Everything about one drive; all but the trajectory is episode.json.

    Attributes:
        schema_version: Version of the layout on disk.
        episode_id: Name of the folder.
        role: ``"evaluation"`` or ``"reference"``.
        agent: Name of the agent.
        correction: Its correction mode.
        privileged: True if the agent knows more than a camera and a navigator tell.
        route: Name of the route.
        town: Its town.
        weather: Name of the condition: a weather, or what is wrong with the camera.
        seed: Seed of the episode.
        repetition: 0, 1, ...
        status: How it ended.
        message: More about a failure, or empty.
        collisions: In order of their first tick.
        ticks_hit_standing: Ticks in which something touched the vehicle while it stood, which is
            no collision of its own.
        lane_invasions: In order, by tick.
        branches: Names of the correction branches that were taken, in order of first use.
        restarts: How often the simulator was lost and the episode begun anew. Volatile.
        wall_time_s: Wall time of the drive. Volatile.
        versions: Versions of bicameral, the carla package and the simulator.
        trained_on: Simulator that the agent was trained on, or None.
        driven_on: Simulator that it drove on, ``"pocket"`` or ``"carla"``.
        weather_parameters: The 14 weather numbers after the disturbance.
        camera_fault: How the camera was mounted wrongly (``mount``), which part of the picture was
            covered (``patch``); empty if nothing was wrong.
        start: Start pose after the disturbance.
        vehicles: How many other vehicles there were.
        walkers: How many walkers.
        stop_signs_m: Stop signs of the route, as arc length, where there were others.
        light_lines_m: The L stop lines of the route that have a traffic light, likewise.
        trajectory: The ticks.
        others: (T, vehicles + walkers, 3) float32: x, y in metres and yaw in rad of every vehicle,
            then of every walker, by tick; NaN once it has gone. None where there were none.
        lights: (T, L) uint8, what the lights of `light_lines_m` showed by tick
            (`bicameral.types.LightState`). None where there were no others.
    """

    schema_version: int = SCHEMA
    episode_id: str
    role: str
    agent: str
    correction: str
    privileged: bool = False
    route: str
    town: str
    weather: str
    seed: int
    repetition: int
    status: Status
    message: str = ""
    collisions: tuple[CollisionRecord, ...] = ()
    ticks_hit_standing: int = 0
    lane_invasions: tuple[LaneInvasion, ...] = ()
    branches: tuple[str, ...] = ()
    restarts: int = 0
    wall_time_s: float = 0.0
    versions: dict[str, str]
    trained_on: str | None
    driven_on: str
    weather_parameters: dict[str, float]
    camera_fault: dict[str, dict[str, float]] = {}
    start: dict[str, float]
    vehicles: int = 0
    walkers: int = 0
    stop_signs_m: tuple[float, ...] = ()
    light_lines_m: tuple[float, ...] = ()
    trajectory: Trajectory = Field(exclude=True)
    others: Float32Column | None = Field(default=None, exclude=True)
    lights: Uint8Column | None = Field(default=None, exclude=True)

    @property
    def in_traffic(self) -> bool:
        """Whether anybody else was on the road."""
        return self.vehicles + self.walkers > 0

    @computed_field  # type: ignore[prop-decorator]
    @property
    def domain_mismatch(self) -> bool:
        """True if the agent drove on another simulator than it was trained on."""
        return self.trained_on is not None and self.trained_on != self.driven_on


def write_episode(folder: Path, record: EpisodeRecord, video: Path | None = None) -> None:
    """Write an episode's folder whole, replacing one of the same name.

    Args:
        folder: Destination; its parent must exist.
        record: What to write.
        video: A finished video file to move into the folder, or None.
    """
    with hidden_folder_beside(folder) as temporary:
        temporary.chmod(0o755)
        np.savez(temporary / "trajectory.npz", **record.trajectory.columns())
        if record.others is not None:
            around: dict[str, Any] = {"others": record.others}
            if record.lights is not None:
                around["lights"] = record.lights
            np.savez_compressed(temporary / _OTHERS, **around)
        write_json_atomic(temporary / "episode.json", record.model_dump(mode="json"))
        if video is not None:
            shutil.move(video, temporary / f"video{video.suffix}")
        shutil.rmtree(folder, ignore_errors=True)
        temporary.replace(folder)


def read_episode(folder: Path) -> EpisodeRecord:
    """Read what `write_episode` wrote.

    Raises:
        DataError: If the folder is not a complete episode of this schema.
    """
    try:
        values = json.loads((folder / "episode.json").read_text(encoding="utf-8"))
        version = values.get("schema_version")
        if version != SCHEMA:
            raise DataError(
                f"{folder} has schema {version}, this version reads {SCHEMA}; evaluate anew"
            )
        del values["domain_mismatch"]  # follows from the others
        with np.load(folder / "trajectory.npz", allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        fixed = {name: arrays.pop(name) for name in COLUMNS}
        trajectory = Trajectory(**fixed, diagnostics=arrays)
        return EpisodeRecord(**values, trajectory=trajectory, **_read_others(folder))
    except (OSError, ValueError, KeyError, AttributeError, ValidationError) as error:
        raise DataError(
            f"{folder} is not a complete episode: {error}; delete it and resume the evaluation"
        ) from error


def _read_others(folder: Path) -> dict[str, NDArray[Any]]:
    if not (folder / _OTHERS).exists():
        return {}
    with np.load(folder / _OTHERS, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


def write_route(path: Path, route: Route) -> None:
    """Write a route as npz: its arrays, and name, town and kind as 0-d strings."""
    buffer = io.BytesIO()
    np.savez(buffer, **{entry.name: getattr(route, entry.name) for entry in fields(Route)})
    write_bytes_atomic(path, buffer.getvalue())


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
