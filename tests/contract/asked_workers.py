"""Asks every worker of a server; one port leads to all of them, and the kernel chooses."""

from __future__ import annotations

import time
from collections.abc import Mapping
from http.client import HTTPConnection

PATIENCE_S = 180.0


def ask_every_worker(
    port: int,
    workers: int,
    path: str,
    method: str = "GET",
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> list[tuple[int, bytes]]:
    """Return the latest status and body of each worker.

    New connections are made until all have answered: a worker's request ids begin alike. A busy
    machine may let one of them take very many connections in a row.
    """
    latest: dict[str, tuple[int, bytes]] = {}
    give_up_s = time.monotonic() + PATIENCE_S
    while len(latest) < workers:
        assert time.monotonic() < give_up_s, f"{len(latest)} of {workers} workers answered {path}"
        connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
        try:
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            worker = answer.headers["X-Request-Id"].partition("-")[0]
            latest[worker] = answer.status, answer.read()
        finally:
            connection.close()
    return list(latest.values())
