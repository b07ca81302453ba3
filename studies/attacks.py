"""Small requests that demand much work, and idle connections: what the study of attacks sends."""

from __future__ import annotations

import asyncio
import gzip
import io
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from server.bench.cost import CASCADE, SMALL
from server.bench.load import AnswerReader
from server.bench.requests import http_request

#: What a connection that ended without an answer counts as.
NO_ANSWER = 0

_INFER = f"/v2/models/{SMALL}/infer"
_CLASSIFY = f"/v1/classify/{CASCADE}"

#: Bytes are written in pieces of this size, so that a refusal is heard in between.
_PIECE_BYTES = 256 << 10

#: An attack that got no answer by then is given up.
_PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """One way to demand much.

    Attributes:
        name: For tables.
        request: Makes the bytes of one attack.
        connections: How many send them at the same time, to count as one attack.
        answered: Whether the server owes an answer.
    """

    name: str
    request: Callable[[], bytes]
    connections: int = 1
    answered: bool = True


def _large_header() -> bytes:
    return b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\nX-a: " + b"a" * 40_000_000 + b"\r\n\r\n"


def _many_headers() -> bytes:
    lines = b"".join(b"h%d: x\r\n" % number for number in range(20_000))
    return b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n" + lines + b"\r\n"


def _large_trailer() -> bytes:
    # A name of the server, or the request is refused before its body is looked at.
    head = b"POST /v2/repository/index HTTP/1.1\r\nHost: localhost\r\n"
    head += b"Transfer-Encoding: chunked\r\n\r\n"
    return head + b"2\r\n{}\r\n0\r\nX-a: " + b"a" * 40_000_000 + b"\r\n\r\n"


def _inflating_tensor() -> bytes:
    """A gzip of 31 kB that inflates to 32 MiB of numbers in JSON."""
    entry = b'{"inputs":[{"name":"image","datatype":"FP32","shape":[1,1,28,28],"data":['
    body = entry + b",".join([b"0"] * 16_000_000) + b"]}]}"
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    return http_request(_INFER, gzip.compress(body, 9), headers)


def _inflating_pictures() -> bytes:
    """A gzip that inflates to as much JSON, of base64 for pictures."""
    body = b'{"images":[' + b",".join([b'"AAAA"'] * 4_000_000) + b"]}"
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    return http_request(_CLASSIFY, gzip.compress(body, 9), headers)


def _many_scans() -> bytes:
    """A progressive JPEG of 16 megapixels whose last scan is repeated 300 times."""
    file = io.BytesIO()
    Image.new("RGB", (3999, 4000), (9, 99, 200)).save(file, "JPEG", progressive=True, quality=10)
    picture = file.getvalue()
    last = picture.rfind(b"\xff\xda")
    picture = picture[:-2] + picture[last:-2] * 300 + b"\xff\xd9"
    return http_request(_CLASSIFY, picture, {"Content-Type": "image/jpeg"})


def _deep_png() -> bytes:
    """A PNG of 16 megapixels with 16 bits and transparency, some 100 kB."""
    import cv2

    pixels = np.zeros((4000, 4000, 4), np.uint16)
    picture = bytes(cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1])
    return http_request(_CLASSIFY, picture, {"Content-Type": "image/png"})


def _inflating_bitmap() -> bytes:
    """A gzip of 30 kB that inflates to a BMP of 10 megapixels, 30 MB."""
    file = io.BytesIO()
    Image.new("RGB", (3200, 3200), (9, 99, 200)).save(file, "BMP")
    headers = {"Content-Encoding": "gzip", "Content-Type": "image/bmp"}
    return http_request(_CLASSIFY, gzip.compress(file.getvalue(), 9), headers)


def _progressive() -> bytes:
    """A progressive JPEG of 16 megapixels with the scans that encoders make, 94 kB."""
    file = io.BytesIO()
    Image.new("RGB", (3999, 4000), (9, 99, 200)).save(file, "JPEG", progressive=True, quality=90)
    return http_request(_CLASSIFY, file.getvalue(), {"Content-Type": "image/jpeg"})


def _nested_lists() -> bytes:
    """JSON of 32 MB whose data are lists of one number, 100 lists deep."""
    deep = b"[" * 100 + b"0" + b"]" * 100
    entry = b'{"inputs":[{"name":"image","datatype":"FP32","shape":[1,1,28,28],"data":['
    body = entry + b",".join([deep] * 157_000) + b"]}]}"
    return http_request(_INFER, body, {"Content-Type": "application/json"})


def _inflating_form() -> bytes:
    """A gzip that inflates to a form of 31 MB: 18 PNGs of 10 megapixels together."""
    file = io.BytesIO()
    Image.new("RGB", (760, 760), (9, 99, 200)).save(file, "PNG", compress_level=0)
    part = b'--b\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n'
    body = b"".join([part + file.getvalue() + b"\r\n"] * 18) + b"--b--\r\n"
    headers = {"Content-Encoding": "gzip", "Content-Type": "multipart/form-data; boundary=b"}
    return http_request(_CLASSIFY, gzip.compress(body, 9), headers)


def _idle() -> bytes:
    return b"POST /v2/models/x/infer HT"


ATTACKS = (
    Attack(name="one header of 40 MB", request=_large_header),
    Attack(name="20,000 headers", request=_many_headers),
    Attack(name="a chunk trailer of 40 MB", request=_large_trailer),
    Attack(name="31 kB of gzip: 32 MiB of numbers", request=_inflating_tensor),
    Attack(name="gzip: 4 million pictures in JSON", request=_inflating_pictures),
    Attack(name="JPEG of 300 extra scans", request=_many_scans),
    Attack(name="16 megapixels of 16 bits, RGBA", request=_deep_png),
    Attack(name="gzip: a BMP of 10 megapixels", request=_inflating_bitmap),
    Attack(name="progressive JPEG of 16 megapixels", request=_progressive),
    Attack(name="32 MB of nested lists", request=_nested_lists),
    Attack(name="gzip: a form of 18 PNGs", request=_inflating_form),
    Attack(name="150 half heads", request=_idle, connections=150, answered=False),
)


def attack(port: int, name: str, at_once: int, duration_s: float) -> Counter[int]:
    """Attack again and again for a while, in this process.

    Args:
        port: Of the server, on this machine.
        name: Which attack.
        at_once: How many attacks go on at any time.
        duration_s: No attack is begun after this time.

    Returns:
        Answers by status; `NO_ANSWER` where one was owed and none came.
    """
    chosen = next(one for one in ATTACKS if one.name == name)
    return asyncio.run(_attacked(port, chosen, at_once, duration_s))


async def _attacked(port: int, chosen: Attack, at_once: int, duration_s: float) -> Counter[int]:
    request = chosen.request()
    until_s = time.perf_counter() + duration_s
    statuses: Counter[int] = Counter()

    async def go_on() -> None:
        while time.perf_counter() < until_s:
            if chosen.answered:
                statuses[await _status(port, request)] += 1
            else:
                await _hold(port, request, until_s)

    await asyncio.gather(*(go_on() for _ in range(at_once * chosen.connections)))
    return statuses


async def _status(port: int, request: bytes) -> int:
    """Send a request on a connection of its own; return the status of its answer."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return NO_ANSWER

    async def send() -> None:
        for begin in range(0, len(request), _PIECE_BYTES):
            writer.write(request[begin : begin + _PIECE_BYTES])
            await writer.drain()

    sending = asyncio.ensure_future(send())
    answers = AnswerReader()
    try:
        async with asyncio.timeout(_PATIENCE_S):
            while data := await reader.read(65536):
                if (answer := answers.feed(data)) is not None:
                    return answer[0]
    except (OSError, TimeoutError):
        return NO_ANSWER
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        writer.transport.abort()
    return NO_ANSWER


async def _hold(port: int, request: bytes, until_s: float) -> None:
    """Begin a request and wait until the server has enough of it."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        await asyncio.sleep(0.05)
        return
    writer.write(request)
    try:
        async with asyncio.timeout(max(0.0, until_s - time.perf_counter())):
            await reader.read()
    except (OSError, TimeoutError):
        pass
    writer.transport.abort()
