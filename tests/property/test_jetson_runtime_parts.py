"""The parts of the Jetson runtime give the same bits as those of the project, for any input."""

from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from bicameral.types import Prediction
from edge.combination import COMBINATIONS
from edge.jetson import bicameral_jetson as runtime
from edge.memory.local import LocalMemory
from edge.memory.settings import MemorySettings
from edge.pictures import decode_picture
from edge.preprocessing import (
    canonical_from_picture,
    picture_statistics,
    tensor_from_canonical,
)
from edge.probabilities import SCORES, calibrated_probabilities
from edge.sidecar import ImageSpec

pytestmark = pytest.mark.property

_SEEDS = st.integers(0, 2**32 - 1)


def _spec(color: str, height: int = 8, width: int = 12, **others: object) -> ImageSpec:
    channels = 1 if color == "GRAY" else 3
    return ImageSpec(
        height=height,
        width=width,
        color=color,  # type: ignore[arg-type]
        scale=1 / 255,
        mean=(0.4,) * channels,
        std=(0.3,) * channels,
        **others,  # type: ignore[arg-type]
    )


def _theirs(spec: ImageSpec) -> object:
    """The runtime's description of a picture."""
    return runtime.ImageSpec(*(getattr(spec, name) for name in runtime.ImageSpec._fields))


@settings(deadline=None, max_examples=50)
@given(
    seed=_SEEDS,
    rows=st.integers(1, 70),
    columns=st.integers(1, 70),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    color=st.sampled_from(["GRAY", "RGB"]),
    invert=st.booleans(),
    aspect=st.sampled_from(["stretch", "crop"]),
)
def test_cropping_resizing_and_scaling(
    seed: int,
    rows: int,
    columns: int,
    height: int,
    width: int,
    color: str,
    invert: bool,
    aspect: str,
):
    rng = np.random.default_rng(seed)
    if seed % 3 == 0:  # halving has a way of its own
        rows, columns = 2 * height, 2 * width
    crop = (columns // 4, rows // 4, columns, rows) if seed % 2 and seed % 3 else None
    spec = _spec(color, height, width, invert=invert, crop=crop, aspect=aspect)
    picture = rng.integers(0, 256, (rows, columns, spec.channels), np.uint8)
    canonical = canonical_from_picture(picture, spec)
    theirs = runtime.canonical_from_picture(picture, _theirs(spec))
    np.testing.assert_array_equal(theirs, canonical)
    tensor = runtime.tensor_from_canonical(canonical, _theirs(spec))
    np.testing.assert_array_equal(tensor, tensor_from_canonical(canonical[None], spec))
    assert tensor.dtype == np.float32
    assert runtime.picture_statistics(canonical) == picture_statistics(canonical)


@settings(deadline=None, max_examples=50)
@given(
    logits=arrays(
        np.float32, st.tuples(st.just(2), st.integers(2, 12)), elements=st.floats(-30, 30, width=32)
    ),
    temperature=st.floats(0.1, 10),
    score=st.sampled_from(sorted(SCORES)),
    combination=st.sampled_from(sorted(COMBINATIONS)),
)
def test_probabilities_scores_and_combinations(
    logits: NDArray[np.float32], temperature: float, score: str, combination: str
):
    both = [calibrated_probabilities(row[None], temperature) for row in logits]
    for row, expected in zip(logits, both, strict=True):
        found = runtime.softmax(row[None], temperature).astype(np.float32)
        np.testing.assert_array_equal(found, expected)
    scores = [SCORES[score](one) for one in both]  # type: ignore[index]
    np.testing.assert_array_equal([runtime.SCORES[score](one) for one in both], scores)
    expected = COMBINATIONS[combination](*both, *scores)  # type: ignore[index]
    found = runtime.COMBINATIONS[combination](*both, *scores)
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == expected.dtype


@settings(deadline=None, max_examples=50)
@given(
    seed=_SEEDS,
    key=st.sampled_from(["exact", "dhash_verified"]),
    channels=st.sampled_from([1, 3]),
    max_entries=st.integers(1, 12),
    max_age_s=st.one_of(st.none(), st.floats(1, 20)),
    tolerance=st.floats(0, 20),
)
def test_a_memory_recalls_and_forgets_the_same(
    seed: int,
    key: str,
    channels: int,
    max_entries: int,
    max_age_s: float | None,
    tolerance: float,
):
    settings = {
        "key": key,
        "tolerance_mae_u8": tolerance,
        "max_entries": max_entries,
        "max_age_s": max_age_s,
        "store_min_confidence": 0.5,
    }
    now_s = [0.0]
    wanted = MemorySettings(**settings)  # type: ignore[arg-type]
    ours = LocalMemory(wanted, always=True, clock=lambda: now_s[0])
    theirs = runtime.ResultMemory(settings, clock=lambda: now_s[0])
    rng = np.random.default_rng(seed)
    scenes = rng.integers(0, 256, (4, 12, 12, channels), np.uint8)
    for step in range(40):
        now_s[0] += float(rng.random())
        noise = rng.integers(-3, 4, scenes.shape[1:]) * int(rng.integers(0, 2))
        image = np.clip(scenes[rng.integers(4)] + noise, 0, 255).astype(np.uint8)
        if rng.integers(4) == 0:
            image = np.zeros_like(image) + np.uint8(step % 5)  # many share this key
        known = ours.lookup("", image[None])[0]
        found = theirs.lookup(image)
        assert (known is None) == (found is None)
        if known is not None:
            np.testing.assert_array_equal(found.probabilities, known.probabilities)
            continue
        top = np.float32(rng.random())
        answer = np.array([[top, 1 - top]], np.float32)
        ours.store("", image[None], Prediction(probabilities=answer, confidence=answer[:, 0]))
        theirs.store(image, runtime.Answer(answer, answer[:, 0], "a", 0.5))
    counters = ours.counters()
    assert (theirs.counts["hits"], theirs.counts["stored"]) == (counters.hits, counters.stored)


@settings(deadline=None, max_examples=50)
@given(
    seed=_SEEDS,
    size=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    channels=st.integers(1, 4),
    color=st.sampled_from(["GRAY", "RGB", "BGR"]),
    invert=st.booleans(),
)
def test_every_filter_and_colour_type_of_a_png(
    seed: int, size: tuple[int, int], channels: int, color: str, invert: bool
):
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (*size, channels), np.uint8)
    png = _png(pixels, rng.integers(0, 5, size[0]).tolist())
    spec = _spec(color, invert=invert)
    np.testing.assert_array_equal(
        runtime.decode_picture(png, _theirs(spec)), decode_picture(png, spec)
    )


def _png(pixels: NDArray[np.uint8], filters: list[int]) -> bytes:
    """Write a PNG whose rows have these filters (PNG specification, 9)."""
    height, width, channels = pixels.shape
    padded = np.zeros((height + 1, width + 1, channels), np.int64)
    padded[1:, 1:] = pixels
    rows = b""
    for row, kind in enumerate(filters, 1):
        left, up, corner = padded[row, :-1], padded[row - 1, 1:], padded[row - 1, :-1]
        near = np.stack(
            [np.abs(up - corner), np.abs(left - corner), np.abs(left + up - 2 * corner)]
        )
        paeth = np.choose(near.argmin(axis=0), [left, up, corner])
        guess = [0 * left, left, up, (left + up) // 2, paeth][kind]
        rows += bytes([kind]) + ((padded[row, 1:] - guess) & 255).astype(np.uint8).tobytes()
    header = struct.pack(">IIBBBBB", width, height, 8, (0, 4, 2, 6)[channels - 1], 0, 0, 0)
    parts = ((b"IHDR", header), (b"tEXt", b"a\0b"), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    chunks = (
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@settings(deadline=None, max_examples=50)
@given(seed=_SEEDS, color=st.sampled_from(["GRAY", "RGB", "BGR"]), channels=st.sampled_from([1, 3]))
def test_pnm_and_jpeg(seed: int, color: str, channels: int):
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (9, 13, channels), np.uint8)
    spec = _spec(color)
    kind = b"P5" if channels == 1 else b"P6"
    expected = decode_picture(cv2.imencode(".png", pixels[..., ::-1])[1].tobytes(), spec)
    for head in (b" 13 9 255\n", b"\n# a comment\n13   9\n# more\n# yet more\n255\n"):
        found = runtime.decode_picture(kind + head + pixels.tobytes(), _theirs(spec))
        np.testing.assert_array_equal(found, expected)
    jpeg = cv2.imencode(".jpg", pixels)[1].tobytes()
    np.testing.assert_array_equal(
        runtime.decode_picture(jpeg, _theirs(spec)), decode_picture(jpeg, spec)
    )


@settings(deadline=None, max_examples=50)
@given(
    data=st.binary(max_size=80), start=st.sampled_from([b"", b"P6 3 3 255\n", b"\x89PNG\r\n\x1a\n"])
)
def test_damaged_pictures_are_errors_of_the_runtime(data: bytes, start: bytes):
    end = struct.pack(">I4sI", 0, b"IEND", zlib.crc32(b"IEND"))
    content = start + data + (end if start.startswith(b"\x89") else b"")
    try:
        runtime.decode_picture(content, _theirs(_spec("RGB")))
    except runtime.JetsonError:
        return
    assert start.startswith(b"P6")
    assert len(data) >= 27
