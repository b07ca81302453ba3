"""A supervisor with the smallest application that can be slow, hang and die; run as a script."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
from functools import partial
from pathlib import Path

from bicameral.errors import BicameralError, ConfigError
from server.limits import RequestLimits, ServerSettings
from server.logs import configure_logging
from server.processes.run_folder import RunFolder
from server.processes.supervisor import run_workers


def make_app(trouble: str, folder: RunFolder):
    if trouble == "config":
        raise ConfigError("this worker was told to fail")
    if trouble == "exit":
        os._exit(7)

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            await answer_lifespan(receive, send)
            return
        body = await act(scope["path"].strip("/"), scope["query_string"].decode())
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    async def act(action: str, argument: str) -> bytes:
        if action == "wait":  # until somebody makes a file
            Path(f"{argument}.begun").touch()
            while not Path(argument).exists():
                await asyncio.sleep(0.01)
        elif action == "hang":
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
            threading.Event().wait()  # for ever
        return json.dumps({"pid": os.getpid()}).encode()

    return app


async def answer_lifespan(receive, send):
    for stage in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{stage}.complete"})


if __name__ == "__main__":
    port, workers, drain_s, hang_s, head_timeout_s, trouble = sys.argv[1:]
    configure_logging("json", "supervisor")
    settings = ServerSettings(
        port=int(port),
        workers=int(workers),
        drain_s=float(drain_s),
        requests=RequestLimits(body_timeout_s=float(head_timeout_s)),
        meter="none",
        log_format="json",
    )
    try:
        sys.exit(run_workers(settings, partial(make_app, trouble), hang_s=float(hang_s)))
    except BicameralError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(error.exit_code)
