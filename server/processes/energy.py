"""Joules of the whole machine, counted once for all workers, where there is a meter."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from prometheus_client import CollectorRegistry, Counter

from edge.energy.clock import MACHINE_CLOCK, Clock
from edge.energy.meter import Meter, NoMeter
from edge.energy.recorder import EnergyRecorder

_log = logging.getLogger(__name__)

#: Windows are longer than the least one that can be trusted, since each begins a little late.
_MARGIN: Final = 1.05


@contextmanager
def energy_sampling(
    meter: Meter | NoMeter, registry: CollectorRegistry | None = None, clock: Clock = MACHINE_CLOCK
) -> Iterator[None]:
    """Count joules window after window meanwhile.

    A window that cannot be trusted (see `edge.energy.recorder.EnergyRecorder`) adds its time to
    another counter instead, so that joules that are missing are seen to be missing. Without a
    meter there are no counters at all: no data is not 0 J.

    Args:
        meter: The meter, or why there is none.
        registry: Where to count.
        clock: What time it is.
    """
    if isinstance(meter, NoMeter):
        _log.info("joules are not counted: %s", meter.reason)
        yield
        return
    info, registry = meter.info, registry or CollectorRegistry()
    _log.info("joules are those of %s: %s", info.source, info.covers)
    joules = Counter(
        "inference_energy_joules_total",
        "Energy of the machine, as far as the meter covers it; not of the models alone.",
        ["meter"],
        registry=registry,
    ).labels(info.name)
    untrusted_s = Counter(
        "inference_energy_untrusted_seconds_total",
        "Time whose energy is not counted, because the readings could not be trusted.",
        ["meter"],
        registry=registry,
    ).labels(info.name)

    def count_window() -> None:
        window = recorder.end()
        recorder.begin()
        energy = window.energy
        if energy.valid and energy.value is not None:
            joules.inc(energy.value)
        else:
            _log.debug("a window of %.1f s has no joules: %s", window.duration_s, energy.reason)
            untrusted_s.inc(window.duration_s)

    with EnergyRecorder(meter, clock=clock) as recorder:
        recorder.begin()
        windows = clock.every(_MARGIN * recorder.least_window_s, count_window)
        try:
            yield
        finally:
            windows.stop()
