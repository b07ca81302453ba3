"""The application of one worker as a whole, and what it does with every request."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from starlette.responses import Response, StreamingResponse

from bicameral.errors import DataError, MachineError, RouteError
from server.errors import RequestError, request_error
from server.http.endpoint import Endpoint
from server.http.exchange import Request
from server.http.stack import HttpStack, StackParts
from server.limits import BatchLimits, RequestLimits, ServerSettings
from server.logs import JsonFormatter, TextFormatter, current_request_id
from server.metrics import Metrics
from server.serving.long_work import LongWork

Writer = Callable[..., Path]
Use = Callable[[httpx.AsyncClient], Awaitable[Any]]


@pytest.fixture
def models(tmp_path: Path, write_classifier: Writer) -> Path:
    folder = tmp_path / "models"
    for version in ("1", "2"):
        (folder / "net" / version).mkdir(parents=True)
        write_classifier(folder / "net" / version, "net", seed=int(version), version=version)
    return folder


@pytest.fixture
def serve(models: Path, serving_folder):
    """Run the whole application while a context is open; keywords replace its parameters."""
    return partial(serving_folder, models)


async def infer(client: httpx.AsyncClient, path: str = "net", **headers: str) -> httpx.Response:
    image = np.zeros((1, 1, 8, 8)).tolist()
    tensor = {"name": "image", "datatype": "FP32", "shape": [1, 1, 8, 8], "data": image}
    return await client.post(f"/v2/models/{path}/infer", json={"inputs": [tensor]}, headers=headers)


async def test_the_protocol_and_everything_else_are_one_server(serve):
    async with serve() as client:
        assert (await client.get("/v2/health/ready")).status_code == 200
        assert (await client.get("/v2")).json()["name"] == "bicameral"
        assert (await infer(client)).status_code == 200
        assert (await client.get("/openapi.json")).json()["info"]["title"] == "bicameral"
        assert (await client.get("/v1/workers")).json()["ready"] is True


@pytest.mark.parametrize("path", ["/", "/v2x", "/nothing", "/v2/nothing", "/v1/nothing"])
async def test_what_is_not_there_is_an_error_in_json(serve, path):
    async with serve() as client:
        answer = await client.get(path)
        if answer.status_code != 200:  # there may be a page at /
            assert answer.status_code == 404
            assert path in answer.json()["error"]


async def test_a_wrong_method_is_an_error_in_json_that_names_the_right_one(serve):
    async with serve() as client:
        answer = await client.delete("/metrics")
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET")
        assert "no 'DELETE /metrics' here" in answer.json()["error"]


@pytest.mark.parametrize("path", ["/v2/", "/v2/models/net/", "/v1/models/", "/v2/health/live//"])
async def test_a_slash_too_many_leads_to_the_same_place(serve, path):
    async with serve() as client:
        plain = await client.get(path.rstrip("/"))
        answer = await client.get(path)
        assert (answer.status_code, answer.content) == (200, plain.content)


@pytest.mark.parametrize("path", ["/", "/v2", "/v1/models", "/openapi.json"])
async def test_what_can_be_got_can_be_asked_for_its_head(serve, path):
    async with serve() as client:
        assert (await client.head(path)).status_code == 200


async def test_parameters_that_do_not_fit_are_named_with_what_was_given(serve):
    async with serve() as client:
        answer = await client.post("/v1/classify/net?top_k=0&colour=red", content=b"")
        assert answer.status_code == 400
        for words in ("query.top_k: ", "got '0'", "query.colour: ", "got 'red'"):
            assert words in answer.json()["error"]


async def test_requests_are_counted_for_the_model_that_answered(serve):
    async with serve() as client:
        for path in ("net", "net/versions/2"):
            await infer(client, path)
        await client.post("/v2/models/net/infer", content=b"no json")
        await infer(client, "unknown")
        text = (await client.get("/metrics")).text
        lines = [line for line in text.splitlines() if line.startswith("inference_requests_total")]
        assert sorted(lines) == [
            'inference_requests_total{model="net",outcome="client_error",version="2"} 1.0',
            'inference_requests_total{model="net",outcome="success",version="2"} 2.0',
        ]
        assert 'inference_batch_size_sum{model="net",version="2"} 2.0' in text


async def test_a_version_is_rolled_back_and_forth(serve):
    async with serve() as client:

        async def served() -> list[str]:
            return (await client.get("/v2/models/net")).json()["versions"]

        assert await served() == ["2"]
        for change, expected in (
            ("1/load", ["1", "2"]),
            ("2/unload", ["1"]),
            ("2/load", ["1", "2"]),
        ):
            answer = await client.post(f"/v1/models/net/versions/{change}")
            assert (answer.status_code, answer.content) == (204, b"")
            assert await served() == expected
        answer = await client.post("/v1/models/net/versions/3/load")
        assert answer.status_code == 404
        assert "known: 1, 2" in answer.json()["error"]


async def test_managing_needs_the_right_to(serve):
    asked: list[str] = []

    def authorise(_scope: Any, right: str) -> str:
        asked.append(right)
        raise RequestError(401, "no key", {"WWW-Authenticate": "Bearer"})

    async with serve(authorise=authorise) as client:
        for method, path in (
            ("GET", "/metrics"),
            ("GET", "/v1/workers"),
            ("POST", "/v1/models/net/versions/1/load"),
            ("POST", "/v1/models/net/versions/2/unload"),
        ):
            answer = await client.request(method, path)
            assert (answer.status_code, answer.json()) == (401, {"error": "no key"})
            assert answer.headers["www-authenticate"] == "Bearer"
        assert (await client.get("/v2/models/net/ready")).status_code == 401
        assert asked == ["metrics", *["manage"] * 3, "infer"]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (RequestError(418, "x"), 418),
        (DataError("x"), 400),
        (RouteError("x"), 400),
        (MachineError("x"), 503),
    ],
)
def test_errors_have_a_status_by_whose_fault_they_are(error, status):
    assert request_error(error).status == status
    assert request_error(error).message == "x"


async def test_a_request_keeps_its_id_or_gets_one_that_is_its_own(serve):
    async with serve() as client:
        for path in ("/v2", "/metrics", "/nothing"):
            answer = await client.get(path, headers={"X-Request-Id": "trace:7/"})
            assert answer.headers.get_list("x-request-id") == ["trace:7/"]
        given = [(await client.get("/v2")).headers["x-request-id"] for _ in range(5)]
        assert len(set(given)) == 5


@pytest.mark.parametrize("unfit", ["", " ", "a b", "x" * 129, 'a"b', "a\tb", "a{b}"])
async def test_an_id_that_could_spoil_logs_is_replaced(serve, unfit):
    async with serve() as client:
        answer = await client.get("/v2", headers={"X-Request-Id": unfit})
        assert answer.headers["x-request-id"] not in ("", unfit)


class Spy(logging.Handler):
    """Keeps lines as the server writes them, with the request that was current."""

    def __init__(self, formatter: logging.Formatter) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@pytest.fixture
def spy():
    handler = Spy(JsonFormatter("worker-3"))
    logger = logging.getLogger("server.http.stack")
    logger.addHandler(handler)
    before, level = logger.propagate, logger.level
    logger.propagate = False
    logger.setLevel(logging.INFO)
    yield handler
    logger.removeHandler(handler)
    logger.propagate = before
    logger.setLevel(level)


def ask_directly(
    handler: Any, metrics: Metrics, sent: list[dict[str, Any]] | None = None, **options: bool
) -> list[dict[str, Any]]:
    """Return the messages by which a stack of one endpoint answers a request."""
    sent = [] if sent is None else sent

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    scope = {"type": "http", "method": "GET", "path": "/x", "headers": [(b"x-request-id", b"id7")]}
    parts = StackParts(
        settings=ServerSettings(**options),
        metrics=metrics,
        work=LongWork(RequestLimits(), BatchLimits()),
        lifespan=failing,
    )
    stack = HttpStack(parts, [Endpoint(method="GET", path="/x", handler=handler)], [])
    asyncio.run(stack(scope, receive, send))
    return sent


async def failing(*_: Any) -> Response:
    raise ValueError("nobody expected this")


async def failing_late(_: Request) -> Response:
    async def content() -> AsyncIterator[bytes]:
        yield b"the beginning"
        raise ValueError("nobody expected this")

    return StreamingResponse(content())


async def cancelled(_: Request) -> Response:
    raise asyncio.CancelledError


async def fine(_: Request) -> Response:
    return Response(status_code=204)


def test_an_unexpected_failure_is_logged_and_answered_without_its_details(tmp_path, spy):
    start, body = ask_directly(failing, Metrics())
    assert start["status"] == 500
    assert (b"x-request-id", b"id7") in start["headers"]
    assert json.loads(body["body"]) == {"error": "the server failed; its log tells more about id7"}
    (line,) = map(json.loads, spy.lines)
    assert (line["level"], line["process"], line["request_id"]) == ("error", "worker-3", "id7")
    assert "ValueError: nobody expected this" in line["exception"]


def test_a_failure_in_the_middle_of_an_answer_breaks_it_off(tmp_path, spy):
    with pytest.raises(ValueError, match="nobody expected this"):
        ask_directly(failing_late, Metrics())
    assert len(spy.lines) == 1


def test_what_a_server_that_ends_cannot_finish_is_refused(tmp_path, spy):
    sent: list[dict[str, Any]] = []
    with pytest.raises(asyncio.CancelledError):
        ask_directly(cancelled, Metrics(), sent)
    start, body = sent
    assert start["status"] == 503
    assert (b"retry-after", b"1") in start["headers"]
    assert json.loads(body["body"]) == {"error": "the server is shutting down"}
    assert spy.lines == []


def test_requests_are_logged_if_wanted(tmp_path, spy):
    ask_directly(fine, Metrics())
    assert spy.lines == []
    ask_directly(fine, Metrics(), log_requests=True)
    (line,) = map(json.loads, spy.lines)
    assert line["message"] == "GET /x 204"
    assert (line["method"], line["path"], line["status"]) == ("GET", "/x", 204)
    assert line["duration_ms"] >= 0
    assert current_request_id.get() is None


def record(message: str, *arguments: object) -> logging.LogRecord:
    return logging.LogRecord("server.x", logging.WARNING, "x.py", 1, message, arguments, None)


def test_lines_of_text_name_process_and_request():
    formatter = TextFormatter("worker-1")
    assert formatter.format(record("%d models", 3)).endswith("WARNING worker-1 3 models")
    outside = current_request_id.set("id7")
    assert formatter.format(record("slow")).endswith("WARNING worker-1 [id7] slow")
    current_request_id.reset(outside)


def test_lines_of_json_hold_one_object_whatever_the_message():
    line = JsonFormatter("supervisor").format(record("two\nlines and %r", "\u2028"))
    assert "\n" not in line
    found = json.loads(line)
    assert found["message"] == "two\nlines and '\\u2028'"
    assert (found["logger"], found["level"]) == ("server.x", "warning")
    assert found["time"].endswith("+00:00")
    assert ServerSettings().log_format == "text"
