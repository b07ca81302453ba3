"""Single decisions over HTTP: the whole application of one worker, with the shipped agents."""

from __future__ import annotations

import base64
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest

from agent.loading import load_agent
from bicameral.types import AGENT_CAMERA, Observation, Pose, RoadOption, Route
from edge.dual_head import DualHeadModel
from edge.shipped import shipped_model, weights_folder
from server.limits import RequestLimits

Writer = Callable[..., Path]
Serve = Callable[..., Any]
Use = Callable[[httpx.AsyncClient], Awaitable[Any]]

PATH = "/v1/drive/caril_a"


@pytest.fixture
def serve(models: Path, write_classifier: Writer, serving_folder: Serve) -> Serve:
    """Serve the shipped agents caril_a and caril_b, and the classifier "shoes"."""
    for path in weights_folder().glob("caril_[ab].*"):
        shutil.copy(path, models)
    write_classifier(models, "shoes")
    return lambda **limits: serving_folder(models, requests=RequestLimits(**limits))


@pytest.fixture(scope="module")
def views() -> np.ndarray:
    """Six camera pictures (H, W, 3) RGB, from dark to bright, with noise."""
    rng = np.random.default_rng(3)
    level = np.linspace(8, 200, 6)[:, None, None, None]
    shape = (6, AGENT_CAMERA.height, AGENT_CAMERA.width, 3)
    return np.clip(level + rng.normal(0, 25, shape), 0, 255).astype(np.uint8)


def png(view: np.ndarray) -> bytes:
    return cv2.imencode(".png", view[..., ::-1])[1].tobytes()


def refused(answer: httpx.Response, status: int, *words: str) -> bool:
    assert answer.status_code == status, answer.text
    assert list(answer.json()) == ["error"]
    assert all(word in answer.json()["error"] for word in words), answer.text
    return True


@pytest.mark.parametrize(
    ("query", "correction", "second"),
    [
        ("correction=none", "none", None),
        ("correction=paper&seed=5", "paper", None),
        ("correction=second_opinion&second=caril_b", "second_opinion", "caril_b"),
    ],
)
async def test_it_decides_as_the_first_tick_of_an_episode_in_process_does(
    serve: Serve,
    views: np.ndarray,
    query: str,
    correction: str,
    second: str | None,
    straight_route: Callable[..., Route],
) -> None:
    async with serve() as client:
        path = f"{PATH}?speed_mps=6&command=left&target_speed_mps=8&{query}"
        found = [await client.post(path, content=png(view)) for view in views]
    local = load_agent("caril_a", correction, second)
    branches = set()
    for view, answer in zip(views, (answer.json() for answer in found), strict=True):
        left = np.full(301, int(RoadOption.LEFT), np.int8)
        local.begin(straight_route(301, command=left), seed=5)
        observation = Observation(
            frame=0, time_s=0.0, image=view, pose=Pose(x_m=0.0, y_m=0.0), speed_mps=6.0
        )
        expected = local.act(observation)
        times_s = answer.pop("times_s")
        assert answer == {
            "model": "caril_a",
            "version": "1",
            "correction": correction,
            "second": second,
            "steer": expected.control.steer,
            "throttle": expected.control.throttle,
            "brake": expected.control.brake,
            "confidence": expected.confidence,
            "entropy": expected.entropy,
            "branch": expected.branch,
            "steer_raw": expected.steer_raw,
            "diagnostics": expected.diagnostics,
        }
        assert times_s.keys() == {"decode", "decide", "networks"}
        assert all(time_s > 0 for time_s in times_s.values())
        branches.add(answer["branch"])
    assert len(branches) > 1 or correction == "none"


async def test_the_body_may_be_a_picture_a_form_or_json(serve: Serve, views: np.ndarray) -> None:
    picture = png(views[3])
    async with serve() as client:
        path = f"{PATH}?speed_mps=6"
        found = [
            await client.post(path, content=picture, headers={"Content-Type": "image/png"}),
            await client.post(path, content=picture),
            await client.post(path, json={"images": [base64.b64encode(picture).decode()]}),
            await client.post(path, files={"x": ("1.png", picture)}),
        ]
    first, *others = [answer.json() for answer in found]
    assert all(other["steer"] == first["steer"] for other in others)


async def test_the_speed_is_held_unless_another_one_is_wanted(
    serve: Serve, views: np.ndarray
) -> None:
    async with serve() as client:
        path = f"{PATH}?speed_mps=8"
        queries = ("", "&target_speed_mps=8", "&target_speed_mps=20", "&target_speed_mps=0")
        held, same, faster, stop = [
            (await client.post(path + query, content=png(views[3]))).json() for query in queries
        ]
    assert (held["throttle"], held["brake"]) == (same["throttle"], same["brake"])
    assert held["throttle"] < faster["throttle"]
    assert stop["throttle"] == 0 < stop["brake"]


WRONG_PARAMETERS: list[tuple[str, list[str]]] = [
    ("", ["speed_mps", "required"]),
    ("speed_mps=fast", ["speed_mps"]),
    ("speed_mps=nan", ["speed_mps"]),
    ("speed_mps=1e9", ["speed_mps"]),
    ("speed_mps=5&command=up", ["command", "lane_follow"]),
    ("speed_mps=5&target_speed_mps=-1", ["target_speed_mps"]),
    ("speed_mps=5&correction=magic", ["correction", "second_opinion"]),
    ("speed_mps=5&correction=second_opinion", ["needs another agent"]),
    ("speed_mps=5&correction=second_opinion&second=shoes", ["shoes", "no driving agent"]),
    ("speed_mps=5&second=caril_b", ["caril_b", "asks nobody"]),
    ("speed_mps=5&seed=-1", ["seed"]),
    ("speed_mps=5&sped=5", ["sped"]),
]


async def test_a_wrong_parameter_is_named(serve: Serve, views: np.ndarray) -> None:
    async with serve() as client:
        picture = png(views[0])
        found = [
            await client.post(f"{PATH}?{query}", content=picture) for query, _ in WRONG_PARAMETERS
        ]
    for (_, words), answer in zip(WRONG_PARAMETERS, found, strict=True):
        assert refused(answer, 400, *words)


async def test_what_is_no_picture_of_the_agents_camera_is_refused(serve: Serve) -> None:
    other = np.zeros((480, 640, 3), np.uint8)
    async with serve() as client:
        path = f"{PATH}?speed_mps=5"
        large, gif, none, two = [
            await client.post(path, content=png(other)),
            await client.post(path, content=b"GIF89a"),
            await client.post(path, json={"images": []}),
            await client.post(path, json={"images": ["AAAA", "AAAA"]}),
        ]
    assert refused(large, 415, "(480, 640, 3)", "(160, 320, 3)")
    assert refused(gif, 415, "picture 0")
    assert refused(none, 400, "no picture")
    assert refused(two, 413, "more than 1")


@pytest.mark.parametrize("limit", ["max_pixels", "max_body_bytes"])
async def test_what_is_too_large_is_refused(serve: Serve, views: np.ndarray, limit: str) -> None:
    path = f"{PATH}?speed_mps=5"
    async with serve(**{limit: 1000}) as client:
        answer = await client.post(path, content=png(views[0]))
    assert refused(answer, 413, "1,000")


async def test_a_model_that_is_absent_or_does_not_drive_is_named(serve: Serve) -> None:
    async with serve() as client:
        absent, shoes, second, no_description, of_shoes = [
            await client.post("/v1/drive/carla_a?speed_mps=5", content=b"x"),
            await client.post("/v1/drive/shoes?speed_mps=5", content=b"x"),
            await client.post(
                f"{PATH}?speed_mps=5&correction=second_opinion&second=x", content=b"x"
            ),
            await client.get("/v1/drive/carla_a"),
            await client.get("/v1/drive/shoes"),
        ]
    assert refused(absent, 404, "carla_a", "caril_a")
    assert refused(shoes, 400, "shoes", "classifier")
    assert refused(second, 404, "'x'", "caril_b")
    assert refused(no_description, 404, "carla_a", "caril_a")
    assert refused(of_shoes, 400, "shoes", "classifier")


async def test_an_agent_describes_itself(serve: Serve) -> None:
    async with serve() as client:
        found = await client.get(PATH)
    assert found.json() == {
        "model": "caril_a",
        "version": "1",
        "fingerprint": DualHeadModel.load(shipped_model("caril_a")).fingerprint,
        "trained_on": "pocket",
        "camera": {
            "width": 320,
            "height": 160,
            "fov_deg": 110.0,
            "x_m": 1.5,
            "z_m": 2.4,
            "pitch_deg": -15.0,
        },
        "commands": [option.name.lower() for option in RoadOption],
        "corrections": ["none", "paper", "second_opinion"],
        "second": ["caril_b"],
    }


async def test_requests_are_counted_for_their_model(serve: Serve, views: np.ndarray) -> None:
    async with serve() as client:
        await client.post(f"{PATH}?speed_mps=5", content=png(views[0]))
        found = (await client.get("/metrics")).text
    lines = [line for line in found.splitlines() if "inference_requests_total{" in line]
    assert any('model="caril_a"' in line and line.endswith(" 1.0") for line in lines), lines


async def test_the_document_describes_the_routes(serve: Serve) -> None:
    async with serve() as client:
        found = await client.get("/openapi.json")
    document = found.json()
    route = document["paths"]["/v1/drive/{model}"]["post"]
    content = route["requestBody"]["content"]
    assert {"image/jpeg", "multipart/form-data", "application/json"} <= set(content)
    assert content["application/json"]["schema"]["properties"]["images"]["maxItems"] == 1
    names = {parameter["name"]: parameter["required"] for parameter in route["parameters"]}
    assert {name for name, required in names.items() if required} == {"model", "speed_mps"}
    assert {"200", "400", "404", "413", "415"} <= set(route["responses"])
    assert "422" not in route["responses"]
    answer = document["components"]["schemas"]["DriveAnswer"]["properties"]
    assert {"steer", "throttle", "brake", "confidence", "entropy", "branch"} <= answer.keys()
