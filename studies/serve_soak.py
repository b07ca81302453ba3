"""A long day in short: mixed traffic in which every answer is checked, and things that happen.

Models come and go, clients leave in the middle of their requests, and one worker is killed. Who
was connected to it sees the connection end and asks again; nobody else may notice anything.
"""

from __future__ import annotations

import asyncio
import http.client
import itertools
import json
import os
import random
import re
import signal
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bicameral.cli.bench_server import SERVE_COMMAND
from bicameral.errors import MachineError
from server.bench.load import AnswerReader
from server.bench.running import RunningServer, ServerCommand, running_server
from studies.measurements import print_measurements, write_measurements
from studies.memory_growth import growth_mib_h, resident_bytes
from studies.serve_questions import VISITOR, Question, copy_models, make_questions
from studies.serve_soak_result import IN_USE, RESIDENT, SoakResult, soak_measurements
from studies.study import Study

_WORKERS = 2
_DURATION_S, _QUICK_S = 3600.0, 8.0
#: Then a worker is killed, and what the others took before then is left out.
_WARM_UP_SHARE = 1 / 6
_SAMPLE_EVERY_S = 5.0
_VISIT_EVERY_S = 5.0
#: Clients pause for up to this time between two requests: an hour of a third of a processor, in
#: which every size of batch occurs.
_PAUSE_S = 0.3
_ATTEMPTS = 5
#: What the server asks those to wait whom it refuses because it has too much to do.
_REFUSED_S = 1.0
_PATIENCE_S = 60.0
#: Connections end at once when their process is killed; later ones have another reason.
_KILL_ECHO_S = 2.0
_MOST_FAULTS = 20

#: Free blocks that glibc keeps for each thread count as in use: with them, every load of a model
#: seems to take a kilobyte, and without them nothing.
_NO_THREAD_CACHES = {"GLIBC_TUNABLES": "glibc.malloc.tcache_count=0"}
#: How much the resident memory of a worker may grow.
_FLAT_MIB_H = 10.0
_ALLOCATED = re.compile(r'^worker_allocated_bytes\{pid="(\d+)"\} (\S+)$', re.MULTILINE)
_CLIENTS, _LEAVERS = 6, 2


def run(folder: Path, quick: bool) -> int:
    """Serve, ask, and let things happen."""
    result = soak(folder, _QUICK_S if quick else _DURATION_S)
    measured = soak_measurements(result)
    write_measurements(folder / "serve_soak.csv", measured)
    print_measurements(measured)
    for fault in (*result.wrong, *result.unexplained):
        print(f"fault: {fault}")
    grown = [
        one
        for (_, what), one in result.growth.items()
        if ((one.low or 0.0) > 0.0 if what == IN_USE else (one.value or 0.0) > _FLAT_MIB_H)
    ]
    return 1 if result.wrong or result.unexplained or grown or result.exit_code else 0


STUDY = Study(
    claim="Over an hour of mixed traffic, in which models come and go, clients leave and a worker "
    "is killed, no answer is wrong or missing; after ten minutes what workers have in use is not "
    "shown to grow, and their resident memory grows by 10 MiB/h at most.",
    setting="Two workers of a shared AMD EPYC, 6 clients that check every answer and 2 that leave, "
    "40 requests a second, seed 0; an hour.",
    run=run,
)


def soak(folder: Path, duration_s: float) -> SoakResult:
    """Run the traffic.

    Args:
        folder: For models and the server's log; empty.
        duration_s: How long; after a sixth of it a worker is killed.

    Raises:
        MachineError: If the server does not start, or a client gets no answer at all any more.
    """
    models = folder / "models"
    copy_models(models)
    questions = make_questions(models)
    # Quickly, so that both workers agree on the visitor most of the time.
    words = [*SERVE_COMMAND, str(models), "--port={port}", f"--workers={_WORKERS}", "--watch-s=0.5"]
    command = ServerCommand(name="bicameral serve", words=words, environment=_NO_THREAD_CACHES)
    with running_server(command, folder / "server.log") as server:
        result = asyncio.run(_Soak(duration_s, server, questions).run())
        server.request_end()
        result.exit_code = server.wait()
    return result


class _Soak:
    """One run."""

    def __init__(
        self,
        duration_s: float,
        server: RunningServer,
        questions: Sequence[Question],
    ) -> None:
        self._duration_s = duration_s
        self._server = server
        self._questions = questions
        self._result = SoakResult()
        self._killed_s: float | None = None
        self._samples: dict[tuple[int, str], list[tuple[float, int]]] = {}

    async def run(self) -> SoakResult:
        begin_s = time.monotonic()
        self._until_s = begin_s + self._duration_s
        warm_up_s = _WARM_UP_SHARE * self._duration_s
        async with asyncio.TaskGroup() as tasks:
            for number in range(_CLIENTS):
                tasks.create_task(self._ask(self._random("client", number)))
            for number in range(_LEAVERS):
                tasks.create_task(self._leave(self._random("leaver", number)))
            tasks.create_task(self._visit())
            tasks.create_task(self._kill(begin_s + warm_up_s))
            tasks.create_task(self._watch(begin_s))
        for sampled, samples in self._samples.items():
            # The visitor, bodies, and garbage that waits for its collection come and go.
            of_group = min if sampled[1] == IN_USE else statistics.fmean
            growth = growth_mib_h(samples, warm_up_s, of_group)
            if growth is not None:
                self._result.growth[sampled] = growth
        return self._result

    def _random(self, kind: str, number: int) -> random.Random:
        return random.Random(f"0 {kind} {number}")  # noqa: S311 - no secret

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
            if status != 200 and len(self._result.wrong) < _MOST_FAULTS:
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
        while pid in (serving := await self._workers()) or len(serving) < _WORKERS:
            await asyncio.sleep(0.05)
        self._result.replaced_s = time.monotonic() - self._killed_s

    async def _watch(self, begin_s: float) -> None:
        """Sample the memory of all workers."""
        while not self._over:
            now_s = time.monotonic() - begin_s
            _, body = await self._request("GET", "/metrics")
            for pid, allocated in _ALLOCATED.findall(body.decode()):
                resident = resident_bytes(int(pid))
                if resident is not None:
                    for what, size in ((IN_USE, float(allocated)), (RESIDENT, resident)):
                        samples = self._samples.setdefault((int(pid), what), [])
                        samples.append((now_s, int(size)))
            await asyncio.sleep(_SAMPLE_EVERY_S)

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
