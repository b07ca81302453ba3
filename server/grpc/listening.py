"""gRPC's own port of one worker; the kernel shares it among the workers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import grpc.aio
from starlette.types import ASGIApp

from bicameral.errors import MachineError
from server.grpc.calls import Calls
from server.limits import ServerSettings

#: Names, shapes and parameters beside the tensors of a message.
_MORE_BYTES: Final = 1 << 20

#: Calls of one connection at a time, as HTTP/2 servers have it.
_MOST_STREAMS: Final = 128


@asynccontextmanager
async def grpc_port(app: ASGIApp, settings: ServerSettings) -> AsyncIterator[None]:
    """Answer calls meanwhile; what was accepted is finished at the end, for at most ``drain_s``.

    Args:
        app: Answers them, see `Calls`.
        settings: Where to listen, and what a message may have.

    Raises:
        MachineError: If the port cannot be had.
    """
    requests = settings.requests
    server = grpc.aio.server(
        options=[
            ("grpc.max_receive_message_length", requests.max_body_bytes + _MORE_BYTES),
            ("grpc.max_send_message_length", -1),
            ("grpc.max_concurrent_streams", _MOST_STREAMS),
            ("grpc.max_metadata_size", settings.connections.max_head_bytes),
            ("grpc.so_reuseport", 1),
        ],
        maximum_concurrent_rpcs=settings.connections.max_connections,
    )
    server.add_generic_rpc_handlers((Calls(app).handlers(),))
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    try:
        server.add_insecure_port(f"{host}:{settings.grpc_port}")
    except RuntimeError as error:
        raise MachineError(
            f"cannot listen for gRPC on {host} port {settings.grpc_port}: {error}; choose another "
            "--grpc-port"
        ) from error
    await server.start()
    try:
        yield
    finally:
        await server.stop(settings.drain_s)
