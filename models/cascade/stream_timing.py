"""CPU time of systems on one stream, image by image.

All systems take turns chunk by chunk within a round, so that a machine that is busy with something
else slows all of them alike, and ratios within a round stay what they are on a quiet one.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

from bicameral.protocols import ClassifierSession, ResultMemory
from models.cascade.stream_replay import Advance
from models.cascade.streams import Stream
from models.cascade.streams_results import MedianRange

#: Images that one system sees before it is the next one's turn.
_CHUNK = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedSystem:
    """A system to be timed.

    Attributes:
        name: Its name.
        classifier: What answers.
        memory: The classifier's memory, which is emptied before every round; or None.
        every: Only each so-manieth image is shown: enough for a single large network, whose time
            does not depend on the image.
    """

    name: str
    classifier: ClassifierSession
    memory: ResultMemory | None = None
    every: int = 1


def time_systems(
    stream: Stream, systems: Sequence[TimedSystem], rounds: int, advance: Advance
) -> dict[str, tuple[float, ...]]:
    """Return CPU microseconds per image of this thread for every round, by system.

    Args:
        stream: The images, shown one at a time.
        systems: The systems; they take turns.
        rounds: Passes over the stream.
        advance: Is told the number of images of every chunk, however many systems saw them.
    """
    times_us: dict[str, list[float]] = {system.name: [] for system in systems}
    for _ in range(rounds):
        busy_s, shown = _time_round(stream, systems, advance)
        for name, values in times_us.items():
            values.append(1e6 * busy_s[name] / shown[name])
    return {name: tuple(values) for name, values in times_us.items()}


def median_range(values: Sequence[float]) -> MedianRange:
    """Return median, least and most of at least one value."""
    return MedianRange(median=statistics.median(values), least=min(values), most=max(values))


def _time_round(
    stream: Stream, systems: Sequence[TimedSystem], advance: Advance
) -> tuple[dict[str, float], dict[str, int]]:
    """Return CPU seconds and number of images of each system in one pass."""
    busy_s = {system.name: 0.0 for system in systems}
    shown = {system.name: 0 for system in systems}
    for system in systems:
        if system.memory is not None:
            system.memory.clear()
    order = stream.order.tolist()
    for start in range(0, len(order), _CHUNK):
        chunk = order[start : start + _CHUNK]
        for system in systems:
            frames = chunk[:: system.every]
            # Otherwise the first image would pay for what the system before left in the caches.
            system.classifier.warm_up((1,))
            busy_s[system.name] += _time_chunk(system.classifier, stream, frames)
            shown[system.name] += len(frames)
        advance(len(chunk))
    return busy_s, shown


def _time_chunk(classifier: ClassifierSession, stream: Stream, frames: Sequence[int]) -> float:
    images = stream.frames.images
    begin_s = time.thread_time()
    for frame in frames:
        classifier.predict(images[frame : frame + 1])
    return time.thread_time() - begin_s
