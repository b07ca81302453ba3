"""Measures the energy of windows of time with whatever meter there is.

A meter of power is sampled all the time and integrated by the trapezoid rule, with readings of its
own at both edges of a window, so that nothing is extrapolated. A counter is read at the edges; it
is sampled too, so that wrap-arounds are seen.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from bicameral.errors import MeterError
from edge.energy.clock import MACHINE_CLOCK, Clock, Repetition
from edge.energy.counting import counter_faults
from edge.energy.integration import integrate
from edge.energy.meter import Meter, NoMeter
from edge.energy.quantity import Quantity, measured, nothing

#: Between two samples of a power meter: an INA3221 on its bus is not read much faster without
#: costing the processor that is being measured.
SAMPLE_PERIOD_S = 0.02

_COUNTER_PERIOD_S = 1.0

#: A gap of more periods than this hides what happened.
_MAX_GAP_PERIODS = 10.0

#: Of the energy: a larger uncertainty (95 %) from the moments of the samples is too much.
_MAX_TIMING = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowRules:
    """What a window must have to be trusted.

    Attributes:
        least_s: Its least duration.
        least_periods: Its least duration in periods of the sensor.
    """

    least_s: float = 10.0
    least_periods: float = 100.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowEnergy:
    """What a meter says about a window.

    Attributes:
        energy: Joules.
        begin_s: Monotonic time of the reading at its beginning, or of `begin` without a meter.
        duration_s: Between the readings at its edges.
        bound: Joules by which the steps of the readings may falsify the energy: half a step times
            the duration for power, one step and one period of the counter at each edge otherwise.
        timing: Joules within which the error lies (95 %) that comes of power that changed at
            unknown moments between two readings; a counter has none.
        samples: Readings within it, edges included.
        max_gap_s: Longest time between two readings; None without a meter of power.
        distinct_values: Different readings.
        failed_reads: Readings that failed.
        meter_cpu_s: CPU time that reading the meter took during the window.
    """

    energy: Quantity
    begin_s: float
    duration_s: float
    bound: Quantity
    timing: Quantity
    samples: int
    max_gap_s: float | None
    distinct_values: int
    failed_reads: int
    meter_cpu_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Readings:
    """What was read within a window; `wraps` is empty for a meter of power."""

    times_s: list[float] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    wraps: list[int] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


class EnergyRecorder:
    """Measures windows of time; a context manager that samples while it is open.

    Args:
        meter: The meter, or why there is none.
        rules: What windows must have.
        clock: What time it is.
        period_s: Between two samples of a meter of power.
    """

    def __init__(
        self,
        meter: Meter | NoMeter,
        *,
        rules: WindowRules = WindowRules(),
        clock: Clock = MACHINE_CLOCK,
        period_s: float = SAMPLE_PERIOD_S,
    ) -> None:
        self.meter, self._rules, self._clock = meter, rules, clock
        self._is_counter = not isinstance(meter, NoMeter) and meter.info.kind == "counter"
        self._period_s = _COUNTER_PERIOD_S if self._is_counter else period_s
        self._lock = threading.Lock()
        self._readings = _Readings()
        self._sampling: Repetition | None = None
        self._begin_s = 0.0
        self._begin_cpu_s = 0.0

    @property
    def sensor_period_s(self) -> float:
        """Time between two readings that can differ."""
        if isinstance(self.meter, NoMeter):
            return 0.0
        update_s = self.meter.info.update_period_s or 0.0
        return update_s if self._is_counter else max(update_s, self._period_s)

    @property
    def least_window_s(self) -> float:
        """Least duration of a window that can be trusted; 0 without a meter."""
        if isinstance(self.meter, NoMeter):
            return 0.0
        return max(self._rules.least_s, self._rules.least_periods * self.sensor_period_s)

    @property
    def cpu_s(self) -> float:
        """CPU time that sampling took so far."""
        return 0.0 if self._sampling is None else self._sampling.cpu_s

    def now_s(self) -> float:
        """Return what time it is on the clock of the readings."""
        return self._clock.now_s()

    def __enter__(self) -> EnergyRecorder:
        if not isinstance(self.meter, NoMeter):
            self._sampling = self._clock.every(self._period_s, self._sample)
        return self

    def __exit__(self, *error: object) -> None:
        if self._sampling is not None:
            self._sampling.stop()

    def begin(self) -> None:
        """Begin a window; one that is open is given up."""
        with self._lock:
            self._readings = _Readings()
        self._begin_cpu_s = self.cpu_s
        self._begin_s = self._clock.now_s()
        self._sample()

    def end(self) -> WindowEnergy:
        """End the window that `begin` began."""
        self._sample()
        end_s = self._clock.now_s()
        with self._lock:
            readings, self._readings = self._readings, _Readings()
        failures, cpu_s = readings.failures, self.cpu_s - self._begin_cpu_s
        if isinstance(self.meter, NoMeter):
            return self._without_energy(end_s, self.meter.reason, failures, cpu_s)
        if len(readings.times_s) < 2:
            reason = f"{len(failures)} readings failed, the first: {failures[0]}"
            return self._without_energy(end_s, reason, failures, cpu_s)
        return self._window(self.meter, readings, cpu_s)

    def _sample(self) -> None:
        """Take a reading; its time is the middle of the reading."""
        meter = self.meter
        if isinstance(meter, NoMeter):
            return
        with self._lock:
            before_s = self._clock.now_s()
            try:
                value = meter.read()
            except MeterError as error:
                self._readings.failures.append(str(error))
                return
            self._readings.times_s.append((before_s + self._clock.now_s()) / 2.0)
            self._readings.values.append(value)
            if self._is_counter:
                self._readings.wraps.append(meter.wraps)

    def _window(self, meter: Meter, readings: _Readings, cpu_s: float) -> WindowEnergy:
        times_s, values, failures = readings.times_s, readings.values, readings.failures
        integral = integrate(times_s, values)
        info, duration_s = meter.info, integral.duration_s
        step = info.resolution or integral.step_w
        faults = self._faults(duration_s, integral.distinct_values, failures)
        if self._is_counter:
            faults += counter_faults(times_s, values, readings.wraps, info)
            energy_j = values[-1] - values[0]
            edges_s = 2.0 * (info.update_period_s or 0.0)
            bound_j = None if step is None else step + energy_j * edges_s / duration_s
        else:
            energy_j = integral.energy_j
            bound_j = None if step is None else step * duration_s / 2.0
            if integral.max_gap_s > _MAX_GAP_PERIODS * self._period_s:
                faults.append(
                    f"no reading for {integral.max_gap_s:.3f} s, more than {_MAX_GAP_PERIODS:g} "
                    f"periods of {self._period_s:g} s"
                )
            if integral.timing_j > _MAX_TIMING * energy_j:
                faults.append(
                    f"the readings are too far apart where the power changes: uncertain by "
                    f"{integral.timing_j:.3g} J of {energy_j:.3g} J"
                )
        return WindowEnergy(
            energy=measured(energy_j, "J", faults=tuple(faults)),
            begin_s=times_s[0],
            duration_s=duration_s,
            bound=(
                nothing("J", "the meter's step is not known and its reading never changed")
                if bound_j is None
                else measured(bound_j, "J")
            ),
            timing=measured(0.0 if self._is_counter else integral.timing_j, "J"),
            samples=integral.samples,
            max_gap_s=None if self._is_counter else integral.max_gap_s,
            distinct_values=integral.distinct_values,
            failed_reads=len(failures),
            meter_cpu_s=cpu_s,
        )

    def _faults(self, duration_s: float, distinct_values: int, failures: list[str]) -> list[str]:
        faults = []
        if failures:
            faults.append(f"{len(failures)} readings failed, the first: {failures[0]}")
        # The edges are read a moment after the work begins and before it ends.
        if duration_s < 0.999 * self.least_window_s:
            faults.append(
                f"the window is {duration_s:.3f} s, expected at least {self.least_window_s:g} s "
                f"({self._rules.least_s:g} s and {self._rules.least_periods:g} periods of the "
                "sensor)"
            )
        if distinct_values < 2:
            faults.append("the meter's reading never changed: it is stuck")
        return faults

    def _without_energy(
        self, end_s: float, reason: str, failures: list[str], cpu_s: float
    ) -> WindowEnergy:
        return WindowEnergy(
            energy=nothing("J", reason),
            begin_s=self._begin_s,
            duration_s=end_s - self._begin_s,
            bound=nothing("J", reason),
            timing=nothing("J", reason),
            samples=0,
            max_gap_s=None,
            distinct_values=0,
            failed_reads=len(failures),
            meter_cpu_s=cpu_s,
        )
