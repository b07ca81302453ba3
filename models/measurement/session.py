"""One session, in a process of its own: nothing else then counts as its CPU time.

What it finds it sends to whoever started it, round by round, so that a session that is interrupted
leaves all rounds that it finished.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from edge.energy.device_state import read_device_state
from edge.energy.discovery import find_meter
from edge.energy.meter import NoMeter
from edge.energy.recorder import SAMPLE_PERIOD_S, EnergyRecorder, WindowEnergy, WindowRules
from edge.energy.warm_up import warm_up
from edge.energy.windows import RoundSettings, measure_round
from models.measurement.record import MeasurePlan, Part, StreamWindow
from models.measurement.streams import Stream
from models.measurement.systems import load_system
from models.measurement.workload import StreamWorkload, turns_of

#: Between two messages about progress, which are sent between what is measured.
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


#: How far it is (done, total, what is being done), or the part with all rounds so far.
Message = tuple[int, int, str] | Part
Send = Callable[[Message], None]

#: What is shown of each stream, by its share of repeats.
_Workloads = Mapping[float, Sequence[StreamWorkload]]


def measure_session(task: SessionTask, send: Send) -> None:
    """Measure all rounds of a session, and send them.

    A part that has the device's last state is the last message.

    Args:
        task: What to measure.
        send: Is given the messages.

    Raises:
        BicameralError: If a model cannot be loaded.
    """
    plan = task.plan
    systems = [load_system(model) for model in plan.models]
    workloads = {
        stream.duplicates: [StreamWorkload(system, stream) for system in systems]
        for stream in task.streams
    }
    meter = find_meter(plan.meter, task.root)
    with EnergyRecorder(meter, rules=task.rules) as recorder:
        part = _begin(task, workloads, recorder, send)
        send(part)
        for windows in _rounds(task, workloads, recorder, send):
            part = replace(part, windows=(*part.windows, *windows))
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


def _begin(task: SessionTask, workloads: _Workloads, recorder: EnergyRecorder, send: Send) -> Part:
    """Measure the idle power, warm up, and describe the part."""
    meter = recorder.meter
    absent = isinstance(meter, NoMeter)
    idle_before = _measure_idle(recorder, task.plan, send, "idle, before")
    device_before = read_device_state(task.root)
    warm_ups = {}
    longest = workloads[task.streams[-1].duplicates]
    for done, workload in enumerate(longest):
        send((done, len(longest), f"warming up {workload.name}"))
        warm_ups[workload.name] = warm_up(workload, at_most_s=task.plan.warm_up_s)
    return Part(
        session=task.session,
        began_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        meter=None if isinstance(meter, NoMeter) else meter.info,
        meter_reason=meter.reason if isinstance(meter, NoMeter) else "",
        sample_period_s=None if absent else SAMPLE_PERIOD_S,
        idle_before=idle_before,
        idle_after=None,
        device_before=device_before,
        device_after=None,
        warm_ups=warm_ups,
        windows=(),
    )


def _rounds(
    task: SessionTask, workloads: _Workloads, recorder: EnergyRecorder, send: Send
) -> Iterator[list[StreamWindow]]:
    """Measure round by round all streams, the last one first in odd rounds."""
    turns = {stream.duplicates: turns_of(stream) for stream in task.streams}
    least_s = max(task.plan.window_s, recorder.least_window_s)
    left = range(task.first_round, task.plan.rounds)
    metered = not isinstance(recorder.meter, NoMeter)
    # With a meter, a window is one turn.
    total = len(left) * len(task.plan.models) * sum(1 if metered else n for n in turns.values())
    done, told_s = 0, 0.0

    def advance(name: str) -> None:
        nonlocal done, told_s
        done += 1
        now_s = time.monotonic()
        if now_s - told_s >= _PROGRESS_S or done == total:
            told_s = now_s
            send((done, total, f"session {task.session + 1}, round {index + 1}, {stream.name}"))

    for index in left:
        windows: list[StreamWindow] = []
        for stream in reversed(task.streams) if index % 2 else task.streams:
            again = stream.duplicates
            settings = RoundSettings(turns=turns[again], least_s=least_s)
            windows += (
                StreamWindow(duplicates=again, window=window)
                for window in measure_round(
                    workloads[again], recorder, settings, index=index, advance=advance
                )
            )
        yield windows
