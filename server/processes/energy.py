"""Joules of the whole machine, counted once for all workers, where there is a meter."""

from __future__ import annotations

import logging
from typing import Final, Self

from prometheus_client import CollectorRegistry, Counter

from edge.energy.clock import Clock, Repetition, SystemClock
from edge.energy.meter import Meter, NoMeter
from edge.energy.recorder import EnergyRecorder

_log = logging.getLogger(__name__)

#: Windows are longer than the least one that can be trusted, since each begins a little late.
_MARGIN: Final = 1.05


class EnergySampling:
    """Counts joules window after window, while its ``with`` block lasts.

    A window that cannot be trusted (see `edge.energy.recorder.EnergyRecorder`) adds its time to
    another counter instead, so that joules that are missing are seen to be missing. Without a
    meter there are no counters at all: no data is not 0 J.
    """

    def __init__(
        self,
        meter: Meter | NoMeter,
        registry: CollectorRegistry | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Prepare; nothing is read yet.

        Args:
            meter: The meter, or why there is none.
            registry: Where to count.
            clock: What time it is.
        """
        self._registry = registry or CollectorRegistry()
        self._clock = clock or SystemClock()
        self._recorder = EnergyRecorder(meter, clock=self._clock)
        self._windows: Repetition | None = None

    def __enter__(self) -> Self:
        meter = self._recorder.meter
        if isinstance(meter, NoMeter):
            _log.info("joules are not counted: %s", meter.reason)
            return self
        info = meter.info
        _log.info("joules are those of %s: %s", info.source, info.covers)
        self._joules = Counter(
            "inference_energy_joules_total",
            "Energy of the machine, as far as the meter covers it; not of the models alone.",
            ["meter"],
            registry=self._registry,
        ).labels(info.name)
        self._untrusted_s = Counter(
            "inference_energy_untrusted_seconds_total",
            "Time whose energy is not counted, because the readings could not be trusted.",
            ["meter"],
            registry=self._registry,
        ).labels(info.name)
        self._recorder.__enter__()
        self._recorder.begin()
        self._windows = self._clock.every(
            _MARGIN * self._recorder.least_window_s, self._count_window
        )
        return self

    def __exit__(self, *error: object) -> None:
        if self._windows is not None:
            self._windows.stop()
            self._recorder.__exit__(*error)

    def _count_window(self) -> None:
        window = self._recorder.end()
        self._recorder.begin()
        energy = window.energy
        if energy.valid and energy.value is not None:
            self._joules.inc(energy.value)
        else:
            _log.debug("a window of %.1f s has no joules: %s", window.duration_s, energy.reason)
            self._untrusted_s.inc(window.duration_s)
