"""CPU time of systems on one stream, image by image.

All systems take turns within a round, so that a machine that is busy with something else slows all
of them alike, and ratios within a round stay what they are on a quiet one.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

from bicameral.protocols import ClassifierSession, ResultMemory
from edge.energy.meter import NoMeter
from edge.energy.recorder import EnergyRecorder
from edge.energy.windows import RoundSettings, measure_round
from models.cascade.stream_replay import Advance
from models.cascade.streams import Stream
from models.cascade.streams_results import MedianRange

#: Images of the stream that pass before it is the next system's turn.
IMAGES_PER_TURN = 50


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
    """`edge.energy.workload.Workload`: a system that is shown a stream, one image at a time."""

    def __init__(self, system: TimedSystem, stream: Stream, name: str | None = None) -> None:
        """Join a system and a stream; the name is the system's unless another is given."""
        self._system, self._name = system, name or system.name
        self._images = stream.frames.images
        self._order = stream.order[:: system.every].tolist()

    @property
    def name(self) -> str:
        """Unique among what is measured together."""
        return self._name

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


def time_systems(
    stream: Stream, systems: Sequence[TimedSystem], rounds: int, advance: Advance
) -> dict[str, tuple[float, ...]]:
    """Return CPU microseconds per image of this thread for every round, by system.

    Args:
        stream: The images, shown one at a time.
        systems: The systems; they take turns.
        rounds: Passes over the stream.
        advance: Is told the number of images of every turn, however many systems saw them.
    """
    workloads = [StreamWorkload(system, stream) for system in systems]
    turns = math.ceil(len(stream) / IMAGES_PER_TURN)
    settings = RoundSettings(turns=turns, cpu_time_s=time.thread_time)
    times_us: dict[str, list[float]] = {system.name: [] for system in systems}
    with EnergyRecorder(NoMeter(name="none", reason="only time is measured")) as recorder:
        for index in range(rounds):
            told = _TurnCounter(len(stream), turns, len(systems), advance)
            windows = measure_round(workloads, recorder, settings, index=index, advance=told)
            for window in windows:
                times_us[window.workload].append(1e6 * window.cpu_s / window.items)
    return {name: tuple(values) for name, values in times_us.items()}


def median_range(values: Sequence[float]) -> MedianRange:
    """Return median, least and most of at least one value."""
    return MedianRange(median=statistics.median(values), least=min(values), most=max(values))


class _TurnCounter:
    """Tells of the images of a turn when all systems have had it."""

    def __init__(self, images: int, turns: int, systems: int, advance: Advance) -> None:
        self._images, self._turns, self._systems = images, turns, systems
        self._advance, self._calls = advance, 0

    def __call__(self, name: str) -> None:
        self._calls += 1
        turn, pending = divmod(self._calls, self._systems)
        if not pending:
            before, now = (self._images * part // self._turns for part in (turn - 1, turn))
            self._advance(now - before)
