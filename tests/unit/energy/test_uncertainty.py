"""Windows of ten seconds over power that jumps: the error is as stated, or they are not valid."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.energy.meter import MeterInfo

pytestmark = pytest.mark.unit

WINDOWS = 60
STEP_W = 0.04


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Power that changes evenly within pieces: (pieces,) each, ascending."""

    begins_s: NDArray[np.float64]
    lengths_s: NDArray[np.float64]
    first_w: NDArray[np.float64]
    last_w: NDArray[np.float64]

    def power_w(self, time_s: float) -> float:
        piece = int(np.searchsorted(self.begins_s, time_s, side="right")) - 1
        share = (time_s - self.begins_s[piece]) / self.lengths_s[piece]
        return float(self.first_w[piece] + (self.last_w[piece] - self.first_w[piece]) * share)

    def energy_j(self, begin_s: float, end_s: float) -> float:
        low = np.clip(self.begins_s, begin_s, end_s)
        high = np.clip(self.begins_s + self.lengths_s, begin_s, end_s)
        share = ((low + high) / 2 - self.begins_s) / self.lengths_s
        return float((high - low) @ (self.first_w + (self.last_w - self.first_w) * share))


def _curve(pieces: list[tuple[float, float, float]], begin_s: float) -> Curve:
    """Join pieces of (length, first power, last power)."""
    lengths, first, last = np.array(pieces).T
    begins = begin_s + np.concatenate(([0.0], lengths.cumsum()[:-1]))
    return Curve(begins_s=begins, lengths_s=lengths, first_w=first, last_w=last)


def square(rng: np.random.Generator, begin_s: float, low_w: float, high_w: float) -> Curve:
    """High for a part of every period of 30 ms to 4 s."""
    period_s, duty = float(np.exp(rng.uniform(np.log(0.03), np.log(4.0)))), rng.uniform(0.1, 0.9)
    turn = [(period_s * duty, high_w, high_w), (period_s * (1.0 - duty), low_w, low_w)]
    return _curve(turn * int(14.0 / period_s + 2), begin_s)


def ramp(rng: np.random.Generator, begin_s: float, low_w: float, high_w: float) -> Curve:
    """Up evenly and down at once, every 0.1 to 6 s."""
    period_s = float(np.exp(rng.uniform(np.log(0.1), np.log(6.0))))
    return _curve([(period_s, low_w, high_w)] * int(14.0 / period_s + 2), begin_s)


def bursts(rng: np.random.Generator, begin_s: float, low_w: float, high_w: float) -> Curve:
    """Bursts of 2 to 200 ms at random moments, 0.3 to 15 a second: many fall between readings."""
    rate_hz = float(np.exp(rng.uniform(np.log(0.3), np.log(15.0))))
    length_s = float(np.exp(rng.uniform(np.log(0.002), np.log(0.2))))
    pieces: list[tuple[float, float, float]] = []
    while sum(one[0] for one in pieces) < 14.0:
        pieces.append((rng.exponential(1.0 / rate_hz) + 1e-6, low_w, low_w))
        pieces.append((length_s * rng.uniform(0.5, 1.5), high_w, high_w))
    return _curve(pieces, begin_s)


class PlayedMeter:
    """`edge.energy.meter.Meter` that shows a curve in the steps of a converter."""

    wraps = 0
    info = MeterInfo(
        name="played", source="a curve", covers="it", kind="power",
        update_period_s=None, resolution=STEP_W,
    )  # fmt: skip

    def __init__(self, curve: Curve, clock: Any) -> None:
        self._curve, self._clock = curve, clock

    def read(self) -> float:
        return STEP_W * round(self._curve.power_w(self._clock.now_s()) / STEP_W)

    def close(self) -> None:
        """Hold nothing."""


@pytest.mark.parametrize("seed", [20, 21])
@pytest.mark.parametrize("kind", [square, ramp, bursts])
def test_the_error_is_within_what_is_stated_or_the_window_is_not_valid(
    kind: Callable[..., Curve], seed: int, clock: Any, measured: Callable[..., Any]
) -> None:
    rng = np.random.default_rng(seed)
    within = valid = 0
    for _ in range(WINDOWS):
        low_w = rng.uniform(0.5, 4.0)
        curve = kind(rng, clock.now_s() - rng.uniform(0.0, 2.0), low_w, low_w + rng.uniform(1, 12))
        window = measured(PlayedMeter(curve, clock), 10.0)
        clock.forget_repetitions()
        stated_j = window.bound.value + window.timing.value
        truth_j = curve.energy_j(window.begin_s, window.begin_s + window.duration_s)
        valid += window.energy.valid
        within += not window.energy.valid or abs(window.energy.value - truth_j) <= stated_j
    assert within >= 0.95 * WINDOWS
    assert valid >= WINDOWS / 4, "that nothing is valid is no answer"
