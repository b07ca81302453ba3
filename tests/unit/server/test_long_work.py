"""What takes much memory or time: one at a time, and nobody else waits for it."""

from __future__ import annotations

import asyncio
import base64
import gzip
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import server.serving.picture_input
from server.errors import RequestError
from server.limits import BatchLimits, RequestLimits
from server.serving.long_work import LongWork
from server.serving.picture_input import PictureDecoder, PictureTarget

LIMITS = RequestLimits(), BatchLimits()
PATIENCE_S = 180.0


@pytest.fixture
def work() -> Iterator[LongWork]:
    made = LongWork(*LIMITS)
    yield made
    made.close()


async def test_one_task_at_a_time_has_the_turn_and_may_begin_it_again(work: LongWork) -> None:
    having = most = 0
    order: list[int] = []

    async def have(number: int) -> None:
        nonlocal having, most
        assert await work.begin_turn()
        assert not await work.begin_turn(), "it has it"
        having += 1
        most = max(most, having)
        await work.do_alone(partial(order.append, number))
        having -= 1
        work.end_turn()

    await asyncio.gather(*map(have, range(5)))
    assert (most, order) == (1, [0, 1, 2, 3, 4])


async def test_who_leaves_the_queue_lets_the_next_one_begin(work: LongWork) -> None:
    await work.begin_turn()
    leaving, staying = (asyncio.create_task(work.begin_turn()) for _ in range(2))
    await asyncio.sleep(0)
    leaving.cancel()
    work.end_turn()
    assert await asyncio.wait_for(staying, PATIENCE_S)


async def test_too_many_or_too_long_waits_are_refused() -> None:
    work = LongWork(RequestLimits(timeout_s=0.05), BatchLimits(max_queued_requests=1))
    await work.begin_turn()
    waiting, refused = (asyncio.create_task(work.begin_turn()) for _ in range(2))
    with pytest.raises(RequestError, match="1 requests wait") as error:
        await refused
    assert error.value.status == 429
    with pytest.raises(RequestError, match=r"took more than 0\.05 s") as error:
        await waiting
    assert error.value.status == 503
    work.end_turn()
    work.close()


def png(pixels: Any) -> bytes:
    return bytes(cv2.imencode(".png", pixels)[1])


async def test_small_pictures_do_not_wait_for_large_ones(
    monkeypatch: pytest.MonkeyPatch, image_format: Any
) -> None:
    begun, go_on = threading.Event(), threading.Event()
    decode = server.serving.picture_input.decode_encoded_picture

    def slow(picture: Any, *args: Any, **options: Any) -> Any:
        if picture.pixels > 1_000_000:
            begun.set()
            assert go_on.wait(PATIENCE_S)
        return decode(picture, *args, **options)

    monkeypatch.setattr(server.serving.picture_input, "decode_encoded_picture", slow)
    decoder = PictureDecoder(*LIMITS)
    target = PictureTarget(image=image_format, prepare=lambda found: found[0][None, :8, :8])
    large = png(np.zeros((2000, 2000, 3), np.uint16))
    small = png(np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8))
    waiting = [asyncio.create_task(decoder.canonical([large], target)) for _ in range(2)]
    assert await asyncio.to_thread(begun.wait, PATIENCE_S)
    assert (await decoder.canonical([small], target)).shape == (1, 8, 8, 1)
    go_on.set()
    await asyncio.gather(*waiting)
    decoder.work.close()


@pytest.mark.parametrize(("channels", "dtype"), [(4, np.uint16), (3, np.uint16), (4, np.uint8)])
async def test_pictures_that_need_much_memory_are_refused_before_they_are_decoded(
    image_format: Any, channels: int, dtype: Any
) -> None:
    decoder = PictureDecoder(*LIMITS)
    target = PictureTarget(image=image_format, prepare=lambda found: found[0][None, :8, :8])
    assert len(await decoder.canonical([png(np.zeros((4000, 4000, 3), np.uint8))], target)) == 1
    picture = png(np.zeros((4000, 4000, channels), dtype))
    with pytest.raises(RequestError, match="with 4000 x 4000 pixels takes") as refused:
        await decoder.canonical([picture], target)
    assert refused.value.status == 413
    decoder.work.close()


@pytest.fixture
def image_format() -> Any:
    from edge.sidecar import ImageSpec

    return ImageSpec(height=8, width=8, color="GRAY", scale=1.0, mean=(0.5,), std=(0.5,))


def zipped(before: bytes, inside: bytes, after: bytes = b"") -> bytes:
    return gzip.compress(before + inside + after)


MUCH = 4 << 20
TENSOR = b'{"inputs":[{"name":"image","datatype":"FP32","shape":[1,8,8,1],"data":['
BMP = bytes(cv2.imencode(".bmp", np.zeros((1200, 1200, 3), np.uint8))[1])


@pytest.mark.parametrize(
    ("path", "kind", "body"),
    [
        ("/v2/models/pair/infer", "json", zipped(TENSOR, b"0," * (MUCH // 2), b"0]}]}")),
        ("/v2/models/pair/infer", "json", zipped(TENSOR, (b"[" * 900 + b"]" * 900 + b",") * 2000)),
        ("/v2/models/pair/infer", "json", zipped(TENSOR, b'{"a":0},' * (MUCH // 8))),
        ("/v1/classify/pair", "json", zipped(b'{"images":[', b'"AAAA",' * (MUCH // 7), b'""]}')),
        ("/v1/classify/pair", "json", zipped(b'{"images":["', base64.b64encode(BMP), b'"]}')),
        ("/v1/classify/pair", "bmp", zipped(BMP, b"")),
        ("/v2/repository/index", "json", zipped(b'{"ready":"', b"0" * MUCH, b'"}')),
    ],
)
async def test_what_many_small_bodies_become_is_not_held_together(
    models: Path,
    write_pair: Callable[..., Path],
    serving_folder: Any,
    path: str,
    kind: str,
    body: bytes,
) -> None:
    assert len(body) < 64_000
    write_pair(models)
    headers = {"Content-Encoding": "gzip", "Content-Type": f"application/{kind}"}
    async with serving_folder(models) as client:
        post = partial(client.post, path, content=body, headers=headers)
        await post()
        tracemalloc.start()
        answers = [await post()]
        alone_bytes = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        answers += await asyncio.gather(*(post() for _ in range(6)))
        together_bytes = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert {answer.status_code for answer in answers} <= {200, 400, 413}, answers[0].text
    # Six that are held together take five times more; threads let what one frees come late.
    assert together_bytes < alone_bytes + 2 * MUCH
