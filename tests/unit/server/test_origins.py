"""Requests from pages in browsers: whose pages may do what."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.websockets import WebSocket

from bicameral.errors import ConfigError
from server.http.authorisation import chosen_protocol
from server.http.endpoint import SocketEndpoint
from server.http.stack import HttpStack, StackParts
from server.limits import BatchLimits, RequestLimits, ServerSettings
from server.metrics import Metrics
from server.serving.long_work import LongWork

Use = Callable[[httpx.AsyncClient], Awaitable[Any]]

OWN = "http://127.0.0.1:8000"
FRIEND = "https://friend.example"
STRANGER = "https://stranger.example"
UNLOAD = ("POST", "/v2/repository/models/net/unload")


@pytest.fixture
def serve(models: Path, write_classifier: Callable[..., Path], serving_folder: Any) -> Any:
    """Run the whole application while a context is open; keywords are its settings."""
    write_classifier(models, "net")
    return partial(serving_folder, models)


async def statuses(client: httpx.AsyncClient, *origins: str, host: str = OWN) -> list[int]:
    """Return how unloading, which is always possible, is answered to pages of these origins."""
    found = []
    for origin in origins:
        headers = {"Origin": origin, "Host": host.partition("://")[2]}
        answer = await client.request(*UNLOAD, headers=headers)
        if answer.status_code == 403:
            assert origin[:20] in answer.json()["error"]
            assert "--cors-origin" in answer.json()["error"]
        assert not [name for name in answer.headers if name.startswith("access-control")]
        found.append(answer.status_code)
    return found


async def test_pages_of_others_can_neither_act_nor_read(serve: Any) -> None:
    async with serve() as client:
        assert await statuses(client, OWN, OWN.upper()) == [200, 200]
        others = (STRANGER, "null", "", "http://127.0.0.1:8001", "http://localhost:8000", "file://")
        assert await statuses(client, *others) == [403] * len(others)
        assert (await client.request(*UNLOAD)).status_code == 200, "programs send no Origin"
        asked = {"Origin": STRANGER, "Access-Control-Request-Method": "POST"}
        answer = await client.options(UNLOAD[1], headers=asked)
        assert answer.status_code == 403
        assert "access-control-allow-origin" not in answer.headers


TURNED = ["http://stranger.example:8000", "http://127.0.0.1.stranger.example", "http://10.0.0.1"]
LOCAL = ["http://localhost:8000", "http://app.localhost", "http://[::1]:8000", "http://127.1.2.3"]


async def test_a_name_that_was_turned_to_this_machine_is_not_this_machine(serve: Any) -> None:
    async with serve() as client:
        for origin in TURNED:
            assert await statuses(client, origin, host=origin) == [403]
        for origin in LOCAL:
            assert await statuses(client, origin, host=origin) == [200]


READS = ["/v1/models", "/metrics", "/v1/workers", "/v2/models/net", "/v1/live", "/v2"]


async def test_a_page_whose_name_was_turned_to_this_machine_can_read_nothing(serve: Any) -> None:
    async with serve() as client:
        for path in READS:
            for host in ("evil.com:8000", "127.0.0.1.evil.com", "10.0.0.1", "evil.com"):
                answer = await client.get(path, headers={"Host": host})
                assert answer.status_code == 403
                assert host in answer.json()["error"]
                assert "--allowed-host" in answer.json()["error"]
            for host in ("localhost:8000", "LOCALHOST", "127.0.0.1:1", "[::1]:8000", "[::1]"):
                assert (await client.get(path, headers={"Host": host})).status_code == 200
        live = await client.get("/v2/health/live", headers={"Host": "probe"})
        assert live.status_code == 200, "it tells nothing, and probes call it by any name"


async def test_names_that_are_allowed_may_be_used(serve: Any) -> None:
    async with serve(allowed_host=("Models.example",), cors_origin=(FRIEND,)) as client:
        for host in ("models.example", "MODELS.example:80", "friend.example"):
            assert (await client.get("/v1/models", headers={"Host": host})).status_code == 200
        assert (await client.get("/v1/models", headers={"Host": "evil.com"})).status_code == 403


@pytest.mark.parametrize("name", ["", "http://models.example", "models.example:80", "*"])
def test_what_is_no_name_of_a_host_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="is no name"):
        ServerSettings(allowed_host=(name,))


async def test_a_server_for_others_may_have_any_name(serve: Any) -> None:
    async with serve(host="0.0.0.0") as client:
        for origin in TURNED + LOCAL:
            assert await statuses(client, origin, host=origin) == [200]
        assert await statuses(client, STRANGER) == [403]


async def test_pages_of_named_origins_may_use_the_server_without_credentials(serve: Any) -> None:
    async with serve(cors_origin=(FRIEND, "http://localhost:3000")) as client:
        for path in ("/v2", "/v1/workers", "/v2/nothing"):
            answer = await client.get(path, headers={"Origin": FRIEND})
            assert answer.headers["access-control-allow-origin"] == FRIEND
            assert "access-control-allow-credentials" not in answer.headers
            assert (
                "Inference-Header-Content-Length" in answer.headers["access-control-expose-headers"]
            )
            assert answer.headers["vary"] == "Origin"
        asked = {
            "Origin": FRIEND,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,inference-header-content-length",
        }
        answer = await client.options("/v2/models/net/infer", headers=asked)
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-headers"].split(",") == [
            "authorization", "inference-header-content-length",
        ]  # fmt: skip
        answer = await client.get("/v2", headers={"Origin": STRANGER})
        assert answer.status_code == 403
        assert "access-control-allow-origin" not in answer.headers


async def test_all_origins_may_be_allowed_but_never_with_credentials(serve: Any) -> None:
    async with serve(cors_origin=("*",)) as client:
        for headers in ({"Origin": STRANGER}, {"Origin": STRANGER, "Cookie": "a=b"}):
            answer = await client.get("/v2", headers=headers)
            assert answer.status_code == 200
            assert answer.headers["access-control-allow-origin"] in ("*", STRANGER)
            assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize(
    "origin", ["", "friend.example", "https://friend.example/page", "ftp://friend.example", "**"]
)
def test_what_is_no_origin_is_refused(origin: str) -> None:
    with pytest.raises(ConfigError, match="cannot be that of a page"):
        ServerSettings(cors_origin=(origin,))


async def test_every_answer_is_taken_for_what_it_says_it_is(serve: Any) -> None:
    async with serve() as client:
        for path in ("/v2", "/metrics", "/nothing", "/v2/nothing"):
            answer = await client.get(path)
            assert answer.headers.get_list("x-content-type-options") == ["nosniff"]


async def never(*_: Any) -> None:
    raise AssertionError("nothing begins or ends here")


def test_a_socket_of_a_page_is_guarded_and_gets_the_protocol_that_it_insists_on(
    tmp_path: Path,
) -> None:
    async def serve(_: Any, socket: WebSocket) -> None:
        await socket.accept(chosen_protocol(socket.scope))
        await socket.close()

    parts = StackParts(
        settings=ServerSettings(),
        metrics=Metrics(),
        work=LongWork(RequestLimits(), BatchLimits()),
        lifespan=never,
    )
    wrapped = HttpStack(parts, [], [SocketEndpoint(path="/socket", handler=serve)])

    def open_socket(*protocols: str, **headers: str) -> Any:
        """Return the first message that answers the handshake."""
        sent: list[Any] = []
        received = iter([{"type": "websocket.connect"}])

        async def receive() -> Any:
            return next(received)

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "websocket",
            "path": "/socket",
            "query_string": b"",
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
            "subprotocols": list(protocols),
        }
        asyncio.run(wrapped(scope, receive, send))
        return sent[0]

    host = {"host": "127.0.0.1:8000"}
    for protocols, chosen in (
        ((), None),
        (("other",), None),
        (("bicameral", "bicameral.key.x"), "bicameral"),
    ):
        message = open_socket(*protocols, **host, origin=OWN)
        assert (message["type"], message["subprotocol"]) == ("websocket.accept", chosen)
    assert open_socket(**host)["type"] == "websocket.accept"
    refusal = open_socket(**host, origin=STRANGER)
    assert (refusal["type"], refusal["status"]) == ("websocket.http.response.start", 403)
