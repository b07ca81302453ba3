"""Episodes of all workers, for those who watch them from any worker."""

from __future__ import annotations

import base64
import json
import os
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from server.live_board import LiveBoard
from server.processes.run_folder import RunFolder

VIEW = np.zeros((16, 32, 3), np.uint8)
VIEW[..., 0] = 200  # red


@pytest.fixture
def boards(tmp_path: Path) -> tuple[LiveBoard, LiveBoard]:
    """Those of two workers."""
    return LiveBoard(tmp_path / "live"), LiveBoard(tmp_path / "live")


def told(board: LiveBoard, seen: dict[str, int], audience: str = "all") -> list[tuple[str, Any]]:
    return [(event.kind, json.loads(event.data)) for event in board.news(audience, seen)]


def test_an_episode_of_one_worker_is_seen_in_another(boards: tuple[LiveBoard, LiveBoard]) -> None:
    seen: dict[str, int] = {}
    assert told(boards[1], seen) == []
    episode = boards[0].episode("all", {"route": "bend"})
    episode.show(VIEW, {"frame": 3, "steer": 0.1})
    ((kind, shown),) = told(boards[1], seen)
    picture = shown.pop("picture").removeprefix("data:image/jpeg;base64,")
    stream = shown.pop("stream")
    assert (kind, shown) == ("tick", {"route": "bend", "frame": 3, "steer": 0.1})
    decoded = cv2.imdecode(np.frombuffer(base64.b64decode(picture), np.uint8), cv2.IMREAD_COLOR_RGB)
    assert decoded.shape == VIEW.shape
    assert np.abs(decoded.astype(int) - VIEW).max() < 8
    assert told(boards[1], seen) == [], "nothing is told twice"
    episode.close()
    assert told(boards[1], seen) == [("end", {"stream": stream})]
    assert told(boards[1], seen) == []


def test_nothing_is_written_while_nobody_watches(
    boards: tuple[LiveBoard, LiveBoard], tmp_path: Path
) -> None:
    boards[0].episode("all", {}).show(VIEW, {})
    assert not (tmp_path / "live").exists()
    told(boards[1], {})
    (watched,) = (tmp_path / "live").iterdir()
    a_minute_ago_s = time.time() - 60
    os.utime(watched, (a_minute_ago_s, a_minute_ago_s))
    boards[0].episode("all", {}).show(VIEW, {})
    assert list((tmp_path / "live").iterdir()) == [watched]


def test_an_episode_is_not_shown_at_every_tick(
    boards: tuple[LiveBoard, LiveBoard], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.live_board.SHOW_EVERY_S", 3600.0)
    seen: dict[str, int] = {}
    told(boards[0], seen)
    episode = boards[0].episode("all", {})
    for frame in range(3):
        episode.show(VIEW, {"frame": frame})
    assert [shown["frame"] for _, shown in told(boards[0], seen)] == [0]


def test_each_audience_sees_its_own_episodes(boards: tuple[LiveBoard, LiveBoard]) -> None:
    told(boards[0], {}, "alice")
    told(boards[0], {}, "bob")
    boards[0].episode("alice", {"route": "secret"}).show(VIEW, {})
    assert [shown["route"] for _, shown in told(boards[1], {}, "alice")] == ["secret"]
    assert told(boards[1], {}, "bob") == []


def test_what_a_killed_worker_has_left_ends(
    boards: tuple[LiveBoard, LiveBoard], tmp_path: Path
) -> None:
    seen: dict[str, int] = {}
    told(boards[1], seen)
    boards[0].episode("all", {}).show(VIEW, {})
    assert [kind for kind, _ in told(boards[1], seen)] == ["tick"]
    (shown,) = (tmp_path / "live").glob("*.shown")
    a_minute_ago_s = time.time() - 60
    os.utime(shown, (a_minute_ago_s, a_minute_ago_s))
    assert [kind for kind, _ in told(boards[1], seen)] == ["end"]
    folder = RunFolder(path=tmp_path)
    folder.forget_worker(os.getpid() + 1)
    assert shown.exists(), "it is another worker's"
    folder.forget_worker(os.getpid())
    assert not shown.exists()


def test_an_episode_goes_on_where_it_cannot_be_shown(
    boards: tuple[LiveBoard, LiveBoard], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    told(boards[1], {})
    episode = boards[0].episode("all", {})
    next((tmp_path / "live").iterdir()).with_name(episode._shown.name).mkdir()
    episode.show(VIEW, {})
    assert "cannot be shown" in caplog.text
