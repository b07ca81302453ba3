"""Latency of models side by side: wall percentiles and CPU time, in interleaved rounds.

On a shared machine wall times of two runs cannot be compared, but the ratio of two models that
take turns within the same rounds can.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from bicameral.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    """One thing to measure.

    Attributes:
        title: Its name in reports.
        call: Does the work for one batch.
        batch_size: Images in the batch.
    """

    title: str
    call: Callable[[], object]
    batch_size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencySettings:
    """How long to measure.

    Attributes:
        rounds: Rounds; all contestants take a turn in each, in changing order.
        turn_s: Length of a turn.
        warm_up_s: What a contestant runs, unmeasured, before the first round.
    """

    rounds: int = 7
    turn_s: float = 0.1
    warm_up_s: float = 0.1

    def __post_init__(self) -> None:
        """Refuse nothing to measure."""
        if self.rounds < 1 or self.turn_s <= 0 or self.warm_up_s < 0:
            raise ConfigError(f"{self} measures nothing; expected rounds >= 1 and turns above 0 s")


#: Long enough for ratios within a few percent.
USUAL_LATENCY = LatencySettings()


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """What one contestant took.

    Attributes:
        title: Its name.
        batch_size: Images per call.
        calls: Measured calls.
        p50_us: Median wall microseconds of a call.
        p90_us: 90th percentile.
        p99_us: 99th percentile.
        cpu_us: CPU microseconds of all threads per image, median over the rounds.
        least_cpu_us: The cheapest round.
        most_cpu_us: The dearest round.
        cpu_us_by_round: All rounds in order, for ratios within a round.
    """

    title: str
    batch_size: int
    calls: int
    p50_us: float
    p90_us: float
    p99_us: float
    cpu_us: float
    least_cpu_us: float
    most_cpu_us: float
    cpu_us_by_round: tuple[float, ...]


def measure_latency(
    contestants: Sequence[Contestant], settings: LatencySettings = USUAL_LATENCY
) -> list[Latency]:
    """Let all take turns.

    Args:
        contestants: What to measure; each alone in its turn.
        settings: How long.

    Returns:
        One latency per contestant, in their order.
    """
    for one in contestants:
        _turn(one.call, settings.warm_up_s)
    walls_s: list[list[float]] = [[] for _ in contestants]
    cpu_us: list[list[float]] = [[] for _ in contestants]
    order = list(range(len(contestants)))
    for _ in range(settings.rounds):
        for index in order:
            call, size = contestants[index].call, contestants[index].batch_size
            taken_s, used_s = _turn(call, settings.turn_s)
            walls_s[index].extend(taken_s)
            cpu_us[index].append(1e6 * used_s / len(taken_s) / size)
        order.reverse()
    return [
        _latency(one, walls, used)
        for one, walls, used in zip(contestants, walls_s, cpu_us, strict=True)
    ]


def cpu_ratio(slower: Latency, faster: Latency) -> float:
    """Return how many times the CPU time of one is that of the other, median over the rounds."""
    pairs = zip(slower.cpu_us_by_round, faster.cpu_us_by_round, strict=True)
    return float(np.median([one / other for one, other in pairs]))


def _turn(call: Callable[[], object], length_s: float) -> tuple[list[float], float]:
    """Call for a while, at least once: wall seconds of every call, CPU seconds of all."""
    walls_s: list[float] = []
    # The process's time, not the thread's: ONNX Runtime's own threads count, too.
    began_cpu_s = time.process_time()
    end_s = time.perf_counter() + length_s
    while True:
        began_s = time.perf_counter()
        call()
        now_s = time.perf_counter()
        walls_s.append(now_s - began_s)
        if now_s >= end_s:
            return walls_s, time.process_time() - began_cpu_s


def _latency(one: Contestant, walls_s: list[float], cpu_us: list[float]) -> Latency:
    p50, p90, p99 = (float(1e6 * value) for value in np.percentile(walls_s, (50, 90, 99)))
    return Latency(
        title=one.title,
        batch_size=one.batch_size,
        calls=len(walls_s),
        p50_us=p50,
        p90_us=p90,
        p99_us=p99,
        cpu_us=float(np.median(cpu_us)),
        least_cpu_us=min(cpu_us),
        most_cpu_us=max(cpu_us),
        cpu_us_by_round=tuple(cpu_us),
    )
