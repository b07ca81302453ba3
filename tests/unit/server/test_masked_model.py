"""A served classifier of pictures of which a part is missing: transparent, or black in a mask."""

from __future__ import annotations

import cv2
import httpx
import numpy as np
import pytest

from edge.loading import load_classifier
from edge.masked_classifier import MaskedClassifier
from tests.masked_model import pictures_of_two_classes

HIDDEN = np.s_[3:9, 2:7]


def png(image: np.ndarray) -> bytes:
    return cv2.imencode(".png", image)[1].tobytes()


def transparent(image: np.ndarray) -> bytes:
    """Encode a grey image (12, 12, 1) whose hidden part is transparent."""
    picture = np.dstack([image, image, image, np.full_like(image, 255)])
    picture[(*HIDDEN, 3)] = 0
    return png(picture)


def mask() -> bytes:
    seen = np.full((12, 12), 255, np.uint8)
    seen[HIDDEN] = 0
    return png(seen)


def pixels(answer: httpx.Response) -> np.ndarray:
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    return cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_GRAYSCALE)


async def test_a_transparent_picture_is_answered_and_filled_in_as_the_classifier_does(
    masked_model, serving_folder
):
    images, seen = pictures_of_two_classes(1), np.ones((1, 12, 12), bool)
    seen[0][HIDDEN] = False
    model = load_classifier(masked_model)
    assert isinstance(model, MaskedClassifier)
    expected, completed = model.predict_masked(images, seen)
    form = {"picture": ("a.png", png(images[0])), "mask": ("m.png", mask())}
    async with serving_folder(masked_model.parent) as client:
        by_alpha = await client.post("/v1/classify/masked", content=transparent(images[0]))
        by_mask = await client.post("/v1/classify/masked", files=form)
        filled = await client.post("/v1/complete/masked", content=transparent(images[0]))
        filled_by_mask = await client.post("/v1/complete/masked", files=form)
        cards = (await client.get("/v1/models")).json()
    for answer in (by_alpha, by_mask):
        result = answer.json()["results"][0]
        assert result["confidence"] == pytest.approx(float(expected.confidence[0]), abs=1e-5)
    for answer in (filled, filled_by_mask):
        np.testing.assert_array_equal(pixels(answer), completed[0, ..., 0])
    assert [card["completes"] for card in cards] == [True]


async def test_a_mask_is_refused_where_it_would_mean_nothing(models, write_pair, serving_folder):
    write_pair(models)
    form = {"picture": ("a.png", mask()), "mask": ("m.png", mask())}
    async with serving_folder(models) as client:
        refused = await client.post("/v1/classify/pair", files=form)
        alone = await client.post("/v1/classify/pair", files={"mask": ("m.png", mask())})
        unable = await client.post("/v1/complete/pair", content=mask())
    assert (refused.status_code, alone.status_code, unable.status_code) == (400, 400, 400)
    assert "takes no mask" in refused.text
    assert "a mask and no picture" in alone.text
    assert "cannot fill in pictures" in unable.text
