"""What a worker is told when it starts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from server.logs import LogSettings
from server.processes.run_folder import RunFolder

if TYPE_CHECKING:
    from starlette.types import ASGIApp


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """A worker's place.

    Attributes:
        slot: 0..workers-1; a replacement takes the place of the dead one over.
        workers: How many there are.
        folder: Where they meet.
        host: Address to listen on.
        port: TCP port, reserved by the supervisor.
        drain_s: How long to wait for accepted requests at the end.
        head_timeout_s: How long the head of a request may take to arrive.
        max_message_bytes: Size of a WebSocket's message.
        logs: How to log.
    """

    slot: int
    workers: int
    folder: RunFolder
    host: str
    port: int
    drain_s: float
    head_timeout_s: float
    max_message_bytes: int
    logs: LogSettings


#: Makes the application of one worker. It crosses into the new process, so it is a function of a
#: module, or a `functools.partial` of one.
AppFactory = Callable[[Assignment], "ASGIApp"]
