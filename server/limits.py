"""What one server may take on: sizes, times, queues, and how many processes share the work."""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass, fields
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from bicameral.errors import ConfigError
from server.logs import LogFormat

_CGROUP = Path("/sys/fs/cgroup")

#: Time between two looks for what other workers were asked, where folders are not watched.
_FOLLOW_S = 5.0

#: Set in ``bicameral.toml`` or the environment; as flags they are understood, but not listed.
_FINE = Parameter(show=False)

#: Stands for the pages of all origins.
EVERY_ORIGIN = "*"

_ORIGIN = re.compile(r"https?://[^/?#\s@]+")
_HOST_NAME = re.compile(r"[A-Za-z0-9._-]+")


# Above the classes, whose defaults are made while this module is read.
def _require_positive(section: str, limits: Any, may_be_zero: tuple[str, ...] = ()) -> None:
    for field in fields(limits):
        value = getattr(limits, field.name)
        zero_holds = field.name in may_be_zero
        if not math.isfinite(value) or value < 0 or (value == 0 and not zero_holds):
            expected = "from 0" if zero_holds else "above 0"
            raise ConfigError(
                f"the limit {section}.{field.name} is {value}, expected a number {expected}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestLimits:
    """What a single request may ask for.

    Attributes:
        max_body_bytes: Size of a body, after it was decompressed.
        max_held_bytes: Size of all bodies that a worker holds at a time, inflated.
        max_pixels: Pixels of all encoded pictures of a request together, counted before they are
            decoded. Each picture may take 6.25 bytes for each of them while it is decoded, as 8
            bits of colour do: 100 MB; with 16 bits, or transparency, it must be smaller.
        max_json_values: Numbers and texts of a request's JSON, if it has more than a megabyte; it
            is not read if that would take more than 64 MiB of memory, either.
        max_rows: Images, or rows of a tensor.
        timeout_s: A request that has not begun to run by then is refused.
        body_timeout_s: How long the body may take to arrive.
    """

    max_body_bytes: int = 32 << 20
    max_held_bytes: int = 256 << 20
    max_pixels: int = 16_000_000
    max_json_values: int = 4_000_000
    max_rows: int = 1024
    timeout_s: float = 30.0
    body_timeout_s: float = 10.0

    def __post_init__(self) -> None:
        _require_positive("requests", self)
        if self.max_held_bytes < self.max_body_bytes:
            raise ConfigError(
                f"the limit requests.max_held_bytes is {self.max_held_bytes}, expected at least "
                f"max_body_bytes, which is {self.max_body_bytes}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """What clients may hold of a worker before they have asked for anything.

    Attributes:
        max_connections: Connections of one worker, fewer where it may open fewer files. Beyond it
            those that have been idle for longest are closed.
        max_head_bytes: Size of a request's head, and of what follows a body in chunks.
        max_heads_bytes: Size of all heads of a worker that are not complete.
    """

    max_connections: int = 4096
    max_head_bytes: int = 64 << 10
    max_heads_bytes: int = 16 << 20

    def __post_init__(self) -> None:
        _require_positive("connections", self)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchLimits:
    """How the requests for one model are put together, and how many may wait.

    Attributes:
        max_rows: Rows of several requests that run as one. A single request may have more.
        max_run_s: Requests are put together only as far as their run should take no longer than
            this: beyond a few milliseconds a batch saves no processor time, it only makes everybody
            wait for everybody.
        in_place_s: Runs that should take no longer than this are made on the event loop, longer
            ones in the model's thread. Going to a thread and back costs 45 to 92 us of processor
            time, so at 1 ms it is below a tenth of the run; and nothing else of this process waits
            for longer than this.
        max_queued_requests: Requests that wait for one model; further ones are refused.
        max_wait_s: A request that would probably wait longer than this is refused at once.
    """

    max_rows: int = 32
    max_run_s: float = 0.02
    in_place_s: float = 0.001
    max_queued_requests: int = 128
    max_wait_s: float = 2.0

    def __post_init__(self) -> None:
        _require_positive("batching", self, may_be_zero=("in_place_s",))


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamLimits:
    """What an agent that drives over a WebSocket may ask for. Messages are limited as bodies are.

    Attributes:
        max_streams: Episodes that one process drives at a time; further ones are refused.
        max_route_points: Points of a route, which usually lie a metre apart.
        idle_timeout_s: How long nothing may come before the connection is closed.
    """

    max_streams: int = 64
    max_route_points: int = 100_000
    idle_timeout_s: float = 60.0

    def __post_init__(self) -> None:
        _require_positive("streams", self)


@dataclass(frozen=True, slots=True, kw_only=True)
class LearningLimits:
    """What models may be taught at run time. A model has limits of its own beside these.

    Attributes:
        max_pictures: Pictures of one request.
        max_classes: Classes of one version of a model that examples were given of.
        max_examples: Examples of one class.
        max_bytes: Examples of all models, as canonical images; they are held in memory.
    """

    max_pictures: int = 64
    max_classes: int = 64
    max_examples: int = 128
    max_bytes: int = 64 << 20

    def __post_init__(self) -> None:
        _require_positive("learning", self)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """Settings of a server.

    Attributes:
        host: Address to listen on; the default is reachable from this machine only.
        port: TCP port; 0: any free one.
        grpc_port: TCP port for gRPC beside HTTP; None: there is none. Needs the extra 'grpc'.
        workers: Processes that share the port; None: as many as there are processors.
        connections: Limits of connections, and of what comes before a request.
        requests: Limits of a single request.
        batching: Limits of each model's queue.
        streams: Limits of driving over a WebSocket.
        learning: Limits of what models are taught at run time.
        drain_s: How long shutting down, or unloading a model, waits for what was accepted.
        remember: Whether cascades keep the result memory that their sidecars describe.
        redis_url: The Redis or Valkey server on which all processes share it; None: each process
            has its own.
        api_keys: File of the API keys, made by ``bicameral keys new``; None: everybody may do
            everything.
        watch_s: Time between two looks into the folders of models. What is new or has changed there
            is loaded when it is the same at two looks; 0: by request only. Within this time a
            worker also follows what another one was asked.
        meter: Which meter of energy is read: ``auto``, ``ina3221``, ``rapl``, ``nvml``, ``none``.
        cors_origin: Origins whose pages may use the server beside its own page, e.g.
            ``https://example.org``; ``*``: all.
        allowed_host: Names by which a server that can be reached from its own machine only may be
            called beside localhost and loopback addresses: those of a proxy before it.
        log_format: Lines of text, or of JSON.
        log_requests: Log every request.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    grpc_port: int | None = None
    workers: int | None = None
    connections: Annotated[ConnectionLimits, _FINE] = ConnectionLimits()
    requests: Annotated[RequestLimits, _FINE] = RequestLimits()
    batching: Annotated[BatchLimits, _FINE] = BatchLimits()
    streams: Annotated[StreamLimits, _FINE] = StreamLimits()
    learning: Annotated[LearningLimits, _FINE] = LearningLimits()
    drain_s: Annotated[float, _FINE] = 10.0
    remember: Annotated[bool, _FINE] = True
    redis_url: str | None = None
    api_keys: Path | None = None
    watch_s: Annotated[float, _FINE] = 5.0
    meter: str = "auto"
    cors_origin: tuple[str, ...] = ()
    allowed_host: tuple[str, ...] = ()
    log_format: LogFormat = "text"
    log_requests: bool = False

    def __post_init__(self) -> None:
        checks = (
            ("port", 0 <= self.port <= 65535, "0..65535"),
            ("grpc_port", 1 <= (self.grpc_port or 1) <= 65535, "1..65535"),
            ("workers", self.workers is None or self.workers >= 1, "at least 1"),
            ("drain_s", 0 <= self.drain_s < math.inf, "0 s or more"),
            ("watch_s", 0 <= self.watch_s < math.inf, "0 s or more"),
        )
        for name, holds, expected in checks:
            if not holds:
                raise ConfigError(
                    f"the server's {name} is {getattr(self, name)}, expected {expected}"
                )

        if self.grpc_port == self.port:
            raise ConfigError(
                f"the server's port and grpc_port are both {self.port}; give gRPC another one"
            )

        for origin in self.cors_origin:
            if origin != EVERY_ORIGIN and not _ORIGIN.fullmatch(origin):
                raise ConfigError(
                    f"the origin {origin!r} cannot be that of a page; expected e.g. "
                    f"'https://example.org' or 'http://localhost:3000', or '{EVERY_ORIGIN}' for all"
                )

        for name in self.allowed_host:
            if not _HOST_NAME.fullmatch(name):
                raise ConfigError(
                    f"the allowed host {name!r} is no name; expected e.g. 'models.example.org', "
                    "without a port"
                )

    @property
    def follow_s(self) -> float:
        """How long it may take until a worker looks what another one was asked."""
        return self.watch_s or _FOLLOW_S

    @property
    def local(self) -> bool:
        """Whether it can be reached from this machine only."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def available_processors(cgroup: Path = _CGROUP) -> int:
    """Return how many processors this process may use, at least 1.

    That is the smaller of its affinity and of its control group's quota (version 2 ``cpu.max``,
    version 1 ``cpu.cfs_quota_us``); half a processor more counts as none, since every process takes
    a whole one under load.

    Args:
        cgroup: Where the control group is mounted.
    """
    if hasattr(os, "sched_getaffinity"):
        affinity = len(os.sched_getaffinity(0))
    else:
        affinity = os.cpu_count() or 1
    quota = _cgroup_quota(cgroup)
    return max(1, affinity if quota is None else min(affinity, int(quota)))


def _cgroup_quota(cgroup: Path) -> float | None:
    """Return the quota in processors, or None if there is none."""
    try:
        if (cgroup / "cpu.max").exists():
            quota, period = (cgroup / "cpu.max").read_text("ascii").split()
        else:
            quota = (cgroup / "cpu/cpu.cfs_quota_us").read_text("ascii").strip()
            period = (cgroup / "cpu/cpu.cfs_period_us").read_text("ascii").strip()
        # Without a quota version 2 says "max", version 1 says -1.
        return None if quota in ("max", "-1") else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None
