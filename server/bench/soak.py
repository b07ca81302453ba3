"""A long day in short: mixed traffic in which every answer is checked, and things that happen.

Models come and go, clients leave in the middle of their requests, and half way one worker is
killed. Who was connected to that worker sees the connection end and asks again; nobody else may
notice anything.
"""

from __future__ import annotations

import asyncio
import http.client
import itertools
import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bicameral.errors import MachineError
from server.bench.load import AnswerReader
from server.bench.memory_slope import MemorySlope, memory_slope, private_bytes
from server.bench.questions import VISITOR, Question, make_questions, write_models
from server.bench.server_under_test import RunningServer, ServerCommand, running_server

_WORKERS = 2
_SAMPLE_EVERY_S = 2.0
_VISIT_EVERY_S = 1.5
#: Clients pause for up to this time between two requests, so that the server is not saturated.
_PAUSE_S = 0.03
_ATTEMPTS = 5
#: What the server asks those to wait whom it refuses because it has too much to do.
_REFUSED_S = 1.0
_PATIENCE_S = 60.0
#: Connections end at once when their process is killed; later ones have another reason.
_KILL_ECHO_S = 2.0
_MOST_FAULTS = 20

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class SoakSettings:
    """How long, and how much.

    Attributes:
        command: Words that start the server; a folder and flags follow.
        duration_s: How long.
        clients: Clients that ask and check.
        leavers: Clients that leave in the middle.
        seed: Decides who asks what.
    """

    command: Sequence[str]
    duration_s: float = 600.0
    clients: int = 6
    leavers: int = 2
    seed: int = 0


@dataclass(slots=True, kw_only=True)
class SoakResult:
    """What happened.

    Attributes:
        answered: Right answers by question.
        absent: Answers that a visitor is not there, while it came and went.
        refused: Answers that the server has too much to do; they were asked again.
        wrong: Descriptions of wrong answers and unexpected statuses.
        unexplained: Descriptions of connections that ended although no worker was killed.
        resets: Connections that ended when the worker was killed.
        repeated: Their requests, all of which were answered when asked again.
        left: Requests whose client left before the answer.
        visits: How often a model was loaded and unloaded.
        killed_pid: The worker that was killed.
        ready_again_s: Time from its end until the server was ready again.
        exit_code: The server's; 0: it ended in good order.
        slopes: Memory of every worker that lived long enough.
    """

    answered: Counter[str] = field(default_factory=Counter)
    absent: int = 0
    refused: int = 0
    wrong: list[str] = field(default_factory=list)
    unexplained: list[str] = field(default_factory=list)
    resets: int = 0
    repeated: int = 0
    left: int = 0
    visits: int = 0
    killed_pid: int = 0
    ready_again_s: float = 0.0
    exit_code: int = 0
    slopes: list[MemorySlope] = field(default_factory=list)


def run_soak(settings: SoakSettings, folder: Path, progress: Progress) -> SoakResult:
    """Serve, ask, and let things happen.

    Args:
        settings: How long, and how much.
        folder: For models and the server's log; empty.
        progress: Told (seconds done, all seconds, what was counted).

    Raises:
        MachineError: If the server does not start, or a client gets no answer at all any more.
    """
    models = folder / "models"
    write_models(models)
    questions = make_questions(models)
    words = [*settings.command, str(models), "--port={port}", f"--workers={_WORKERS}"]
    command = ServerCommand(name="bicameral serve", words=words)
    with running_server(command, folder / "server.log") as server:
        result = asyncio.run(_Soak(settings, server, questions, progress).run())
        server.request_end()
        result.exit_code = server.wait()
    return result


class _Soak:
    """One run."""

    def __init__(
        self,
        settings: SoakSettings,
        server: RunningServer,
        questions: Sequence[Question],
        progress: Progress,
    ) -> None:
        self._settings = settings
        self._server = server
        self._questions = questions
        self._progress = progress
        self._result = SoakResult()
        self._killed_s: float | None = None
        self._samples: dict[int, list[tuple[float, int]]] = {}

    async def run(self) -> SoakResult:
        begin_s = time.monotonic()
        self._until_s = begin_s + self._settings.duration_s
        async with asyncio.TaskGroup() as tasks:
            for number in range(self._settings.clients):
                tasks.create_task(self._ask(self._random("client", number)))
            for number in range(self._settings.leavers):
                tasks.create_task(self._leave(self._random("leaver", number)))
            tasks.create_task(self._visit())
            tasks.create_task(self._kill(begin_s + self._settings.duration_s / 2))
            tasks.create_task(self._watch(begin_s))
        slopes = (memory_slope(pid, samples) for pid, samples in self._samples.items())
        self._result.slopes = [slope for slope in slopes if slope is not None]
        return self._result

    def _random(self, kind: str, number: int) -> random.Random:
        return random.Random(f"{self._settings.seed} {kind} {number}")  # noqa: S311 - no secret

    @property
    def _over(self) -> bool:
        return time.monotonic() >= self._until_s

    async def _ask(self, rng: random.Random) -> None:
        """Ask and check, on one connection as long as it lasts."""
        connection = _Connection(self._server.port)
        while not self._over:
            question = rng.choice(self._questions)
            await self._ask_until_answered(connection, question)
            await asyncio.sleep(rng.uniform(0.0, _PAUSE_S))
        connection.close()

    async def _ask_until_answered(self, connection: _Connection, question: Question) -> None:
        interrupted = 0
        while True:
            asked_s = time.monotonic()
            try:
                status, body = await asyncio.wait_for(connection.ask(question), _PATIENCE_S)
            except (OSError, TimeoutError) as error:
                connection.close()
                self._note_end(question, asked_s, error)
                interrupted += 1
                if interrupted == _ATTEMPTS:
                    raise MachineError(
                        f"{question.name} got no answer in {_ATTEMPTS} attempts: {error!r}"
                    ) from error
                continue
            if status != 429:
                break
            self._result.refused += 1
            await asyncio.sleep(_REFUSED_S)
        self._check(question, status, body)
        self._result.repeated += interrupted > 0

    def _note_end(self, question: Question, asked_s: float, error: Exception) -> None:
        """Count a connection that ended without an answer."""
        killed_s = self._killed_s
        now_s = time.monotonic()
        if killed_s is not None and asked_s <= killed_s + _KILL_ECHO_S and now_s >= killed_s:
            self._result.resets += 1
        elif len(self._result.unexplained) < _MOST_FAULTS:
            self._result.unexplained.append(
                f"{question.name}: {error!r} after {now_s - asked_s:.3f} s"
            )

    def _check(self, question: Question, status: int, body: bytes) -> None:
        if status in (404, 503) and question.may_be_absent:
            self._result.absent += 1
            return
        fault = question.fault(body) if status == 200 else f"status {status}: {body[:200]!r}"
        if fault is None:
            self._result.answered[question.name] += 1
        elif len(self._result.wrong) < _MOST_FAULTS:
            self._result.wrong.append(f"{question.name}: {fault}")

    async def _leave(self, rng: random.Random) -> None:
        """Send a part of a request, or all of it, and leave."""
        while not self._over:
            request = rng.choice(self._questions).request
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self._server.port)
                writer.write(request[: rng.choice((len(request), rng.randrange(len(request))))])
                await writer.drain()
                await asyncio.sleep(rng.uniform(0.0, _PAUSE_S))
                writer.transport.abort()
                self._result.left += 1
            except OSError:
                pass  # its worker was killed meanwhile
            await asyncio.sleep(rng.uniform(0.0, 4 * _PAUSE_S))

    async def _visit(self) -> None:
        """Unload and load the visitor again and again."""
        for change in itertools.cycle(("unload", "load")):
            path = f"/v2/repository/models/{VISITOR}/{change}"
            status, body = await self._request("POST", path)
            # While a worker is replaced not all of them can follow.
            if status not in (200, 503) and len(self._result.wrong) < _MOST_FAULTS:
                self._result.wrong.append(f"{change} of {VISITOR}: status {status}: {body[:200]!r}")
            self._result.visits += change == "load" and status == 200
            if self._over:
                return
            await asyncio.sleep(_VISIT_EVERY_S)

    async def _kill(self, at_s: float) -> None:
        """Kill one worker, and wait until it is replaced."""
        await asyncio.sleep(max(0.0, at_s - time.monotonic()))
        pid = (await self._workers())[0]
        self._result.killed_pid = pid
        self._killed_s = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        while pid in await self._workers() or not await self._is_ready():
            await asyncio.sleep(0.05)
        self._result.ready_again_s = time.monotonic() - self._killed_s

    async def _watch(self, begin_s: float) -> None:
        """Sample the memory of all workers, and tell how far it is."""
        while not self._over:
            now_s = time.monotonic() - begin_s
            for pid in await self._workers():
                size = private_bytes(pid)
                if size is not None:
                    self._samples.setdefault(pid, []).append((now_s, size))
            result = self._result
            note = f"{result.answered.total()} right, {len(result.wrong)} wrong"
            self._progress(int(now_s), int(self._settings.duration_s), note)
            await asyncio.sleep(_SAMPLE_EVERY_S)

    async def _is_ready(self) -> bool:
        status, _ = await self._request("GET", "/v2/health/ready")
        return status == 200

    async def _workers(self) -> list[int]:
        _, body = await self._request("GET", "/v1/workers")
        found: Mapping[str, Any] = json.loads(body)
        return [worker["pid"] for worker in found["workers"]]

    async def _request(self, method: str, path: str) -> tuple[int, bytes]:
        """Ask on a connection of its own, again if a killed worker ended it."""
        for _ in range(_ATTEMPTS):
            try:
                return await asyncio.to_thread(_one_request, self._server.port, method, path)
            except (OSError, http.client.HTTPException) as error:
                last = error
        raise MachineError(f"{method} {path} got no answer in {_ATTEMPTS} attempts: {last!r}")


def _one_request(port: int, method: str, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_PATIENCE_S)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


class _Connection:
    """A connection that is opened when it is needed."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, question: Question) -> tuple[int, bytes]:
        """Return status and body; raises `OSError` if the connection ends."""
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        writer.write(question.request)
        await writer.drain()
        answers = AnswerReader()
        while data := await reader.read(1 << 16):
            answer = answers.feed(data)
            if answer is not None:
                return answer
        raise ConnectionResetError("the connection ended before the answer")

    def close(self) -> None:
        """Close it, if it is open."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None
