"""Systems that are shown a stream, image by image, and their CPU time when they take turns.

A machine that is busy with something else then slows all of them alike, and ratios within a round
stay what they are on a quiet one.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bicameral.protocols import ClassifierSession, ResultMemory
from edge.energy.meter import NoMeter
from edge.energy.recorder import EnergyRecorder
from edge.energy.windows import RoundSettings, measure_round
from models.measurement.streams import Stream

#: Images of the stream that pass before it is the next system's turn.
IMAGES_PER_TURN = 50

#: Is told (done, total, what is being done).
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class MedianRange:
    """A value of several rounds: their median, least and most."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> MedianRange:
        """Describe at least one value."""
        return cls(median=statistics.median(values), least=min(values), most=max(values))


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedSystem:
    """A system to be timed.

    Attributes:
        name: Its name.
        classifier: What answers.
        memory: The classifier's memory, which is emptied before every pass; or None.
        every: Only each so-manieth image is shown: enough for a single large network, whose time
            does not depend on the image.
    """

    name: str
    classifier: ClassifierSession
    memory: ResultMemory | None = None
    every: int = 1


class StreamWorkload:
    """`edge.energy.windows.Workload`: a system that is shown a stream, one image at a time."""

    def __init__(self, system: TimedSystem, stream: Stream) -> None:
        self._system, self.name = system, system.name
        self._images = stream.frames.images
        self._order = stream.order[:: system.every].tolist()

    @property
    def items_per_pass(self) -> int:
        """Images of the stream that the system is shown."""
        return len(self._order)

    def touch(self) -> None:
        """Run a blank image through the networks; the memory stays as it is."""
        self._system.classifier.warm_up((1,))

    def begin_pass(self) -> None:
        """Empty the memory: in a second pass, it would know every image."""
        if self._system.memory is not None:
            self._system.memory.clear()

    def run(self, begin: int, end: int) -> None:
        """Show images of the stream, by their place in it."""
        images, predict = self._images, self._system.classifier.predict
        for frame in self._order[begin:end]:
            predict(images[frame : frame + 1])


def turns_of(stream: Stream) -> int:
    """Return into how many turns a pass over a stream is cut."""
    return math.ceil(len(stream) / IMAGES_PER_TURN)


def time_systems(
    stream: Stream, systems: Sequence[TimedSystem], rounds: int, progress: Progress
) -> dict[str, tuple[float, ...]]:
    """Return CPU microseconds per image of this thread for every round, by system.

    Args:
        stream: The images, shown one at a time.
        systems: The systems; they take turns.
        rounds: Passes over the stream.
        progress: Is told how far it is.
    """
    workloads = [StreamWorkload(system, stream) for system in systems]
    settings = RoundSettings(turns=turns_of(stream), cpu_time_s=time.thread_time)
    times_us: dict[str, list[float]] = {system.name: [] for system in systems}
    done, total = 0, rounds * settings.turns * len(systems)

    def advance(name: str) -> None:
        nonlocal done
        done += 1
        progress(done, total, f"CPU time on {stream.name}")

    with EnergyRecorder(NoMeter(name="none", reason="only time is measured")) as recorder:
        for index in range(rounds):
            for window in measure_round(
                workloads, recorder, settings, index=index, advance=advance
            ):
                times_us[window.workload].append(1e6 * window.cpu_s / window.items)
    return {name: tuple(values) for name, values in times_us.items()}
