"""The shipped driver behind the leaderboard's interface: sensor data in, a control out.

Nothing here asks the simulator for anything, nor imports the leaderboard or carla: the agent file
that `agent.entry.files` writes does the latter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agent.correction.names import MAY_ASK_B, CorrectionName
from agent.correction.registry import make_path_rule
from agent.entry.navigator import BendCaution, PlanNavigator
from agent.entry.plan import route_from_plan
from agent.entry.positioning import GeoFrame, Positioning
from agent.loading import load_pace
from agent.pace import PaceSettings
from agent.path.agent import PathAgent
from agent.path.fusion import FusionSettings
from bicameral.errors import ConfigError
from bicameral.types import CameraSpec, Control, Observation
from bicameral.units import mps_from_kmh
from edge.path_model import PathModel
from edge.shipped import resolve_model

#: Every tick of the leaderboard: 20 Hz.
_READING_FREQUENCY_HZ: Final = 20
_CENTRE: Final = {"x": 0.0, "y": 0.0, "z": 0.0, "roll": 0.0, "pitch": 0.0, "yaw": 0.0}

#: What the leaderboard calls the global plan: latitude, longitude, number of the option.
Plan = Sequence[tuple[float, float, int]]


class EntryConfig(BaseModel):
    """What the configuration file may say.

    Attributes:
        model: Network A: a shipped name or an ``.onnx`` file.
        second: Network B, likewise, or None.
        correction: What becomes of their paths and of the plan's.
        pace: Network that slows down for others and lights, likewise, or None.
        speed_limit_kmh: Nowhere faster; on this track nothing tells the limits of the roads.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = "path_a"
    second: str | None = "path_b"
    correction: CorrectionName = "fusion"
    pace: str | None = "pace_a"
    speed_limit_kmh: float = Field(default=30.0, gt=0.0, le=130.0)


class EntryDriver:
    """Drives one route."""

    def __init__(self, config: EntryConfig) -> None:
        """Load the networks.

        Raises:
            UserError: If a network or the correction is unknown or damaged.
        """
        self._config = config
        self._first = PathModel.load(resolve_model(config.model))
        self._second: PathModel | None = None
        if config.second is not None and config.correction in MAY_ASK_B:
            self._second = PathModel.load(resolve_model(config.second))
        self._pace = load_pace(PaceSettings(model=config.pace or ""))
        self._agent: PathAgent | None = None
        self._positioning: Positioning | None = None

    @classmethod
    def from_argument(cls, argument: str) -> EntryDriver:
        """Load what an evaluator's ``--agent-config`` names; nothing named is the default.

        Raises:
            ConfigError: If there is no such file, or it holds something else.
        """
        return cls(read_config(argument))

    def sensors(self) -> list[dict[str, Any]]:
        """Return the leaderboard's list: cameras, satellites, compass and speedometer."""
        speed = {"id": "speed", "reading_frequency": _READING_FREQUENCY_HZ}
        cameras = [_camera("camera", self._first.agent.camera)]
        if self._pace is not None:
            cameras.append(_camera("pace", self._pace.model.agent.camera))
        return [
            *cameras,
            {"type": "sensor.other.gnss", "id": "gnss", **_CENTRE},
            {"type": "sensor.other.imu", "id": "imu", **_CENTRE},
            {"type": "sensor.speedometer", **speed},
        ]

    def act(self, plan: Plan, data: Mapping[str, tuple[int, Any]], time_s: float) -> Control:
        """Return the control for one tick.

        Args:
            plan: The global plan; only the first tick looks at it.
            data: Frame and measurement by sensor, as the leaderboard hands them over.
            time_s: Simulated time.

        Raises:
            DataError: If the plan leads nowhere.
            ConfigError: If the networks do not fit each other.
        """
        if self._agent is None or self._positioning is None:
            self._agent, self._positioning = self._begin(plan)
        frame, picture = data["camera"]
        speed_mps = float(data["speed"][1]["speed"])
        pose = self._positioning.update(data["gnss"][1], float(data["imu"][1][-1]), speed_mps)
        observation = Observation(
            frame=frame,
            time_s=time_s,
            image=_rgb_from_bgra(picture),
            pace_image=None if self._pace is None else _rgb_from_bgra(data["pace"][1]),
            pose=pose,
            speed_mps=speed_mps,
        )
        return self._agent.act(observation).control

    def close(self) -> None:
        """Release the networks."""
        pace = None if self._pace is None else self._pace.model
        for model in (self._first, self._second, pace):
            if model is not None:
                model.close()

    def _begin(self, plan: Plan) -> tuple[PathAgent, Positioning]:
        frame = GeoFrame(*plan[0][:2])
        points_m = np.array([frame.metres(latitude, longitude) for latitude, longitude, _ in plan])
        limit_mps = mps_from_kmh(self._config.speed_limit_kmh)
        planned = route_from_plan(points_m, [option for _, _, option in plan], limit_mps)
        navigator = PlanNavigator(planned)
        rule = make_path_rule(
            self._config.correction, self._first.agent, self._second, FusionSettings()
        )
        agent = PathAgent(
            (self._first, self._second),
            BendCaution(rule, navigator),
            navigator=navigator,
            pace=self._pace,
        )
        agent.begin(planned.route, seed=0)
        return agent, Positioning(frame)


def read_config(argument: str) -> EntryConfig:
    """Read a configuration file; an empty name is the default configuration.

    Bench2Drive appends ``+`` and a name for files of its own to the argument, once a route.

    Raises:
        ConfigError: If there is no such file, or it holds something else.
    """
    parts = argument.split("+")
    names = ["+".join(parts[: count + 1]) for count in range(len(parts))]
    if not names[0]:
        return EntryConfig()
    path = next((Path(name) for name in names if _is_file(name)), None)
    if path is None:
        raise ConfigError(
            f"there is no configuration file {argument!r}; name the one that "
            "'bicameral leaderboard-entry' wrote"
        )
    try:
        return EntryConfig.model_validate_json(path.read_bytes())
    except ValidationError as error:
        found = error.errors()[0]
        where = ".".join(map(str, found["loc"])) or "the file"
        raise ConfigError(f"{path}: {where}: {found['msg']}") from error


def _camera(name: str, camera: CameraSpec) -> dict[str, Any]:
    return {
        "type": "sensor.camera.rgb",
        "id": name,
        **_CENTRE,
        "x": camera.x_m,
        "z": camera.z_m,
        "pitch": camera.pitch_deg,
        "width": camera.width,
        "height": camera.height,
        "fov": camera.fov_deg,
    }


def _is_file(name: str) -> bool:
    """Whether there is such a file; after many routes the argument is too long for a name."""
    try:
        return Path(name).is_file()
    except OSError:
        return False


def _rgb_from_bgra(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(picture[:, :, 2::-1])
