"""One connection of a worker: what is left of it when it has ended."""

from __future__ import annotations

import asyncio
import gc
import socket
import struct
import weakref
from typing import Any

import uvicorn
import uvloop
from starlette.types import Message, Receive, Scope, Send
from uvicorn.server import ServerState

from server.processes.http_protocol import HttpProtocol


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    start: Message = {"type": "http.response.start", "status": 200, "headers": []}
    await send(start)
    await send({"type": "http.response.body", "body": b"done"})


def test_nothing_is_left_of_a_connection_that_its_client_has_reset() -> None:
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

    async def use() -> None:
        config = uvicorn.Config(application, lifespan="off", log_config=None, timeout_keep_alive=60)
        config.head_timeout_s = 10.0  # type: ignore[attr-defined]
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

    uvloop.run(use())
