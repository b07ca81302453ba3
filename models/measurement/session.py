"""One session, in a process of its own: nothing else then counts as its CPU time.

What it finds it sends to whoever started it, round by round, so that a session that is interrupted
leaves all rounds that it finished.
"""

from __future__ import annotations

import datetime
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from pathlib import Path

from bicameral.errors import BicameralError
from edge.energy.device_state import read_device_state
from edge.energy.discovery import find_meter
from edge.energy.meter import NoMeter
from edge.energy.recorder import SAMPLE_PERIOD_S, EnergyRecorder, WindowEnergy, WindowRules
from edge.energy.warm_up import warm_up
from edge.energy.windows import RoundSettings, Window, measure_round
from models.measurement.record import MeasurePlan, Part, StreamWindow
from models.measurement.streams import Stream
from models.measurement.systems import load_system
from models.measurement.workload import StreamWorkload, TimedSystem, turns_of

#: Between two messages about progress.
_PROGRESS_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionTask:
    """What a process is to do.

    Attributes:
        plan: The plan.
        session: Index of the session.
        first_round: Index of the first round that is missing.
        streams: The plan's streams.
        rules: What windows must have.
        root: Folder that holds the meter's ``sys``.
    """

    plan: MeasurePlan
    session: int
    first_round: int
    streams: tuple[Stream, ...]
    rules: WindowRules = field(default_factory=WindowRules)
    root: Path = Path("/")


#: How far it is (done, total, what is being done), the part with all rounds so far, or why it
#: cannot go on. A part that has the device's last state is the last message.
Message = tuple[int, int, str] | Part | str
Send = Callable[[Message], None]


def run_session(task: SessionTask, connection: Connection) -> None:
    """Measure and send messages; the main function of the process."""
    # An interruption goes to the whole group; whoever started this process ends it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        measure_session(task, connection.send)
    except BicameralError as error:
        connection.send(str(error))


def measure_session(task: SessionTask, send: Send) -> None:
    """Measure all rounds of a session.

    Args:
        task: What to measure.
        send: Is given the messages.

    Raises:
        BicameralError: If a model cannot be loaded.
    """
    plan = task.plan
    systems = [load_system(model) for model in plan.models]
    meter = find_meter(plan.meter, task.root)
    with EnergyRecorder(meter, rules=task.rules) as recorder:
        idle_before = _measure_idle(recorder, plan, send, "idle, before")
        session = _Session(task, systems, recorder, send)
        part = session.prepare(idle_before)
        send(part)
        for index in range(task.first_round, plan.rounds):
            part = replace(part, windows=(*part.windows, *session.measure(index)))
            send(part)
        idle_after = _measure_idle(recorder, plan, send, "idle, after")
    send(replace(part, device_after=read_device_state(task.root), idle_after=idle_after))
    for system in systems:
        system.classifier.close()
    if not isinstance(meter, NoMeter):
        meter.close()


def _measure_idle(
    recorder: EnergyRecorder, plan: MeasurePlan, send: Send, note: str
) -> WindowEnergy | None:
    """Measure without work, the models loaded; None without a meter."""
    if isinstance(recorder.meter, NoMeter):
        return None
    send((0, 1, note))
    recorder.begin()
    time.sleep(max(plan.idle_s, recorder.least_window_s))
    return recorder.end()


class _Session:
    """Prepares the workloads of all streams, and measures them round by round."""

    def __init__(
        self,
        task: SessionTask,
        systems: list[TimedSystem],
        recorder: EnergyRecorder,
        send: Send,
    ) -> None:
        self._task, self._systems, self._recorder, self._send = task, systems, recorder, send
        self._metered = not isinstance(recorder.meter, NoMeter)
        self._workloads = {
            stream.duplicates: [StreamWorkload(system, stream) for system in systems]
            for stream in task.streams
        }
        self._turns = {stream.duplicates: turns_of(stream) for stream in task.streams}
        self._least_s = max(task.plan.window_s, recorder.least_window_s)
        turns = 1 if self._metered else None
        rounds = task.plan.rounds - task.first_round
        self._total = rounds * len(systems) * sum(turns or n for n in self._turns.values())
        self._done, self._told_s = 0, 0.0

    def prepare(self, idle_before: WindowEnergy | None) -> Part:
        """Warm up, and describe the part."""
        task, plan = self._task, self._task.plan
        device_before = read_device_state(task.root)
        warm_ups = {}
        for system in self._systems:
            self._tell(f"warming up {system.name}")
            longest = StreamWorkload(system, task.streams[-1])
            warm_ups[system.name] = warm_up(longest, at_most_s=plan.warm_up_s)
        meter = self._recorder.meter
        return Part(
            session=task.session,
            began_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            meter=None if isinstance(meter, NoMeter) else meter.info,
            meter_reason=meter.reason if isinstance(meter, NoMeter) else "",
            sample_period_s=SAMPLE_PERIOD_S if self._metered else None,
            idle_before=idle_before,
            idle_after=None,
            device_before=device_before,
            device_after=None,
            warm_ups=warm_ups,
            windows=(),
        )

    def measure(self, index: int) -> tuple[StreamWindow, ...]:
        """Measure one round: all streams, the last one first in odd rounds."""
        streams = self._task.streams
        windows: list[StreamWindow] = []
        for stream in reversed(streams) if index % 2 else streams:
            settings = RoundSettings(turns=self._turns[stream.duplicates], least_s=self._least_s)
            note = f"session {self._task.session + 1}, round {index + 1}, {stream.name}"
            measured: list[Window] = measure_round(
                self._workloads[stream.duplicates],
                self._recorder,
                settings,
                index=index,
                advance=lambda name, note=note: self._advance(note),  # type: ignore[misc]
            )
            windows += (
                StreamWindow(model=window.workload, duplicates=stream.duplicates, window=window)
                for window in measured
            )
        return tuple(windows)

    def _advance(self, note: str) -> None:
        self._done += 1
        self._tell(note)

    def _tell(self, note: str) -> None:
        """Send progress, but seldom: it is sent between what is measured."""
        now_s = time.monotonic()
        if now_s - self._told_s >= _PROGRESS_S or self._done == self._total:
            self._told_s = now_s
            self._send((self._done, self._total, note))
