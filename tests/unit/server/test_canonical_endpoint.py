"""What a model sees, and what it says of itself: the endpoints that stand behind the web page."""

from __future__ import annotations

import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest

from edge.loading import load_classifier
from edge.pictures import decode_picture
from edge.shipped import weights_folder
from edge.sidecar import read_sidecar
from server.http.canonical import png_of
from server.limits import RequestLimits

Use = Callable[[httpx.AsyncClient], Awaitable[Any]]


@pytest.fixture
def folder(models: Path, write_pair) -> Path:
    """A cascade and its members."""
    write_pair(models, memory=None)
    return models


@pytest.fixture
def agent(folder: Path) -> Path:
    """A driving agent beside them."""
    for path in weights_folder().glob("caril_a.*"):
        shutil.copy(path, folder)
    return folder / "caril_a.bicameral.json"


@pytest.fixture
def serve(folder: Path, serving_folder):
    return lambda **limits: serving_folder(folder, requests=RequestLimits(**limits))


def encoded(image: np.ndarray) -> bytes:
    return cv2.imencode(".png", image)[1].tobytes()


async def test_the_canonical_image_is_what_the_model_computes_from(serve, folder):
    picture = encoded(np.random.default_rng(5).integers(0, 256, (61, 47, 3), np.uint8))
    async with serve() as client:
        answer = await client.post("/v1/canonical/pair", content=picture)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    assert answer.headers["cache-control"] == "no-store"
    seen = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_UNCHANGED)
    model = load_classifier(folder / "pair.bicameral.json", memory="none")
    expected = model.prepare([decode_picture(picture, model.info.image)])[0]
    np.testing.assert_array_equal(seen.reshape(expected.shape), expected)


@pytest.mark.parametrize("color", ["RGB", "BGR"])
def test_colours_come_in_their_places(color):
    image = np.zeros((4, 6, 3), np.uint8)
    image[:, :, color.index("R")] = 200
    decoded = cv2.imdecode(np.frombuffer(png_of(image, color), np.uint8), cv2.IMREAD_COLOR_RGB)
    np.testing.assert_array_equal(decoded[0, 0], [200, 0, 0])


async def test_looking_is_not_counted_as_answering(serve):
    async with serve() as client:
        await client.post("/v1/canonical/pair", content=encoded(np.zeros((8, 8), np.uint8)))
        found = (await client.get("/metrics")).text
    assert "inference_requests_total{" not in found


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("nothing", b"x", 404, "pair"),
        ("pair", b"no picture", 415, "picture 0"),
        ("pair", b"x" * 5000, 413, "4,096"),
    ],
)
async def test_what_cannot_be_seen_is_refused_with_the_reason(serve, path, body, status, words):
    async with serve(max_body_bytes=4096) as client:
        answer = await client.post(f"/v1/canonical/{path}", content=body)
    assert answer.status_code == status
    assert words in answer.json()["error"]


async def test_a_driving_agent_is_no_classifier(serve, agent):
    async with serve() as client:
        answer = await client.post("/v1/canonical/caril_a", content=b"x")
    assert answer.status_code == 400
    assert "no classifier but 'agent'" in answer.json()["error"]


async def test_models_tell_what_they_are(serve, folder, agent):
    async with serve() as client:
        found = (await client.get("/v1/models")).json()
    cards = {card["name"]: card for card in found}
    assert list(cards) == ["a", "b", "caril_a", "pair"]
    pair = read_sidecar(folder / "pair.bicameral.json")
    assert cards["pair"]["kind"] == "cascade"
    assert cards["pair"]["cascade"]["a"] == "a"
    assert cards["pair"]["cascade"]["threshold"] == pair.cascade.thresholds[0]
    assert cards["pair"]["labels"] == list(pair.labels)
    assert cards["pair"]["image"] == {
        "height": pair.input.image.height,
        "width": pair.input.image.width,
        "color": "GRAY",
        "invert": False,
    }
    assert cards["a"]["cascade"] is None
    driving = read_sidecar(agent)
    assert cards["caril_a"]["image"] is None
    assert cards["caril_a"]["limits"] == driving.limits
    assert [claim["value"] for claim in cards["caril_a"]["claims"]] == [
        claim.value for claim in driving.claims
    ]
