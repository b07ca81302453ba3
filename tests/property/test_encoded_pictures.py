"""Properties of reading pictures from strangers."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bicameral.errors import DataError
from edge.encoded_pictures import read_encoded_picture
from edge.pictures import decode_picture
from edge.sidecar import ImageSpec

pytestmark = pytest.mark.property

SPEC = ImageSpec(
    height=4, width=4, color="RGB", scale=1 / 255, mean=(0.5, 0.5, 0.5), std=(0.2, 0.2, 0.2)
)
PIXELS = np.random.default_rng(0).integers(0, 256, (9, 7, 4), np.uint8)
FILES = [bytes(cv2.imencode(suffix, PIXELS)[1]) for suffix in (".png", ".webp", ".bmp")]
FILES.append(bytes(cv2.imencode(".jpg", PIXELS[..., :3])[1]))
STARTS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\x40\0\0\0WEBP", b"BM", b"")


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(STARTS), st.binary(max_size=120))
def test_any_bytes_are_a_picture_or_a_clear_error(start: bytes, rest: bytes) -> None:
    try:
        picture = read_encoded_picture(start + rest)
    except DataError:
        return
    assert picture.width > 0
    assert picture.height > 0
    assert 1 <= picture.orientation <= 8


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(FILES),
    st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), min_size=1, max_size=4),
    st.integers(0, 40),
)
def test_a_damaged_picture_decodes_to_its_size_or_to_a_clear_error(
    data: bytes, changes: list[tuple[int, int]], cut: int
) -> None:
    damaged = bytearray(data)
    for place, value in changes:
        damaged[place % len(data)] = value
    try:
        decoded = decode_picture(bytes(damaged[: len(data) - cut]), SPEC, max_pixels=10_000)
    except DataError:
        return
    assert decoded.ndim == 3
    assert decoded.shape[2] == 3
