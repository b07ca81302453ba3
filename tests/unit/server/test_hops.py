"""A request, and a camera's picture, find their way through few files: one can follow them."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

import bicameral
from agent.loading import load_agent
from bicameral.types import Observation, Pose, Route
from edge.shipped import weights_folder
from server.app import create_app
from server.limits import BatchLimits, ServerSettings

ROOT = Path(bicameral.__file__).parents[1]
PACKAGES = tuple(f"{ROOT / name}/" for name in ("agent", "bicameral", "edge", "models", "server"))

CASCADE = "fashion_mnist_cascade"
MEMBERS = ("fashion_mnist_squeeze16_s", "fashion_mnist_wide_residual32")


class Hops:
    """Counts the calls of functions of this project, and the files that they are in."""

    def __init__(self) -> None:
        self.files: list[str] = []

    @property
    def counts(self) -> tuple[int, int]:
        """Distinct files, and calls."""
        return len(set(self.files)), len(self.files)

    @contextmanager
    def counted(self) -> Iterator[None]:
        self.files.clear()
        sys.setprofile(self._note)
        try:
            yield
        finally:
            sys.setprofile(None)

    def _note(self, frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(PACKAGES):
            self.files.append(frame.f_code.co_filename.removeprefix(f"{ROOT}/"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a shipped cascade."""
    models = tmp_path / "models"
    models.mkdir()
    for path in weights_folder().iterdir():
        if path.name.startswith((f"{CASCADE}.", *MEMBERS)):
            shutil.copy(path, models)
    return models


def noise(seed: int) -> NDArray[np.uint8]:
    """A picture of nothing; of that of seed 25 A is so little sure that both members are asked."""
    return np.random.default_rng(seed).integers(0, 256, (28, 28), np.uint8)


def trousers(_: int) -> NDArray[np.uint8]:
    """Always the same picture, which the cascade is sure of and remembers."""
    pixels = np.zeros((28, 28), np.uint8)
    pixels[:, 9:12] = pixels[:, 16:19] = pixels[:4, 9:19] = 180
    return pixels


@pytest.mark.parametrize(("draw", "stage"), [(noise, "b"), (trousers, "memory")])
async def test_a_request_becomes_a_label_in_22_files_and_120_calls(
    serving_app: Callable[..., Any],
    folder: Path,
    draw: Callable[[int], NDArray[np.uint8]],
    stage: str,
) -> None:
    hops = Hops()
    # However busy the machine was when it measured what a run costs: on the loop, as when idle.
    settings = ServerSettings(batching=BatchLimits(in_place_s=1.0))
    async with serving_app(lambda run_folder: create_app(settings, [folder], run_folder)) as client:
        for seed in (23, 24, 25):
            content = cv2.imencode(".png", draw(seed))[1].tobytes()
            with hops.counted():
                answer = await client.post(f"/v1/classify/{CASCADE}", content=content)
            assert answer.status_code == 200
        assert answer.json()["results"][0]["trace"]["stage"] == stage
    files, calls = hops.counts
    assert files <= 22, sorted(set(hops.files))
    assert calls <= 120


def test_a_picture_becomes_a_control_in_13_files_and_62_calls(
    straight_route: Callable[..., Route],
) -> None:
    hops = Hops()
    agent = load_agent("caril_a", "second_opinion", "caril_b")
    agent.begin(straight_route(), 0)
    image = np.full((160, 320, 3), 120, np.uint8)
    image[::2] = 60
    for frame in range(3):
        pose = Pose(x_m=float(frame), y_m=0.0)
        observation = Observation(
            frame=frame, time_s=frame * 0.05, image=image, pose=pose, speed_mps=5.0
        )
        with hops.counted():
            agent.act(observation)
    agent.close()
    files, calls = hops.counts
    assert files <= 13, sorted(set(hops.files))
    assert calls <= 62
