"""One picture to look at before training on a data set: sample frames and label histograms."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from bicameral.files import write_bytes_atomic
from bicameral.types import RoadOption
from sim.collection.storage import StoredEpisode, find_stored_episodes

COLUMNS, ROWS = 6, 8
_TILE_W, _TILE_H = 320, 160
_PLOT_H = 240
_INK = (40, 40, 40)
_BAR = (200, 130, 60)
_ARROW = {True: (60, 60, 230), False: (80, 200, 80)}


def write_contact_sheet(data: Path, path: Path) -> None:
    """Draw the contact sheet of a data set into a PNG file.

    Args:
        data: Folder that `sim.collection.collect.collect` filled.
        path: Where the picture goes.

    Raises:
        DataError: If there is no complete episode.
    """
    episodes = find_stored_episodes(data)
    sheet = np.vstack([draw_frames(episodes), draw_histograms(episodes)])
    _, encoded = cv2.imencode(".png", sheet)
    write_bytes_atomic(path, encoded.tobytes())


def draw_frames(episodes: list[StoredEpisode]) -> NDArray[np.uint8]:
    """Return a grid of frames from all over the episodes, (H, W, 3) uint8 BGR.

    Each bears its label as an arrow (red when the applied steering was another), its command, its
    speed and its distance from the lane centre.
    """
    rng = np.random.default_rng(0)
    chosen = [
        episodes[i] for i in np.linspace(0, len(episodes) - 1, COLUMNS * ROWS).round().astype(int)
    ]
    tiles = []
    for episode in chosen:
        frames, labels = episode.frames, episode.labels
        if len(frames) == 0:
            tiles.append(np.zeros((_TILE_H, _TILE_W, 3), np.uint8))
            continue
        row = int(rng.integers(len(frames)))
        picture = cv2.cvtColor(np.array(frames[row]), cv2.COLOR_RGB2BGR)
        values = {name: column[row] for name, column in labels.items()}
        tiles.append(_annotate(picture, values, episode.record))
    grid = [np.hstack(tiles[i : i + COLUMNS]) for i in range(0, len(tiles), COLUMNS)]
    return np.asarray(np.vstack(grid), dtype=np.uint8)


def draw_histograms(episodes: list[StoredEpisode]) -> NDArray[np.uint8]:
    """Return bars of steering, speed, errors, commands and origins, (H, W, 3) uint8 BGR."""
    columns = [episode.labels for episode in episodes]
    merged = {
        name: np.concatenate([labels[name] for labels in columns])
        for name in ("steer_expert", "speed_mps", "cross_track_m", "heading_error_rad", "command")
    }
    origins: Counter[str] = Counter()
    for episode in episodes:
        record = episode.record
        origins[f"{record['town']} {record['weather']} {record['split']}"] += record["frames"]
    names = {int(option): option.name.lower() for option in RoadOption}
    commands = Counter(names[int(value)] for value in merged["command"])
    total = len(merged["command"])
    plots = [
        _plot_bins("steer_expert", merged["steer_expert"], np.linspace(-0.6, 0.6, 61)),
        _plot_bins("speed_mps", merged["speed_mps"], np.linspace(0.0, 28.0, 57)),
        _plot_bins("cross_track_m", merged["cross_track_m"], np.linspace(-2.0, 2.0, 61)),
        _plot_bins("heading_error_rad", merged["heading_error_rad"], np.linspace(-0.5, 0.5, 61)),
        _plot_counts(f"command, {total} frames", commands),
        _plot_counts(f"origin, {len(episodes)} episodes", origins),
    ]
    return np.asarray(np.hstack(plots), dtype=np.uint8)


def _annotate(
    picture: NDArray[Any], values: dict[str, Any], record: dict[str, Any]
) -> NDArray[np.uint8]:
    angle = float(values["steer_expert"]) * math.radians(70.0)
    root = (_TILE_W // 2, _TILE_H - 8)
    tip = (round(root[0] + 45 * math.sin(angle)), round(root[1] - 45 * math.cos(angle)))
    cv2.arrowedLine(picture, root, tip, _ARROW[bool(values["perturbed"])], 2, cv2.LINE_AA)
    command = RoadOption(int(values["command"])).name.lower()
    lines = (
        f"{record['town']} {record['weather']} {record['driver']}",
        f"{command} {values['speed_mps']:.1f} m/s steer {values['steer_expert']:+.3f} "
        f"off {values['cross_track_m']:+.2f} m",
    )
    for number, text in enumerate(lines):
        _write(picture, text, (4, 12 + 13 * number), (255, 255, 255))
    return np.asarray(picture, dtype=np.uint8)


def _plot_bins(title: str, values: NDArray[Any], edges: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Draw a histogram with square-root heights, so that rare values can be seen."""
    plot = np.full((_PLOT_H, _TILE_W, 3), 255, np.uint8)
    counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
    heights = np.sqrt(counts / max(int(counts.max()), 1)) * (_PLOT_H - 50)
    width = (_TILE_W - 20) / len(counts)
    for i, height in enumerate(heights):
        left, right = round(10 + i * width), round(10 + (i + 1) * width) - 1
        cv2.rectangle(plot, (left, _PLOT_H - 20 - round(height)), (right, _PLOT_H - 20), _BAR, -1)
    _write(plot, f"{title} (square root of counts)", (8, 14), _INK)
    _write(plot, f"{edges[0]:g}", (8, _PLOT_H - 6), _INK)
    _write(plot, f"{edges[-1]:g}", (_TILE_W - 40, _PLOT_H - 6), _INK)
    return plot


def _plot_counts(title: str, counts: Counter[str]) -> NDArray[np.uint8]:
    plot = np.full((_PLOT_H, _TILE_W, 3), 255, np.uint8)
    _write(plot, title, (8, 14), _INK)
    most = max(counts.values(), default=1)
    shown = counts.most_common((_PLOT_H - 30) // 14)
    for number, (name, count) in enumerate(sorted(shown)):
        top = 24 + 14 * number
        cv2.rectangle(plot, (8, top), (8 + round(150 * count / max(most, 1)), top + 11), _BAR, -1)
        _write(plot, f"{name} {count}", (12, top + 10), _INK)
    return plot


def _write(
    picture: NDArray[Any], text: str, place: tuple[int, int], colour: tuple[int, int, int]
) -> None:
    if colour != _INK:  # a dark rim keeps light letters legible on a light sky
        cv2.putText(picture, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.36, (0, 0, 0), 3, cv2.LINE_AA)
    cv2.putText(picture, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.36, colour, 1, cv2.LINE_AA)
