"""Whether honest clients get their answers in time while somebody demands much with little.

Each attack goes on for some seconds, once at a time and ten times at a time, while a health check
and a picture are asked for again and again, each on a connection of its own. The same is asked of
a second server that nobody attacks: what its clients wait for is the machine's doing.

BICAMERAL_BEFORE names a checkout of another version, which is then attacked as well.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np

from bicameral.cli.bench_server import SERVE_COMMAND
from server.bench.cost import CASCADE
from server.bench.load import AnswerReader, load_process
from server.bench.requests import picture_request
from server.bench.running import RunningServer, ServerCommand, process_tree, running_servers
from studies.attacks import ATTACKS, NO_ANSWER, attack
from studies.measurements import Measured, print_measurements, single, write_measurements
from studies.serve_questions import copy_models
from studies.study import Study

_BEFORE = "BICAMERAL_BEFORE"

_MOST_WAIT_S = 0.25
_MOST_GROWTH_BYTES = 100 << 20
#: Of what was resident before, so much more is as good as back.
_BACK_BYTES = 25 << 20
#: For memory to come back after an attack.
_REST_S = 3.0
#: Between two questions of an honest client.
_PAUSE_S = 0.02

_HEALTH = b"GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Siege:
    """One attack, and what it cost others.

    Attributes:
        waits_s: Times to the answers of honest clients, by what they asked for.
        control_s: Those of the server that was not attacked, all together.
        unanswered: Honest questions without status 200.
        statuses: What the attacks were answered with.
        before_bytes: Resident memory of all processes of the server before it.
        peak_bytes: The largest meanwhile.
        after_bytes: Some seconds later.
        processor_s: Processor time of the server meanwhile.
    """

    waits_s: dict[str, list[float]]
    control_s: list[float]
    unanswered: int
    statuses: Counter[int]
    before_bytes: int
    peak_bytes: int
    after_bytes: int
    processor_s: float

    @property
    def holds(self) -> bool:
        """Whether nobody else had to suffer."""
        return (
            self.unanswered == 0
            and max(_p99_s(found) for found in self.waits_s.values()) <= _MOST_WAIT_S
            and self.peak_bytes - self.before_bytes <= _MOST_GROWTH_BYTES
            and self.after_bytes - self.before_bytes <= _BACK_BYTES
            and not self.statuses[NO_ANSWER]
            and not any(status >= 500 and status != 503 for status in self.statuses)
        )


def run(folder: Path, quick: bool) -> int:
    """Attack in all ways."""
    duration_s = 0.5 if quick else 6.0
    attacks = ATTACKS[1:2] if quick else ATTACKS
    sieges: dict[tuple[str, str, int], Siege] = {}
    copy_models(folder / "models")
    commands = _commands(folder / "models")
    with (
        load_process() as attackers,
        load_process() as honest,
        running_servers(commands, folder) as servers,
    ):
        control = servers.pop("control")
        for server in servers.values():
            # What a first time takes, of memory too, is no attack's doing.
            honest.submit(ask, server.port, control.port, 1.0).result()
        for name, server in servers.items():
            for chosen in attacks:
                for at_once in (1, 10):
                    besieged = _besieged(server, control, (attackers, honest))
                    sieges[name, chosen.name, at_once] = besieged(chosen.name, at_once, duration_s)
    measured = _measured(sieges)
    write_measurements(folder / "serve_attacks.csv", measured)
    print_measurements(measured)
    missed = [key for key, one in sieges.items() if not one.holds]
    for key in missed:
        print(f"does not hold: {key}, answers by status: {dict(sieges[key].statuses)}")
    return int(any(server == _NOW for server, *_ in missed))


STUDY = Study(
    claim="While each of twelve attacks goes on, once or ten times at a time, a health check and a "
    "picture are answered within 250 ms (99th percentile), and the server grows by at most "
    "100 MiB, which come back.",
    setting="One worker of the shipped models and its clients on one machine with two cores that "
    "has nothing else to do; 6 s for each of 24 sieges; five minutes.",
    run=run,
    needs=f"for a comparison: {_BEFORE}, a checkout of another version",
)

_NOW = "now"


def _commands(models: Path) -> list[ServerCommand]:
    words = [*SERVE_COMMAND, str(models), "--port={port}", "--workers=1"]
    commands = [ServerCommand(name=name, words=words) for name in (_NOW, "control")]
    if _BEFORE in os.environ:
        checkout = Path(os.environ[_BEFORE])
        commands.append(
            ServerCommand(
                name="before",
                words=words,
                folder=checkout,
                environment={"PYTHONPATH": str(checkout)},
            )
        )
    return commands


def _besieged(
    server: RunningServer, control: RunningServer, processes: tuple[Executor, Executor]
) -> Callable[[str, int, float], Siege]:
    """Return what attacks a server and watches it."""
    attackers, honest = processes

    def besiege(name: str, at_once: int, duration_s: float) -> Siege:
        pids = process_tree(server.pid)
        before_bytes = peak_bytes = _resident_bytes(pids)
        begin_s = server.processor_s()
        asked = honest.submit(ask, server.port, control.port, duration_s)
        attacked = attackers.submit(attack, server.port, name, at_once, duration_s)
        while not (asked.done() and attacked.done()):
            peak_bytes = max(peak_bytes, _resident_bytes(pids))
            time.sleep(0.05)
        spent_s = server.processor_s() - begin_s
        until_s = time.monotonic() + _REST_S
        after_bytes = _resident_bytes(pids)
        while after_bytes - before_bytes > _BACK_BYTES and time.monotonic() < until_s:
            time.sleep(0.1)
            after_bytes = _resident_bytes(pids)
        waits_s, control_s, unanswered = asked.result()
        return Siege(
            waits_s=waits_s,
            control_s=control_s,
            unanswered=unanswered,
            statuses=attacked.result(),
            before_bytes=before_bytes,
            peak_bytes=peak_bytes,
            after_bytes=after_bytes,
            processor_s=spent_s,
        )

    return besiege


def ask(
    port: int, control: int, duration_s: float
) -> tuple[dict[str, list[float]], list[float], int]:
    """Be honest clients of both servers for a while, in this process.

    Returns:
        Waits in seconds by what was asked for, waits at the server that nobody attacks, and how
        many questions to the first one did not end with status 200.
    """
    return asyncio.run(_asked(port, control, duration_s))


async def _asked(
    port: int, control: int, duration_s: float
) -> tuple[dict[str, list[float]], list[float], int]:
    questions = {"health": [_HEALTH], "picture": _pictures()}
    until_s = time.perf_counter() + duration_s
    here, there = await asyncio.gather(
        *(
            asyncio.gather(*(_client(one, requests, until_s) for requests in questions.values()))
            for one in (port, control)
        )
    )
    waits_s = dict(zip(questions, (found for found, _ in here), strict=True))
    return waits_s, [wait for found, _ in there for wait in found], sum(lost for _, lost in here)


async def _client(port: int, requests: Sequence[bytes], until_s: float) -> tuple[list[float], int]:
    """Ask one question after the other; one that ends without an answer counts as lost."""
    waits_s: list[float] = []
    lost = number = 0
    connection = None
    while time.perf_counter() < until_s:
        begin_s = time.perf_counter()
        try:
            connection = connection or await asyncio.open_connection("127.0.0.1", port)
            status = await _answered(*connection, requests[number % len(requests)])
        except OSError:
            status = NO_ANSWER
        waits_s.append(time.perf_counter() - begin_s)
        if status != 200:
            lost, connection = lost + 1, None
        number += 1
        await asyncio.sleep(_PAUSE_S)
    return waits_s, lost


async def _answered(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes
) -> int:
    writer.write(request)
    answers = AnswerReader()
    while data := await reader.read(65536):
        if (answer := answers.feed(data)) is not None:
            return answer[0]
    return NO_ANSWER


@cache
def _pictures() -> list[bytes]:
    """Photographs of 640 x 480 pixels, of which the server remembers none."""
    rng = np.random.default_rng(0)
    blots = [
        cv2.GaussianBlur(rng.integers(0, 256, (480, 640, 3), np.uint8), (31, 31), 9)
        for _ in range(8)
    ]
    model = f"{CASCADE}?no_store=true"
    return [picture_request(model, bytes(cv2.imencode(".png", blot)[1])) for blot in blots]


def _resident_bytes(pids: Sequence[int]) -> int:
    total = 0
    for pid in pids:
        try:
            status = Path(f"/proc/{pid}/status").read_text("ascii", "replace")
        except OSError:  # it has ended meanwhile
            continue
        total += sum(int(line.split()[1]) << 10 for line in status.splitlines() if "VmRSS" in line)
    return total


def _p99_s(waits_s: Sequence[float]) -> float:
    return float(np.quantile(waits_s, 0.99)) if waits_s else float("inf")


def _measured(sieges: dict[tuple[str, str, int], Siege]) -> Measured:
    measured: Measured = {}
    for (server, name, at_once), siege in sieges.items():
        subject, condition = server, f"{name}, {at_once} at once"
        for asked, found in [*siege.waits_s.items(), ("control", siege.control_s)]:
            measured[subject, condition, f"p99 of {asked}"] = single(_p99_s(found), "s", len(found))
        for quantity, value in (
            ("growth", siege.peak_bytes - siege.before_bytes),
            ("growth that stayed", siege.after_bytes - siege.before_bytes),
        ):
            measured[subject, condition, quantity] = single(value, "bytes")
        measured[subject, condition, "unanswered"] = single(siege.unanswered)
        measured[subject, condition, "processor time"] = single(siege.processor_s, "s")
    return measured
