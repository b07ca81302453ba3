"""One worker process: uvicorn on the server's socket, which ends itself if it hangs."""

from __future__ import annotations

import faulthandler
import logging
import math
import multiprocessing
import os
import resource
import signal
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from uvicorn.config import STARTUP_FAILURE

from bicameral.allocation import keep_large_blocks_apart
from bicameral.errors import BicameralError
from server.limits import ServerSettings
from server.logs import LogFormat, configure_logging
from server.processes.http_protocol import ConnectionConfig, HttpProtocol, WebSocketProtocol
from server.processes.run_folder import RunFolder
from server.serving.footprint import collect_often, let_names_come_and_go

if TYPE_CHECKING:
    from starlette.types import ASGIApp

_log = logging.getLogger(__name__)

#: Time between two signs of life, in whole seconds.
_ALIVE_EVERY_S = 1

#: A process that does not answer its supervisor for so long is killed. It answers from a thread of
#: its own, but not before it has imported what it is started with.
_ANSWER_S = 30

#: uvicorn closes a connection that was idle for so long. Its own default of 5 s makes clients that
#: keep connections in a pool run into closed ones; this is nginx's.
_IDLE_CONNECTION_S = 75


#: Blocks of bodies and pictures from here on go back to the system when they are freed.
_LARGE_BLOCK_BYTES = 4 << 20

#: Files that a worker may need beside its connections.
_OWN_FILES = 256


class WorkerConfig(ConnectionConfig):
    """What every worker is told; it crosses into the new process.

    Attributes:
        folder: Where the workers meet.
        drain_s: How long to wait for accepted requests at the end.
    """

    def __init__(
        self,
        factory: Callable[[RunFolder], ASGIApp],
        folder: RunFolder,
        settings: ServerSettings,
        *,
        workers: int,
        hang_s: float,
    ) -> None:
        drain_s, requests = settings.drain_s, settings.requests
        super().__init__(
            partial(_make_app, factory, folder, settings.log_format),
            factory=True,
            loop="uvloop",
            http=HttpProtocol,
            ws=WebSocketProtocol,
            ws_max_size=requests.max_body_bytes,
            # Pictures hardly become smaller, at several milliseconds each.
            ws_per_message_deflate=False,
            lifespan="on",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            workers=workers,
            timeout_keep_alive=_IDLE_CONNECTION_S,
            timeout_graceful_shutdown=math.ceil(drain_s),
            timeout_worker_healthcheck=_ANSWER_S,
            # While it finishes what it accepted it gives no signs of life.
            callback_notify=partial(_show_life, folder, hang_s + drain_s),
            timeout_notify=_ALIVE_EVERY_S,
        )
        self.folder = folder
        self.drain_s = drain_s
        self.head_timeout_s = requests.body_timeout_s
        self.connections = settings.connections
        self.most_connections = self.connections.max_connections
        self.kept_bytes = 0
        self.unsent = []

    def load(self) -> None:
        """Prepare to serve, in the worker's process."""
        super().load()
        collect_often()
        let_names_come_and_go()
        self.most_connections = connections_within_files(self.connections.max_connections)


def connections_within_files(wanted: int) -> int:
    """Return how many connections this process may have, and let it open as many files.

    Every connection is a file. A process that can open no more accepts nobody, and cannot read its
    own models, so some are kept for it.
    """
    files, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + _OWN_FILES
    if files != resource.RLIM_INFINITY and files < needed:
        files = needed if most == resource.RLIM_INFINITY else min(needed, most)
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, most))
    else:
        files = needed
    return max(1, min(wanted, files - min(_OWN_FILES, files // 2)))


def _make_app(
    factory: Callable[[RunFolder], ASGIApp], folder: RunFolder, log_format: LogFormat
) -> ASGIApp:
    """Make the application, in the worker's process.

    Raises:
        SystemExit: If it cannot be made; the log says why.
    """
    configure_logging(log_format, f"worker-{os.getpid()}")
    keep_large_blocks_apart(_LARGE_BLOCK_BYTES)
    try:
        return factory(folder)
    except BicameralError as error:
        _log.error("this worker cannot begin: %s", error)
        raise SystemExit(STARTUP_FAILURE) from None


async def _show_life(folder: RunFolder, hang_s: float) -> None:
    """Put off the end of this process; called again and again on the event loop of one that serves.

    If it is not called in time, the process says where it hangs, ends, and is replaced. If its
    supervisor is gone, it ends in good order.
    """
    folder.served.touch()
    faulthandler.dump_traceback_later(hang_s, exit=True)
    supervisor = multiprocessing.parent_process()
    if supervisor is not None and not supervisor.is_alive():
        _log.error("the supervisor is gone, so this worker stops")
        signal.raise_signal(signal.SIGTERM)
