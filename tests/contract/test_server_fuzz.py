"""Requests that no honest client sends, by the hundred, against a real server of two workers.

Whatever comes, the answer is a refusal in words or a result, never a failure of the server; the
processes live on, stay as small as they were, and still answer right.
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import http.client
import itertools
import json
import random
import socket
import struct
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pytest

from edge.session import OnnxSession
from server.bench.load import AnswerReader
from server.bench.running import RunningServer

Writer = Callable[..., Path]

CASES = 1200
MAX_BODY_BYTES = 1_000_000
BODY_TIMEOUT_S = 2.0
PATIENCE_S = 180.0
#: Everything that may be answered; 501 and 503 are documented, any other 5xx is a failure.
EXPECTED = {200, 400, 404, 405, 408, 411, 413, 415, 429, 501, 503}
PIXELS = np.random.default_rng(3).normal(size=(2, 1, 8, 8)).astype(np.float32)
PICTURE = bytes(cv2.imencode(".png", np.arange(64, dtype=np.uint8).reshape(8, 8))[1])


class Request(NamedTuple):
    """One POST request; the headers may lie, also about the length."""

    path: str
    body: bytes
    headers: Mapping[str, str]

    def wire(self) -> bytes:
        headers = {"Host": "localhost", "Content-Length": str(len(self.body)), **self.headers}
        lines = [
            f"POST {self.path} HTTP/1.1",
            *(f"{name}: {text}" for name, text in headers.items()),
        ]
        return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + self.body


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, write_pair: Writer) -> Path:
    """A network, and a cascade with a memory."""
    folder = tmp_path_factory.mktemp("models")
    memory = {"key": "dhash_verified", "tolerance_mae_u8": 4.0, "max_entries": 100}
    write_pair(folder, {"net": 0, "other": 1}, memory=memory)
    return folder


@pytest.fixture(scope="module")
def server(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, serving: Callable[..., Any]
) -> Iterator[Any]:
    log = tmp_path_factory.mktemp("log") / "server.log"
    options = (
        "--workers=2",
        f"--requests.max-body-bytes={MAX_BODY_BYTES}",
        f"--requests.body-timeout-s={BODY_TIMEOUT_S}",
        "--requests.max-pixels=100000",
        "--requests.max-rows=64",
    )
    with serving(folder, log, *options) as running:
        yield running
    text = log.read_text("utf-8")
    assert "Traceback" not in text, text
    assert "ended with exit code" not in text, text


# Requests of which every one is right.


def entry(**changes: Any) -> dict[str, Any]:
    return {"name": "image", "shape": [2, 1, 8, 8], "datatype": "FP32"} | changes


def json_request(model: str = "net", **changes: Any) -> Request:
    body = {"id": "7", "inputs": [entry(data=PIXELS.ravel().tolist())]} | changes
    return Request(f"/v2/models/{model}/infer", json.dumps(body).encode(), {})


def binary_request(
    raw: bytes = PIXELS.tobytes(), described: Mapping[str, Any] | None = None, **changes: Any
) -> Request:
    described = described or entry(parameters={"binary_data_size": len(raw)})
    head = json.dumps({"inputs": [described]} | changes).encode()
    length = {"Inference-Header-Content-Length": str(len(head))}
    return Request("/v2/models/net/infer", head + raw, length)


def picture_tensor(*pictures: bytes, model: str = "pair") -> Request:
    raw = b"".join(struct.pack("<I", len(one)) + one for one in pictures)
    described = {
        "name": "image",
        "shape": [len(pictures)],
        "datatype": "BYTES",
        "parameters": {"binary_data_size": len(raw)},
    }
    return binary_request(raw, described)._replace(path=f"/v2/models/{model}/infer")


def picture_request(body: bytes = PICTURE, kind: str = "image/png") -> Request:
    return Request("/v1/classify/pair", body, {"Content-Type": kind})


def form_request(body: bytes = PICTURE) -> Request:
    head = b'--b\r\nContent-Disposition: form-data; name="a"; filename="a.png"\r\n\r\n'
    return picture_request(head + body + b"\r\n--b--\r\n", "multipart/form-data; boundary=b")


def base64_request(*texts: str) -> Request:
    found = texts or (base64.b64encode(PICTURE).decode(),)
    return picture_request(json.dumps({"images": found}).encode(), "application/json")


RIGHT = (
    json_request,
    binary_request,
    lambda: picture_tensor(PICTURE),
    picture_request,
    form_request,
    base64_request,
)


# Ways to spoil them.


def truncated(rng: random.Random, right: Request) -> Request:
    return right._replace(body=right.body[: rng.randrange(len(right.body))])


def lengthened(rng: random.Random, right: Request) -> Request:
    return right._replace(body=right.body + rng.randbytes(rng.randrange(1, 400)))


def altered(rng: random.Random, right: Request) -> Request:
    body = bytearray(right.body)
    for _ in range(rng.randrange(1, 12)):
        body[rng.randrange(len(body))] = rng.randrange(256)
    return right._replace(body=bytes(body))


def shuffled(rng: random.Random, right: Request) -> Request:
    cut = rng.randrange(len(right.body))
    return right._replace(body=right.body[cut:] + right.body[:cut])


def random_body(rng: random.Random, right: Request) -> Request:
    return right._replace(body=rng.randbytes(rng.choice((0, 1, 2, 7, 100, 5000))))


def wrong_header_length(rng: random.Random, right: Request) -> Request:
    length = rng.choice(
        ("0", "1", "-1", "99999", "9" * 30, "1e3", "x", "", "0x10", str(len(right.body)))
    )
    return right._replace(headers={**right.headers, "Inference-Header-Content-Length": length})


def wrong_type(rng: random.Random, right: Request) -> Request:
    kinds = (
        "application/json",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=" + "b" * 300,
        "text/html; charset=utf-7",
        ";;;=",
        "\xff\xfe",
    )
    return right._replace(headers={**right.headers, "Content-Type": rng.choice(kinds)})


def wrong_encoding(rng: random.Random, right: Request) -> Request:
    encodings = ("gzip", "deflate", "br", "gzip, gzip", "identity", "x")
    body = rng.choice((right.body, gzip.compress(right.body)[:-3], zlib.compress(right.body)))
    return right._replace(
        body=body, headers={**right.headers, "Content-Encoding": rng.choice(encodings)}
    )


BOMB = gzip.compress(bytes(60_000_000))
NESTED_BOMB = gzip.compress(BOMB)


def bomb(rng: random.Random, right: Request) -> Request:
    body = rng.choice((BOMB, NESTED_BOMB, BOMB[: len(BOMB) // 2]))
    return right._replace(body=body, headers={**right.headers, "Content-Encoding": "gzip"})


def wrong_path(rng: random.Random, right: Request) -> Request:
    paths = (
        "/v2/models/..%2f..%2fetc%2fpasswd/infer",
        "/v2/models/%00/infer",
        "/v2/models/net/versions/../infer",
        "/v2/models/net/versions/99999999999999999999/infer",
        "/v2/models/" + "n" * 5000 + "/infer",
        "/v2/models/%ff%fe/infer",
        "/v2/repository/models/..%2f..%2ftmp/load",
        "/v2/models/net",
        "/v2/systemsharedmemory/region/a/register",
        "/v1/classify/",
        "/v1/classify/%2e%2e",
        "/v1/classify/pair?top_k=-1",
        "/v1/classify/pair?top_k=99999999999999999999999",
        "/v1/classify/pair?min_confidence=nan",
        "/v1/drive/net?speed_mps=1",
        "//",
    )
    return right._replace(path=rng.choice(paths))


HUGE = (2**31, 2**62, 2**63, 2**64, 10**30)


def wrong_tensor(rng: random.Random, _: Request) -> Request:
    shapes: tuple[Any, ...] = (
        [rng.choice(HUGE), 1, 8, 8],
        [2**32, 2**32],
        [0, 1, 8, 8],
        [-1, 1, 8, 8],
        [2, 1, 8],
        [2, 1, 8, 8] * 100,
        [],
        [1.5, 1, 8, 8],
        ["2", 1, 8, 8],
        [True, 1, 8, 8],
        None,
        {},
        10**6 * "8",
    )
    datatypes = ("FP32", "FP64", "FP16", "BF16", "INT64", "BOOL", "BYTES", "STRING", "", None, 5)
    described = entry(
        shape=rng.choice(shapes),
        datatype=rng.choice(("FP32", *datatypes)),
        parameters={"binary_data_size": rng.choice((512, 0, -1, *HUGE, "512", None))},
    )
    if rng.random() < 0.5:
        return binary_request(described=described)
    data: tuple[Any, ...] = (PIXELS.ravel().tolist(), [], "x", {"a": 1}, [[]] * 128, [None] * 128)
    described.pop("parameters")
    return json_request(inputs=[described | {"data": rng.choice(data)}])


def wrong_structure(rng: random.Random, _: Request) -> Request:
    data = PIXELS.ravel().tolist()
    strange = rng.choice((-1, 0, 1, 10**30, "1", 1.5))
    wanted = {"name": "logits", "parameters": {"classification": strange}}
    bodies: tuple[Any, ...] = (
        {"inputs": []},
        {"inputs": [entry(data=data)] * 2},
        {"inputs": [entry(data=data)] * 2000},
        {"inputs": [entry(data=data, name="a" * 100_000)]},
        {"inputs": [entry(data=data)], "outputs": [{"name": "logits"}] * 3000},
        {"inputs": [entry(data=data)], "outputs": [{"name": "x"}]},
        {"inputs": [entry(data=data)], "outputs": [wanted]},
        {"inputs": [entry(data=data)], "parameters": {"timeout": strange}},
        {"inputs": [entry(data=data, parameters={"shared_memory_region": "a"})]},
        {"inputs": [entry(data=data)], "id": rng.choice((5, None, {}, "x" * 100_000, "\ud800"))},
        {"inputs": entry(data=data)},
        [entry(data=data)],
        "inputs",
        None,
        1e308,
    )  # fmt: skip
    return Request("/v2/models/net/infer", json.dumps(rng.choice(bodies)).encode(), {})


def wrong_json(rng: random.Random, right: Request) -> Request:
    texts = (
        b"[" * 100_000,
        b'{"inputs":' * 20_000,
        b'{"inputs":[{"name":"image","shape":[1,1,8,8],"datatype":"FP32","data":[NaN]}]}',
        b'{"inputs":[{"name":"image","shape":[1],"datatype":"FP32","data":[1e999]}]}',
        b'\xef\xbb\xbf{"inputs":[]}',
        b'{"inputs":[],"inputs":[]}',
        b'{"\xff":1}',
        "{}".encode("utf-16"),
    )
    return right._replace(path="/v2/models/net/infer", body=rng.choice(texts), headers={})


def strange_values(rng: random.Random, _: Request) -> Request:
    values = PIXELS.copy()
    strange = (np.nan, np.inf, -np.inf, np.finfo(np.float32).max, np.finfo(np.float32).tiny)
    for _ in range(rng.randrange(1, 20)):
        values.reshape(-1)[rng.randrange(values.size)] = rng.choice(strange)
    return binary_request(values.tobytes(), parameters={"binary_data_output": rng.random() < 0.5})


def wrong_picture(rng: random.Random, _: Request) -> Request:
    png = bytearray(PICTURE)
    png[16:24] = struct.pack(">II", *rng.choice(((2**31 - 1, 2**31 - 1), (0, 0), (60_000, 60_000))))
    png[29:33] = struct.pack(">I", zlib.crc32(png[12:29]))
    broken = (bytes(png), PICTURE[:40], b"", b"GIF89a" + bytes(50), b"BM" + rng.randbytes(60))
    found = rng.choice(broken)
    return rng.choice(
        (picture_tensor(PICTURE, found), picture_request(found), form_request(found),
         base64_request(base64.b64encode(found).decode(), "%%%"), picture_tensor(*[PICTURE] * 65))
    )  # fmt: skip


def wrong_bytes_tensor(rng: random.Random, _: Request) -> Request:
    right = picture_tensor(PICTURE)
    length = rng.choice((0, 2**32 - 1, 2**31, len(PICTURE) - 1, len(PICTURE) + 1))
    body = right.body[: -len(PICTURE) - 4] + struct.pack("<I", length) + PICTURE
    return right._replace(body=body)


SPOILERS = (
    truncated, lengthened, altered, altered, shuffled, random_body, wrong_header_length, wrong_type,
    wrong_encoding, wrong_path, wrong_tensor, wrong_tensor, wrong_structure, wrong_json,
    strange_values, wrong_picture, wrong_bytes_tensor,
)  # fmt: skip


def cases() -> Iterator[tuple[str, Request]]:
    """Yield spoilt requests, each way in turn; a bomb now and then, for it costs the most."""
    rng = random.Random(20)
    ways = itertools.cycle(SPOILERS)
    for number in range(CASES):
        spoil = bomb if number % 40 == 0 else next(ways)
        yield spoil.__name__, spoil(rng, rng.choice(RIGHT)())


@pytest.fixture
def stack() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as stack:
        yield stack


class Client:
    """A connection that is opened anew when the server has closed it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket: socket.socket | None = None

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def ask(self, request: Request) -> tuple[int, bytes]:
        if self._socket is None:
            self._socket = socket.create_connection(("127.0.0.1", self._port), PATIENCE_S)
        with contextlib.suppress(OSError):  # refused before it was sent; the answer says why
            self._socket.sendall(request.wire())
        reader = AnswerReader()
        while data := self._socket.recv(65536):
            answer = reader.feed(data)
            if answer is not None:
                if b"connection: close" in data.lower():
                    self.close()
                return answer
        raise AssertionError("the connection ended without an answer")

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def workers(server: RunningServer) -> dict[int, int]:
    """Return the resident bytes of each worker by its number."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_S)
    connection.request("GET", "/v1/workers")
    found = json.loads(connection.getresponse().read())
    connection.close()
    pids = [worker["pid"] for worker in found["workers"]]
    return {pid: resident_bytes(pid) for pid in pids}


def resident_bytes(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"process {pid} is gone")


def test_spoilt_requests_are_refused_in_words_and_do_no_harm(
    server: RunningServer, folder: Path, stack: contextlib.ExitStack
) -> None:
    expected = OnnxSession((folder / "net.onnx").read_bytes(), name="net").run({"image": PIXELS})
    clients = [stack.enter_context(Client(server.port)) for _ in range(4)]
    statuses: Counter[int] = Counter()
    begun: dict[int, int] = {}
    for number, (kind, request) in enumerate(cases()):
        client = clients[number % len(clients)]
        status, body = client.ask(request)
        shown = f"case {number}, {kind}: {status} {body[:300]!r} for {request.wire()[:600]!r}"
        assert status in EXPECTED, shown
        if status != 200:
            assert json.loads(body)["error"], shown
        statuses[status] += 1
        if number % 50 == 0:
            status, body = client.ask(json_request())
            assert status == 200
            (output,) = json.loads(body)["outputs"]
            assert np.allclose(output["data"], expected["logits"].ravel(), atol=1e-5)
        if number == CASES // 3:  # everything has happened once
            begun = workers(server)
    ended = workers(server)
    assert ended.keys() == begun.keys()
    for pid, size in ended.items():
        assert size < begun[pid] + (24 << 20)
    assert {400, 404, 413, 415, 501} <= statuses.keys()
    assert statuses[200] < CASES / 2


def test_bodies_that_do_not_come_are_given_up_on(server: RunningServer) -> None:
    before = workers(server)
    half = binary_request().wire()[:-100]
    waiting = []
    for _ in range(40):
        connection = socket.create_connection(("127.0.0.1", server.port), PATIENCE_S)
        connection.sendall(half)
        waiting.append(connection)
    unfinished = socket.create_connection(("127.0.0.1", server.port), PATIENCE_S)
    unfinished.sendall(b"POST /v2/models/net/infer HT")
    for connection in waiting:
        answer = AnswerReader().feed(connection.recv(65536))
        assert answer is not None
        assert answer[0] == 408
        assert f"{BODY_TIMEOUT_S:g} s" in json.loads(answer[1])["error"]
        connection.close()
    assert unfinished.recv(65536) == b""
    unfinished.close()
    assert workers(server).keys() == before.keys()


def test_half_requests_whose_sender_leaves_do_no_harm(server: RunningServer) -> None:
    before = workers(server)
    rng = random.Random(21)
    for right in (make() for make in RIGHT for _ in range(20)):
        wire = right.wire()
        with socket.create_connection(("127.0.0.1", server.port), PATIENCE_S) as connection:
            connection.sendall(wire[: rng.randrange(1, len(wire))])
    with Client(server.port) as client:
        assert client.ask(json_request())[0] == 200
    assert workers(server).keys() == before.keys()


def test_broken_http_is_refused_or_hung_up_on(server: RunningServer) -> None:
    before = workers(server)
    rng = random.Random(22)
    first_line = b"POST /v2/models/net/infer HTTP/1.1\r\n"
    wires = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + rng.randbytes(200),
        b"GET / HTTP/9.9\r\n\r\n",
        first_line + b"Content-Length: -5\r\n\r\n",
        first_line + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        first_line + b"Host: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"".join(b"h%d: x\r\n" % i for i in range(20_000)) + b"\r\n",
        *(rng.randbytes(rng.randrange(1, 3000)) for _ in range(30)),
    ]
    for wire in wires:
        with socket.create_connection(("127.0.0.1", server.port), PATIENCE_S) as connection:
            try:
                connection.sendall(wire)
                answer = connection.recv(65536)
            except ConnectionError:
                answer = b""
            assert not answer.startswith(b"HTTP/1.1 5"), (wire[:100], answer[:300])
    with Client(server.port) as client:
        assert client.ask(json_request())[0] == 200
    assert workers(server).keys() == before.keys()
