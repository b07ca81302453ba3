"""One worker process: uvicorn on its share of the port, with signs of life for the supervisor."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import signal
import socket
from collections.abc import Iterator
from multiprocessing.connection import Connection
from types import FrameType

import uvicorn

from bicameral.errors import BicameralError
from server.logs import configure_logging
from server.processes.assignment import AppFactory, Assignment
from server.processes.http_protocol import http_protocol
from server.processes.ports import bind_shared
from server.processes.websocket_protocol import WebSocketProtocol
from server.processes.worker_status import remove_status

_log = logging.getLogger(__name__)

#: What a worker tells its supervisor: it accepts connections; it is alive; why it gave up.
SERVING, ALIVE, FAILED = b"serving", b"alive", b"failed:"

#: Time between two signs of life.
ALIVE_EVERY_S = 2.0

#: uvicorn closes a connection that was idle for so long. Its own default of 5 s makes clients that
#: keep connections in a pool run into closed ones; this is nginx's.
_IDLE_CONNECTION_S = 75

#: Exit code of a worker that could not begin; the supervisor has the reason.
FAILED_EXIT_CODE = 3


def run_worker(assignment: Assignment, factory: AppFactory, supervisor: Connection) -> None:
    """Serve until SIGTERM; the main function of a worker process.

    On SIGTERM it accepts no more connections, finishes the requests that it has begun to read, for
    at most `Assignment.drain_s`, and returns. It does the same if its supervisor dies.

    Args:
        assignment: Its place.
        factory: Makes its application.
        supervisor: The writing end of a pipe to the supervisor.

    Raises:
        SystemExit: 3 if it could not begin.
    """
    configure_logging(assignment.logs, f"worker-{assignment.slot}")
    try:
        listener = bind_shared(assignment.host, assignment.port)
        app = factory(assignment)
    except BicameralError as error:
        supervisor.send_bytes(FAILED + str(error).encode())
        raise SystemExit(FAILED_EXIT_CODE) from None
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http=http_protocol(assignment.head_timeout_s),
        ws=WebSocketProtocol,
        ws_max_size=assignment.max_message_bytes,
        # Pictures hardly become smaller, at several milliseconds each.
        ws_per_message_deflate=False,
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=_IDLE_CONNECTION_S,
        timeout_graceful_shutdown=math.ceil(assignment.drain_s),
    )
    _WorkerServer(config, assignment, supervisor).run(sockets=[listener])


class _WorkerServer(uvicorn.Server):
    """uvicorn's server, which obeys its supervisor alone and tells it how it is."""

    def __init__(
        self, config: uvicorn.Config, assignment: Assignment, supervisor: Connection
    ) -> None:
        super().__init__(config)
        self._assignment = assignment
        self._supervisor = supervisor

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until told to stop."""
        signs = asyncio.create_task(self._show_life())
        try:
            await super().serve(sockets)
        finally:
            signs.cancel()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the application, then listen."""
        await super().startup(sockets)
        self._tell(SERVING)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept no more connections, finish what was accepted, stop the application."""
        remove_status(self._assignment.folder, self._assignment.slot)  # the server is not ready
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop on SIGTERM; what a terminal sends to all is the supervisor's business."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, self._stop)
        yield

    def _stop(self, _signal: int, _frame: FrameType | None) -> None:
        self.should_exit = True

    async def _show_life(self) -> None:
        while True:
            await asyncio.sleep(ALIVE_EVERY_S)
            self._tell(ALIVE)

    def _tell(self, what: bytes) -> None:
        try:
            self._supervisor.send_bytes(what)
        except OSError:
            if not self.should_exit:
                _log.error("the supervisor is gone, so this worker stops")
            self.should_exit = True
