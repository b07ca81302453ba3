"""The truth that the energy reader is judged by: exact integrals of the simulated waveforms."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.energy.integration import integrate
from tests.simulated_sensor import Ramp, SquareWave, Waveform

POWERS = st.floats(0.0, 20.0)
PERIODS = st.floats(0.3, 30.0)
TIMES = st.floats(0.0, 1e5)


@st.composite
def waveforms(draw: st.DrawFn) -> Waveform:
    """Draw a waveform."""
    low_w, high_w, period_s = draw(POWERS), draw(POWERS), draw(PERIODS)
    if draw(st.booleans()):
        return Ramp(low_w=low_w, high_w=high_w, period_s=period_s)
    duty = draw(st.floats(0.05, 0.95))
    return SquareWave(low_w=low_w, high_w=high_w, period_s=period_s, duty=duty)


@given(waveforms(), TIMES, st.floats(0.5, 20.0))
@settings(max_examples=60, deadline=None)
def test_the_exact_energy_is_that_of_a_fine_sum(
    waveform: Waveform, begin_s: float, duration_s: float
) -> None:
    count = 20_000
    times = begin_s + (np.arange(count) + 0.5) * duration_s / count
    summed_j = float(np.mean([waveform.power_w(float(time)) for time in times])) * duration_s
    exact_j = waveform.energy_j(begin_s, begin_s + duration_s)
    # A step of at most 20 W is missed by at most one sample, at each of its edges.
    edges = 2 + 2 * duration_s / waveform.period_s  # type: ignore[attr-defined]
    assert abs(exact_j - summed_j) <= 20.0 * edges * duration_s / count + 1e-6


@given(waveforms(), TIMES, st.floats(0.1, 10.0), st.floats(0.1, 10.0))
@settings(deadline=None)
def test_energies_of_neighbouring_windows_add_up(
    waveform: Waveform, begin_s: float, first_s: float, second_s: float
) -> None:
    middle_s, end_s = begin_s + first_s, begin_s + first_s + second_s
    parts_j = waveform.energy_j(begin_s, middle_s) + waveform.energy_j(middle_s, end_s)
    assert abs(parts_j - waveform.energy_j(begin_s, end_s)) < 1e-6


@given(
    st.lists(st.floats(0.001, 0.5), min_size=2, max_size=60),
    st.floats(-2.0, 2.0),
    st.floats(0.0, 10.0),
)
@settings(deadline=None)
def test_a_straight_line_is_integrated_exactly_however_it_is_sampled(
    steps_s: list[float], slope: float, offset_w: float
) -> None:
    times = np.cumsum(steps_s)
    integral = integrate(times.tolist(), (offset_w + slope * times).tolist())
    first, last = float(times[0]), float(times[-1])
    exact_j = offset_w * (last - first) + slope * (last**2 - first**2) / 2.0
    assert abs(integral.energy_j - exact_j) < 1e-6 * max(1.0, abs(exact_j))
    assert integral.samples == len(steps_s)
    assert abs(integral.max_gap_s - float(np.diff(times).max())) < 1e-12
