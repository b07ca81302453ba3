"""One connection of a worker: what is left of it when it has ended."""

from __future__ import annotations

import asyncio
import gc
import resource
import socket
import struct
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import uvicorn
from starlette.types import Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from server.limits import ConnectionLimits
from server.processes.http_protocol import HttpProtocol
from server.processes.worker import connections_within_files


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    start: Message = {"type": "http.response.start", "status": 200, "headers": []}
    await send(start)
    await send({"type": "http.response.body", "body": b"done"})


def limited(config: Any, connections: ConnectionLimits, head_timeout_s: float = 10.0) -> None:
    """Give uvicorn's configuration what `WorkerConfig` has beside it."""
    config.head_timeout_s = head_timeout_s
    config.connections = connections
    config.most_connections = connections.max_connections
    config.kept_bytes, config.unsent = 0, []


@pytest.fixture(scope="module")
def anyio_backend() -> tuple[str, dict[str, bool]]:
    """Run these tests on the event loop of the workers."""
    return "asyncio", {"use_uvloop": True}


@asynccontextmanager
async def serve(
    app: Any = application, head_timeout_s: float = 10.0, **limits: int
) -> AsyncIterator[Callable[[], Any]]:
    """Run a server while a context is open, which gives what connects to it."""
    config: Any = uvicorn.Config(app, lifespan="off", log_config=None, timeout_keep_alive=60)
    limited(config, ConnectionLimits(**limits), head_timeout_s)
    config.load()
    state = ServerState()
    server = await asyncio.get_running_loop().create_server(
        lambda: HttpProtocol(config=config, server_state=state, app_state={}), "127.0.0.1", 0
    )
    address = server.sockets[0].getsockname()
    async with asyncio.timeout(180):
        yield lambda: asyncio.open_connection(*address)
    server.close()
    await asyncio.sleep(0.01)
    assert config.kept_bytes == 0, "nothing is counted of connections that are gone"


HEAD = b"GET / HTTP/1.1\r\nHost: x\r\n"
CHUNKS = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n"


async def reading(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers when the body is there, with the names of its headers."""
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": repr(scope["headers"]).encode()})


async def answer_to(connect: Any, *parts: bytes) -> bytes:
    """Send parts one after the other, and return the beginning of the answer."""
    reader, writer = await connect()
    for part in parts:
        writer.write(part)
        await writer.drain()
        await asyncio.sleep(0.01)
    answer: bytes = await reader.read(4096)
    writer.close()
    return answer


@pytest.mark.parametrize(
    "parts",
    [
        (HEAD, b"A: " + b"a" * 5000),
        (HEAD, b"A: " + b"a" * 500, b"b" * 4000, b"\r\n\r\n"),
        (HEAD + b"A: " + b"a" * 5000 + b"\r\n\r\n",),
        (b"GET /" + b"a" * 5000,),
        (b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",),
        (CHUNKS, b"A: " + b"a" * 5000),
        (HEAD + b"A:\r\n" * 300 + b"\r\n",),
        (HEAD, b"A:\r\n" * 300),
        (CHUNKS, b"A:\r\n" * 300),
        (CHUNKS[:-3] + b"2;a=", b"a" * 5000),
    ],
)
async def test_what_is_no_body_is_refused_when_it_is_large(parts: tuple[bytes, ...]) -> None:
    async with serve(reading, max_head_bytes=4096) as connect:
        answer = await answer_to(connect, *parts)
        assert answer.startswith(b"HTTP/1.1 431")
        assert b'{"error":' in answer


async def test_a_head_of_very_many_headers_is_not_read_to_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read: list[bytes] = []
    take = HttpToolsProtocol.on_header

    def counted(self: HttpToolsProtocol, name: bytes, value: bytes) -> None:
        read.append(name)
        take(self, name, value)

    monkeypatch.setattr(HttpToolsProtocol, "on_header", counted)
    async with serve() as connect:
        answer = await answer_to(connect, HEAD + b"A:\r\n" * 20_000 + b"\r\n")
        assert answer.startswith(b"HTTP/1.1 431")
    assert len(read) < 300


async def test_a_large_body_is_no_large_head() -> None:
    async with serve(reading, max_head_bytes=4096) as connect:
        head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 20000\r\n\r\n"
        for parts in ((head + b"a" * 20000,), (head, b"a" * 9000, b"a" * 11000)):
            assert (await answer_to(connect, *parts)).startswith(b"HTTP/1.1 200")


async def test_what_follows_a_body_in_chunks_does_not_become_a_header() -> None:
    async with serve(reading) as connect:
        answer = await answer_to(connect, CHUNKS + b"X-API-Key: k\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200")
        assert b"api-key" not in answer


@pytest.mark.parametrize(
    "head", [b"GET / HTTP/1.1\r\n\r\n", HEAD + b"Host: y\r\n\r\n", b"nonsense\r\n\r\n"]
)
async def test_a_head_that_is_none_is_told_so_in_json(head: bytes) -> None:
    async with serve() as connect:
        answer = await answer_to(connect, head)
        assert answer.startswith(b"HTTP/1.1 400")
        assert b"content-type: application/json" in answer
        assert b'{"error":' in answer


async def refusing(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers without a look at the body."""
    headers = [(b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": b"no"})


def sent_before_reading(address: tuple[str, int], request: bytes) -> bytes:
    """Send all of a request, only then read, and return all that was answered."""
    answer = b""
    with socket.create_connection(address, timeout=180) as client:
        client.sendall(request)
        while data := client.recv(65536):
            answer += data
    return answer


#: More than the system holds between two processes.
MUCH = b"a" * (16 << 20)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (HEAD + b"A: " + MUCH, 431),
        (HEAD + b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(MUCH) + MUCH, 413),
        (CHUNKS + b"A: " + MUCH, 413),
        (b"nonsense" + MUCH, 400),
    ],
)
async def test_who_sends_on_hears_one_answer_and_no_reset(request_: bytes, status: int) -> None:
    async with serve(refusing) as connect:
        _, writer = await connect()
        address = writer.get_extra_info("peername")
        answer = await asyncio.to_thread(sent_before_reading, address, request_)
        writer.close()
    assert answer.startswith(b"HTTP/1.1 %d" % status)
    assert answer.count(b"HTTP/1.1 ") == 1


async def test_who_sends_on_for_ever_is_cut_off() -> None:
    async with serve(refusing, head_timeout_s=0.2) as connect:
        reader, writer = await connect()
        writer.write(HEAD + b"A: " + MUCH)
        assert (await reader.read()).startswith(b"HTTP/1.1 431")
        with suppress(ConnectionError):
            while True:
                writer.write(MUCH)
                await writer.drain()


async def test_what_is_written_of_an_answer_is_sent_before_more_of_it_is_there() -> None:
    go_on = asyncio.Event()

    async def slowly(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-length", b"4")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        if scope["method"] != "HEAD":
            await send({"type": "http.response.body", "body": b"ab", "more_body": True})
            await go_on.wait()
        await send({"type": "http.response.body", "body": b"cd"})

    async with serve(slowly) as connect:
        reader, writer = await connect()
        writer.write(HEAD.replace(b"GET", b"HEAD") + b"\r\n")
        assert b"content-length: 4" in await reader.readuntil(b"\r\n\r\n")
        writer.write(HEAD + b"\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        assert await reader.readexactly(2) == b"ab"
        go_on.set()
        assert await reader.readexactly(2) == b"cd"
        writer.close()


async def answered(reader: asyncio.StreamReader) -> bytes:
    """Return one answer of two bytes."""
    return await reader.readuntil(b"\r\n\r\n") + await reader.readexactly(2)


@pytest.mark.parametrize("rest", [b"a" * 20000, b"a" * 20000 + b"\r\n"])
async def test_a_connection_lives_on_when_a_body_ends_after_its_refusal(rest: bytes) -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 20000\r\n\r\n"
    async with serve(refusing, head_timeout_s=0.2) as connect:
        reader, writer = await connect()
        writer.write(head)
        assert (await answered(reader)).startswith(b"HTTP/1.1 413")
        writer.write(rest)
        await writer.drain()
        # As long as a head may take: whoever has begun none is not cut off.
        late, begun = await connect()
        begun.write(HEAD)
        assert await late.read() == b""
        writer.write(head + b"a" * 20000)
        assert (await answered(reader)).startswith(b"HTTP/1.1 413")
        for one in (writer, begun):
            one.close()


async def test_the_rest_of_a_refused_body_has_to_come_in_time() -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 20000\r\n\r\n"
    async with serve(refusing, head_timeout_s=0.2) as connect:
        reader, writer = await connect()
        writer.write(head)
        assert (await answered(reader)).startswith(b"HTTP/1.1 413")
        writer.write(b"a" * 100)
        assert await reader.read() == b""
        writer.close()


async def test_heads_of_all_connections_are_limited_together() -> None:
    async with serve(max_heads_bytes=3000) as connect:
        waiting = []
        for _ in range(3):
            reader, writer = await connect()
            writer.write(HEAD + b"A: " + b"a" * 900)
            waiting.append((reader, writer))
        await asyncio.sleep(0.05)
        assert (await answer_to(connect, HEAD + b"A: " + b"a" * 900)).startswith(b"HTTP/1.1 503")
        assert (await answer_to(connect, HEAD + b"\r\n")).startswith(b"HTTP/1.1 200")
        for reader, writer in waiting:
            writer.write(b"\r\n\r\n")
            assert (await reader.read(4096)).startswith(b"HTTP/1.1 200")
            writer.close()


async def test_idle_connections_make_room_for_those_that_ask() -> None:
    async with serve(max_connections=10) as connect:
        asked = await connect()
        asked[1].write(HEAD + b"\r\n")
        assert (await asked[0].read(4096)).startswith(b"HTTP/1.1 200")
        idle = [await connect() for _ in range(30)]
        assert (await answer_to(connect, HEAD + b"\r\n")).startswith(b"HTTP/1.1 200")
        assert await idle[0][0].read(1) == b"", "the oldest is closed"
        asked[1].write(HEAD + b"\r\n")
        assert (await asked[0].read(4096)).startswith(b"HTTP/1.1 200"), "it has asked before"
        for _, writer in (asked, *idle):
            writer.close()


async def test_a_server_whose_connections_are_all_in_use_says_so() -> None:
    async with serve(reading, max_connections=2) as connect:
        head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n"
        busy = [await connect() for _ in range(2)]
        for _, writer in busy:
            writer.write(head)
        await asyncio.sleep(0.05)
        assert (await answer_to(connect)).startswith(b"HTTP/1.1 503")
        for reader, writer in busy:
            writer.write(b"{}")
            assert (await reader.read(4096)).startswith(b"HTTP/1.1 200")
            writer.close()


def test_connections_leave_files_for_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    set_to: list[Any] = []
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: set_to.append(limits))
    for limits, connections in (
        ((1024, 1024), 768),
        ((1024, 1 << 20), 4096),
        ((1024, resource.RLIM_INFINITY), 4096),
        ((1 << 20, 1 << 20), 4096),
        ((64, 64), 32),
    ):
        monkeypatch.setattr(resource, "getrlimit", lambda _, limits=limits: limits)
        assert connections_within_files(4096) == connections
    assert set_to[1:3] == [(4352, 1 << 20), (4352, resource.RLIM_INFINITY)]


async def test_nothing_is_left_of_a_connection_that_its_client_has_reset() -> None:
    made: list[weakref.ref[HttpProtocol]] = []
    ended = asyncio.Event()

    class Protocol(HttpProtocol):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            made.append(weakref.ref(self))

        def connection_lost(self, error: Exception | None) -> None:
            super().connection_lost(error)
            assert error is not None  # it was reset, not closed
            ended.set()

    config = uvicorn.Config(application, lifespan="off", log_config=None, timeout_keep_alive=60)
    limited(config, ConnectionLimits())
    config.load()
    state = ServerState()
    server = await asyncio.get_running_loop().create_server(
        lambda: Protocol(config=config, server_state=state, app_state={}), "127.0.0.1", 0
    )
    client = socket.socket()
    client.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(client, server.sockets[0].getsockname())
    await loop.sock_sendall(client, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (await loop.sock_recv(client, 4096)).startswith(b"HTTP/1.1 200")
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    await asyncio.wait_for(ended.wait(), 30)
    server.close()
    await asyncio.sleep(0)
    gc.collect()
    assert [reference() for reference in made] == [None]


class SentTo:
    """A transport that notes when something is sent to its client."""

    def __init__(self, events: list[str]) -> None:
        self._events = events

    def write(self, data: bytes) -> None:
        self._events.append(f"sent {len(data)} bytes")

    def writelines(self, parts: list[bytes]) -> None:
        self.write(b"".join(parts))

    def is_closing(self) -> bool:
        return False

    def get_extra_info(self, name: str) -> None:
        return None

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


async def test_what_is_answered_in_one_turn_of_the_loop_is_sent_together_when_all_is_answered() -> (
    None
):
    events: list[str] = []

    async def noting(scope: Scope, receive: Receive, send: Send) -> None:
        await application(scope, receive, send)
        events.append("answered")

    config: Any = uvicorn.Config(noting, lifespan="off", log_config=None)
    limited(config, ConnectionLimits())
    config.load()
    state = ServerState()
    for _ in range(3):
        connection = HttpProtocol(config=config, server_state=state, app_state={})
        connection.connection_made(SentTo(events))  # type: ignore[arg-type]
        connection.data_received(HEAD + b"\r\n")
    while len(events) < 6:
        await asyncio.sleep(0)
    assert events[:3] == ["answered"] * 3
    assert len(set(events[3:])) == 1, "head and body are one piece"
    for one in list(state.connections):
        one.connection_lost(None)  # type: ignore[union-attr]


async def test_much_is_sent_at_once() -> None:
    events: list[str] = []

    async def long(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for more in (True, True, False):
            await send({"type": "http.response.body", "body": bytes(70_000), "more_body": more})
            events.append("written")

    config: Any = uvicorn.Config(long, lifespan="off", log_config=None)
    limited(config, ConnectionLimits())
    config.load()
    connection = HttpProtocol(config=config, server_state=ServerState(), app_state={})
    connection.connection_made(SentTo(events))  # type: ignore[arg-type]
    connection.data_received(HEAD + b"\r\n")
    while events.count("written") < 3:
        await asyncio.sleep(0)
    assert events[1::2] == ["written"] * 3
    assert all(event.startswith("sent 70") for event in events[::2])
    connection.connection_lost(None)


async def test_a_connection_that_cannot_send_keeps_back_no_later_answer() -> None:
    class Broken(SentTo):
        def write(self, data: bytes) -> None:
            raise RuntimeError("the other end has gone")

    events: list[str] = []
    config: Any = uvicorn.Config(
        application, lifespan="off", log_config=None, timeout_keep_alive=60
    )
    limited(config, ConnectionLimits())
    config.load()
    asyncio.get_running_loop().set_exception_handler(lambda *_: events.append("broken"))
    for transport, outcome in ((Broken(events), "broken"), (SentTo(events), "sent")):
        connection = HttpProtocol(config=config, server_state=ServerState(), app_state={})
        connection.connection_made(transport)  # type: ignore[arg-type]
        connection.data_received(HEAD + b"\r\n")
        async with asyncio.timeout(20):
            while not events:
                await asyncio.sleep(0)
        connection.connection_lost(None)
        assert [event.split()[0] for event in events] == [outcome]
        events.clear()
