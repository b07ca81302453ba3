"""Agents that see the path in the server: what they tell, an episode, and what is refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from agent.loading import load_agent
from bicameral.types import AGENT_CAMERA, Observation, Pose
from edge.shipped import weights_folder
from server.app import create_app
from server.limits import ServerSettings
from tests.path_network import peaked_logits, write_path_network
from tests.unit.server.test_drive_stream import Socket, begin_message, bend, tick_message

VIEW = np.full((AGENT_CAMERA.height, AGENT_CAMERA.width, 3), 90, np.uint8)
PNG = cv2.imencode(".png", VIEW)[1].tobytes()


@pytest.fixture
def folder(models: Path) -> Path:
    """The path networks "bend" and "straight", which differ, and the agent caril_a."""
    write_path_network(models, "bend", offsets=(0.1, 0.3, 0.8, 1.7, 4.0))
    write_path_network(models, "straight", logits=peaked_logits(6, 0.8))
    for path in weights_folder().glob("caril_a.*"):
        shutil.copy(path, models)
    return models


@pytest.mark.parametrize("second", [None, "straight"])
async def test_a_fused_episode_is_the_same_as_in_process(
    folder: Path, serving_app: Callable[..., Any], second: str | None
) -> None:
    apps = []

    def make(run_folder: Any) -> Any:
        apps.append(create_app(ServerSettings(), [folder], run_folder, None))
        return apps[0]

    begin = begin_message(seed=7, correction="fusion", second=second)
    async with serving_app(make):
        async with Socket(apps[0], "/v1/drive/bend/stream") as socket:
            begun = await socket.ask(begin)
            found = [await socket.ask(tick_message(tick), VIEW.tobytes()) for tick in range(5)]
    assert (begun["correction"], begun["second"]) == ("fusion", second)
    paths = [None if one is None else folder / f"{one}.onnx" for one in ("bend", second)]
    agent = load_agent(paths[0], "fusion", paths[1])
    agent.begin(bend(), seed=7)
    for tick, answer in enumerate(found):
        message = tick_message(tick)
        decision = agent.act(
            Observation(
                frame=tick,
                time_s=message["time_s"],
                image=VIEW,
                pose=Pose(**message["pose"]),
                speed_mps=message["speed_mps"],
            )
        )
        assert answer["steer"] == decision.control.steer
        assert answer["diagnostics"] == decision.diagnostics
        assert answer["diagnostics"]["asked_b"] == float(second is not None)
        assert 0.0 < answer["diagnostics"]["map_weight_10m"] < 1.0


async def test_an_agent_tells_its_corrections_and_whom_it_may_ask(
    folder: Path, serving_folder: Callable[..., Any]
) -> None:
    async with serving_folder(folder) as client:
        path = (await client.get("/v1/drive/bend")).json()
        steering = (await client.get("/v1/drive/caril_a")).json()
    assert path["corrections"] == ["none", "paper", "second_opinion", "fusion"]
    assert path["second"] == ["straight"]
    assert steering["corrections"] == ["none", "paper", "second_opinion"]
    assert steering["second"] == []


async def test_one_picture_gets_one_control(
    folder: Path, serving_folder: Callable[..., Any]
) -> None:
    query = "?speed_mps=6&command=left&target_speed_mps=8"
    async with serving_folder(folder) as client:
        alone = (await client.post(f"/v1/drive/bend{query}", content=PNG)).json()
        refusals = [
            await client.post(f"/v1/drive/{model}{query}&{words}", content=PNG)
            for model, words in (
                ("bend", "correction=fusion"),
                ("bend", "correction=second_opinion"),
                ("bend", "correction=second_opinion&second=caril_a"),
                ("caril_a", "correction=fusion"),
            )
        ]
    assert alone["steer"] == alone["steer_raw"] > 0.0
    assert alone["diagnostics"]["offset_10m"] == pytest.approx(0.8, abs=1e-6)
    words = [
        "needs the map's route",
        "needs another agent",
        "cannot drive together",
        "unknown correction 'fusion'",
    ]
    for refusal, expected in zip(refusals, words, strict=True):
        assert 400 <= refusal.status_code < 500
        assert expected in refusal.json()["error"]
