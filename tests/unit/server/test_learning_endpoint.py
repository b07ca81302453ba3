"""Classes over HTTP: the whole application of one worker, a real classifier with a memory."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import cv2
import httpx
import numpy as np
import pytest
from starlette.types import Scope

from server.api_keys import Right
from server.errors import RequestError
from server.limits import LearningLimits

Writer = Callable[..., Path]
Serve = Callable[..., Any]
Use = Callable[[httpx.AsyncClient], Awaitable[Any]]

CLASSES = "/v1/models/learner/classes"


def authorise(scope: Scope, right: Right) -> str:
    """Let the key "user" infer only, everybody else everything."""
    if dict(scope["headers"]).get(b"x-key") == b"user" and right == "manage":
        raise RequestError(403, "the key may not manage")
    return ""


@pytest.fixture
def serve(
    models: Path, write_classifier: Writer, write_read_out: Writer, serving_folder: Serve
) -> Serve:
    """Serve "learner" with a memory and "net" without one."""
    write_classifier(models, "net")
    write_read_out(models, "learner")
    return partial(serving_folder, models, authorise=authorise)


def png(image: np.ndarray) -> bytes:
    return cv2.imencode(".png", image)[1].tobytes()


def form(images: np.ndarray) -> dict[str, Any]:
    return {"files": [("picture", (f"{k}.png", png(image))) for k, image in enumerate(images)]}


async def label_of(client: httpx.AsyncClient, image: np.ndarray) -> str:
    answer = await client.post("/v1/classify/learner", content=png(image))
    return str(answer.json()["results"][0]["label"])


async def test_a_class_is_learned_from_pictures_and_answers_at_once(
    serve: Serve, pictures: np.ndarray
) -> None:
    async with serve() as client:
        before = (await client.get(CLASSES)).json()
        assert [entry["label"] for entry in before["classes"]] == [
            *("cat", "dog", "ship", "shoe", "tree")
        ]
        assert {entry["examples"] for entry in before["classes"]} == {3}
        answer = await client.post(f"{CLASSES}/hat/examples", **form(pictures[3:4]))
        assert answer.status_code == 200
        assert answer.json()["classes"][5] == {"label": "hat", "examples": 1, "taught": 1}
        assert await label_of(client, pictures[3]) == "hat"
        metadata = (await client.get("/v2/models/learner")).json()
        assert metadata["outputs"][0]["shape"] == [-1, 6]
        cards = {card["name"]: card for card in (await client.get("/v1/models")).json()}
        assert cards["learner"]["labels"][5] == "hat"
        assert (cards["learner"]["learns"], cards["net"]["learns"]) == (True, False)
        everything = await client.post("/v1/classify/learner?top_k=6", content=png(pictures[3]))
        assert len(everything.json()["results"][0]["top"]) == 6


async def test_pictures_also_come_alone_or_in_json_and_of_any_size(
    serve: Serve, pictures: np.ndarray
) -> None:
    async with serve() as client:
        large = cv2.resize(pictures[0], (90, 40))
        await client.post(f"{CLASSES}/hat/examples", content=png(large))
        body = {"images": [base64.b64encode(png(image)).decode() for image in pictures[:2]]}
        await client.post(f"{CLASSES}/hat/examples", json=body)
        found = (await client.get(CLASSES)).json()["classes"][5]
    assert found == {"label": "hat", "examples": 3, "taught": 3}


@pytest.mark.parametrize("label", ["T-shirt/top", "Mütze", "a b?c", "ship"])
async def test_names_may_be_what_people_call_things(
    serve: Serve, pictures: np.ndarray, label: str
) -> None:
    async with serve() as client:
        path = f"{CLASSES}/{quote(label, safe='')}"
        answer = await client.post(f"{path}/examples", content=png(pictures[0]))
        taught = {one["label"]: one["taught"] for one in answer.json()["classes"]}
        assert taught[label] == 1
        assert (await client.delete(path)).status_code == 204
        found = (await client.get(CLASSES)).json()["classes"]
    assert {one["taught"] for one in found} == {0}


async def test_what_was_learned_is_forgotten_by_class_or_altogether(
    serve: Serve, pictures: np.ndarray
) -> None:
    async with serve() as client:
        for label in ("hat", "cap", "dog"):
            await client.post(f"{CLASSES}/{label}/examples", content=png(pictures[3]))
        assert (await client.delete(f"{CLASSES}/hat")).status_code == 204
        left = {
            one["label"]: one["taught"] for one in (await client.get(CLASSES)).json()["classes"]
        }
        assert "hat" not in left
        assert (left["cap"], left["dog"]) == (1, 1)
        assert (await client.delete(CLASSES)).status_code == 204
        assert {one["taught"] for one in (await client.get(CLASSES)).json()["classes"]} == {0}
        assert await label_of(client, pictures[3]) not in ("hat", "cap")
        assert (await client.delete(CLASSES)).status_code == 204, "nothing is left to forget"


async def test_what_was_learned_comes_back_with_the_model(
    serve: Serve, pictures: np.ndarray
) -> None:
    async with serve() as client:
        await client.post(f"{CLASSES}/hat/examples", content=png(pictures[3]))
        for change in ("unload", "load"):
            assert (await client.post(f"/v2/repository/models/learner/{change}")).status_code == 200
        found = await label_of(client, pictures[3])
    assert found == "hat"


@pytest.mark.parametrize(
    ("path", "content", "status", "reason"),
    [
        ("/v1/models/net/classes/hat/examples", None, 400, "cannot learn from examples"),
        ("/v1/models/nobody/classes/hat/examples", None, 404, "unknown model 'nobody'"),
        (f"{CLASSES}/hat/examples", b"no picture", 415, "picture 0"),
        (f"{CLASSES}/%20hat/examples", None, 400, "cannot be the name of a class"),
        (f"{CLASSES}/{'x' * 65}/examples", None, 400, "at most 64 characters"),
        (f"{CLASSES}/a%7Fb/examples", None, 400, "cannot be the name of a class"),
    ],
)
async def test_what_cannot_be_learned_is_refused_and_changes_nothing(
    serve: Serve, pictures: np.ndarray, path: str, content: bytes | None, status: int, reason: str
) -> None:
    async with serve() as client:
        body = png(pictures[0]) if content is None else content
        answer = await client.post(path, content=body)
        assert (answer.status_code, reason in answer.json()["error"]) == (status, True), answer.text
        assert {one["taught"] for one in (await client.get(CLASSES)).json()["classes"]} == {0}
        assert (await client.get("/v2/health/ready")).status_code == 200


async def test_other_requests_for_what_cannot_learn_are_refused_too(serve: Serve) -> None:
    async with serve() as client:
        found = [
            (await client.get("/v1/models/net/classes")).status_code,
            (await client.delete("/v1/models/net/classes")).status_code,
            (await client.delete(f"{CLASSES}/hat")).status_code,
            (await client.get("/v1/models/nobody/classes")).status_code,
        ]
    assert found == [400, 400, 404, 404]


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        ({"max_pictures": 1}, "more than 1 pictures"),
        ({"max_classes": 1}, "would be taught 2 classes, allowed are 1"),
        ({"max_examples": 2}, "would be taught 3 examples of 'hat', allowed are 2"),
        ({"max_bytes": 64}, "would take 128 bytes, allowed are 64"),
    ],
)
async def test_what_may_be_taught_is_limited(
    serve: Serve, pictures: np.ndarray, limits: dict[str, int], reason: str
) -> None:
    label = "cap" if "max_classes" in limits else "hat"
    more = form(pictures[: 1 if {"max_classes", "max_bytes"} & limits.keys() else 2])
    async with serve(learning=LearningLimits(**limits)) as client:
        first = await client.post(f"{CLASSES}/hat/examples", content=png(pictures[0]))
        assert first.status_code == 200
        answer = await client.post(f"{CLASSES}/{label}/examples", **more)
    assert answer.status_code == 413
    assert reason in answer.json()["error"]


async def test_teaching_and_forgetting_are_management(serve: Serve, pictures: np.ndarray) -> None:
    async with serve() as client:
        user = {"X-Key": "user"}
        found = [
            (
                await client.post(f"{CLASSES}/hat/examples", content=png(pictures[0]), headers=user)
            ).status_code,
            (await client.delete(CLASSES, headers=user)).status_code,
            (await client.delete(f"{CLASSES}/dog", headers=user)).status_code,
            (await client.get(CLASSES, headers=user)).status_code,
        ]
    assert found == [403, 403, 403, 200]
