"""A picture of which a part is transparent, at a model that fills it in."""

from __future__ import annotations

from pathlib import Path

import cv2
import httpx
import numpy as np
from playwright.sync_api import expect


def test_the_page_shows_the_picture_that_the_model_filled_in(
    masked_model: Path, start_site, open_page, upload
):
    site = start_site(masked_model.parent)
    picture = np.full((36, 36, 4), 200, np.uint8)
    picture[..., 3] = 255
    picture[9:27, 6:21, 3] = 0
    encoded = cv2.imencode(".png", picture)[1].tobytes()
    page = open_page(at=site)
    expect(page.locator("#model")).to_have_value("masked")
    expect(page.locator("#completed-figure")).to_be_hidden()
    upload(page, encoded)
    expect(page.locator("#completed-figure")).to_be_visible()
    shown = page.locator("#completed").evaluate(
        """async (image) => {
            await image.decode();
            const canvas = document.createElement("canvas");
            [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
            const context = canvas.getContext("2d");
            context.drawImage(image, 0, 0);
            const data = context.getImageData(0, 0, canvas.width, canvas.height).data;
            return [...data].filter((_, place) => place % 4 === 0);
        }"""
    )
    answer = httpx.post(f"{site.url}v1/complete/masked", content=encoded, timeout=60.0)
    content = np.frombuffer(answer.raise_for_status().content, np.uint8)
    expected = cv2.imdecode(content, cv2.IMREAD_GRAYSCALE)
    np.testing.assert_array_equal(np.array(shown).reshape(12, 12), expected)
