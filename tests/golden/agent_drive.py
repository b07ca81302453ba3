"""The drive that the golden test repeats: recorded pictures along a synthetic route.

Run it to record anew, after the shipped weights changed:

    python tests/golden/agent_drive.py [DATA]

takes pictures from every weather of the data set DATA, or those that were recorded last, and writes
`agent_observations.npz` and `agent_controls.json` beside this file.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.correction.names import MAY_ASK_B
from agent.loading import corrections_of, load_agent, network_of
from bicameral.types import Observation, Pose, Route
from edge.agent_sidecar import AgentSpec, PathAgentSpec
from edge.session import open_model
from edge.shipped import shipped_model, shipped_models
from edge.sidecar import read_sidecar

FOLDER = Path(__file__).parent
OBSERVATIONS = FOLDER / "agent_observations.npz"
CONTROLS = FOLDER / "agent_controls.json"
_PICTURES_PER_WEATHER = 3
_DRIVING = (AgentSpec, PathAgentSpec)


def agent_names() -> list[str]:
    """Names of the shipped networks that drive; one that sets the pace does not by itself."""
    described = {name: read_sidecar(shipped_model(name)).agent for name in shipped_models()}
    return [name for name, agent in described.items() if isinstance(agent, _DRIVING)]


def others_of_its_kind(name: str) -> list[str]:
    """Names of the shipped agents that an agent may ask."""
    kind = type(read_sidecar(shipped_model(name)).agent)
    others = [other for other in agent_names() if other != name]
    return [other for other in others if isinstance(read_sidecar(shipped_model(other)).agent, kind)]


def drive_recorded(name: str, correction: str) -> list[dict[str, Any]]:
    """Show the recorded pictures to a shipped agent and return what it decided."""
    with np.load(OBSERVATIONS, allow_pickle=False) as archive:
        pictures, speeds = archive["pictures"], archive["speed_mps"]
        commands = archive["command"]
    second = others_of_its_kind(name)[0] if correction in MAY_ASK_B else None
    agent = load_agent(name, correction, second)
    agent.begin(_route(commands), seed=1)
    rows = []
    for index, picture in enumerate(pictures):
        observation = Observation(
            frame=index,
            time_s=0.05 * index,
            image=picture,
            pose=Pose(x_m=2.0 * index, y_m=0.1),
            speed_mps=float(speeds[index]),
        )
        decision = agent.act(observation)
        rows.append(
            {
                "throttle": decision.control.throttle,
                "steer": decision.control.steer,
                "brake": decision.control.brake,
                "confidence": decision.confidence,
                "branch": decision.branch,
            }
        )
    agent.close()
    return rows


def fingerprint(name: str) -> str:
    """Hash of a shipped model's graph."""
    path = shipped_model(name)
    return open_model(path, read_sidecar(path)).fingerprint


def corrections_to_record(name: str) -> list[str]:
    """Names of the corrections that a shipped agent can do with the agents that ship."""
    path = shipped_model(name)
    sidecar = read_sidecar(path)
    known = corrections_of(network_of(sidecar, open_model(path, sidecar)))
    return [one for one in known if one not in MAY_ASK_B or others_of_its_kind(name)]


def _route(commands: NDArray[np.int8]) -> Route:
    """A straight line on which each picture's command applies where the picture is shown."""
    s_m = np.arange(2 * len(commands) + 20, dtype=np.float64)
    nothing = np.zeros_like(s_m)
    place = np.minimum(s_m.astype(int) // 2, len(commands) - 1)
    return Route(
        name="golden",
        town="none",
        kind="mixed",
        xyz_m=np.stack([s_m, nothing, nothing], axis=1),
        yaw_rad=nothing,
        s_m=s_m,
        command=commands[place],
        in_junction=np.zeros(len(s_m), bool),
        lane_width_m=nothing + 3.5,
        speed_limit_mps=nothing + 8.0,
        target_speed_mps=nothing + 8.0,
    )


def _record_pictures(data: Path) -> None:
    by_weather: dict[str, Path] = {}
    for path in sorted(data.glob("*/*/episode.json")):
        weather = json.loads(path.read_text(encoding="utf-8"))["weather"]
        by_weather.setdefault(weather, path.parent)
    pictures, speeds, commands = [], [], []
    for folder in by_weather.values():
        frames = np.load(folder / "frames.npy", mmap_mode="r")
        labels = np.load(folder / "labels.npz")
        for index in np.linspace(0, len(frames) - 1, _PICTURES_PER_WEATHER).astype(int):
            pictures.append(frames[index])
            speeds.append(labels["speed_mps"][index])
            commands.append(labels["command"][index])
    np.savez_compressed(
        OBSERVATIONS,
        pictures=np.stack(pictures),
        speed_mps=np.array(speeds, np.float32),
        command=np.array(commands, np.int8),
    )


def _record_controls() -> None:
    record = {
        name: {
            "fingerprint": fingerprint(name),
            "controls": {rule: drive_recorded(name, rule) for rule in corrections_to_record(name)},
        }
        for name in agent_names()
    }
    CONTROLS.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        _record_pictures(Path(sys.argv[1]))
    _record_controls()
