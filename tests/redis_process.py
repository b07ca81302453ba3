"""A Redis or Valkey server of the tests' own, on a socket, without persistence."""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest


class RedisProcess:
    """A server that accepts connections."""

    def __init__(self, folder: Path) -> None:
        self.socket, self._folder = folder / "redis.sock", folder
        self.url = f"unix://{self.socket}"
        self.start()

    def start(self) -> None:
        program = shutil.which("valkey-server") or shutil.which("redis-server")
        if program is None:
            pytest.skip("the Debian package redis-server (or valkey-server) is not installed")
        arguments = ["--port", "0", "--unixsocket", str(self.socket), "--save", ""]
        self.process = subprocess.Popen(
            [program, *arguments, "--appendonly", "no", "--dir", str(self._folder)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if "ready to accept connections" in line.lower():
                break
        self._reader = threading.Thread(target=_drain, args=(self.process.stdout,))
        self._reader.start()

    def stop(self) -> None:
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        self.process.wait()
        self._reader.join()


def _drain(pipe: IO[str]) -> None:
    """Read on, so that the server never waits for somebody to read its log."""
    with pipe:
        for _ in pipe:
            pass


@contextmanager
def running_redis() -> Iterator[RedisProcess]:
    """Run a server while a context is open."""
    # Not pytest's folder: a socket's path has 107 characters at most.
    with tempfile.TemporaryDirectory() as folder:
        server = RedisProcess(Path(folder))
        yield server
        server.stop()
