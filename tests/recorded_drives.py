"""Tiny episodes in the format of `bicameral collect`: a bright stripe says how to steer.

The road ahead is an arc of the same sign. Among others a stripe on the left is a red light.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

from bicameral.types import AGENT_CAMERA, PACE_CAMERA
from models.networks.path_classes import AHEAD_DISTANCES_M


def _draw_frames(rng: np.random.Generator, steer: np.ndarray) -> np.ndarray:
    frames = rng.integers(60, 100, (len(steer), 160, 320, 3), dtype=np.uint8)
    for frame, value in zip(frames, steer, strict=True):
        column = int(160 + value * 250)
        frame[60:, max(column - 12, 0) : column + 12] = 220
    return frames


def _arcs_ahead(steer: np.ndarray) -> np.ndarray:
    """Return (N, 6, 2) points on circles whose curvature is a fifth of the steering, 1/m."""
    distance = np.array(AHEAD_DISTANCES_M)
    angle = distance * (steer[:, None] + 1e-6) / 5.0
    radius = distance / angle
    return np.stack([radius * np.sin(angle), radius * (1.0 - np.cos(angle))], axis=-1)


def _red_lights(red: np.ndarray) -> dict[str, np.ndarray]:
    return {
        "allowed_speed_mps": np.where(red, 0.0, np.nan).astype(np.float32),
        "lead_distance_m": np.full(len(red), np.nan, np.float32),
        "lead_speed_mps": np.full(len(red), np.nan, np.float32),
        "light": red.astype(np.int8),
        "stop_line_m": np.where(red, 10.0, np.nan).astype(np.float32),
    }


def write_episode(
    data: Path,
    town: str,
    episode_id: str,
    *,
    split: str = "train",
    weather: str = "clear",
    driver: str = "expert",
    frames: int = 48,
    ahead: bool = True,
    others: bool = False,
) -> Path:
    """Write an episode and return its folder; without `ahead` as before there was that column.

    With `others` it was driven among them.
    """
    rng = np.random.default_rng([*town.encode(), *episode_id.encode()])
    steer = np.clip(rng.normal(0.0, 0.15, frames), -0.5, 0.5).astype(np.float32)
    folder = data / town / episode_id
    folder.mkdir(parents=True)
    np.save(folder / "frames.npy", _draw_frames(rng, steer))
    np.savez(
        folder / "labels.npz",
        frame=2 * np.arange(frames),
        time_s=0.1 * np.arange(frames),
        route=np.zeros(frames, np.int16),
        steer_expert=steer,
        speed_mps=rng.uniform(2.0, 9.0, frames).astype(np.float32),
        command=rng.choice([1, 2, 3, 4, 5], frames).astype(np.int8),
        in_junction=np.arange(frames) % 3 == 0,
        **({"ahead_m": _arcs_ahead(steer).astype(np.float32)} if ahead else {}),
        **(_red_lights(steer < 0.0) if others else {}),
    )
    record = {
        "schema": 1,
        "town": town,
        "weather": weather,
        "split": split,
        "driver": driver,
        "complete": True,
        "camera": asdict(PACE_CAMERA if others else AGENT_CAMERA),
    }
    (folder / "episode.json").write_text(json.dumps(record))
    return folder
