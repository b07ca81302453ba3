"""Joules of a server: counted once, only where they can be trusted, and absent without a meter."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from edge.energy.discovery import find_meter
from edge.energy.ina3221 import find_ina3221
from server.processes.energy import energy_sampling
from tests.simulated_sensor import SquareWave

JOULES, UNTRUSTED_S = "inference_energy_joules_total", "inference_energy_untrusted_seconds_total"
WAVE = SquareWave(low_w=2.0, high_w=6.0, period_s=0.7)


@pytest.fixture
def counters() -> CollectorRegistry:
    return CollectorRegistry()


def told(counters: CollectorRegistry) -> dict[str, float]:
    """Return what Prometheus is told of the energy."""
    text = generate_latest(counters).decode()
    return {
        sample.name: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not sample.name.endswith("_created") and sample.labels == {"meter": "ina3221"}
    }


def test_joules_are_those_of_the_machine(
    tmp_path: Path, counters: CollectorRegistry, clock: Any, play: Any
) -> None:
    play("iio", WAVE)
    with energy_sampling(find_ina3221(tmp_path), counters, clock):
        assert told(counters) == {JOULES: 0.0, UNTRUSTED_S: 0.0}
        begin_s = clock.now_s()
        clock.sleep(65.0)
        found = told(counters)
        assert found[UNTRUSTED_S] == 0.0
        # Windows of 10.5 s: the sixth one has ended after 63 s.
        assert found[JOULES] == pytest.approx(WAVE.energy_j(begin_s, begin_s + 63.0), rel=0.01)


def test_what_cannot_be_trusted_is_no_joules_but_seconds(
    tmp_path: Path, counters: CollectorRegistry, clock: Any, play: Any
) -> None:
    sensor = play("iio", WAVE)
    with energy_sampling(find_ina3221(tmp_path), counters, clock):
        clock.sleep(11.0)
        before = told(counters)
        hidden = sensor.power_file.rename(tmp_path / "hidden")
        clock.sleep(10.5)
        hidden.rename(sensor.power_file)
        after = told(counters)
        assert after[JOULES] == before[JOULES]
        assert after[UNTRUSTED_S] == pytest.approx(10.5, abs=0.6)


def test_without_a_meter_there_is_no_number_but_a_reason(
    tmp_path: Path, counters: CollectorRegistry, clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="server")
    with energy_sampling(find_meter("auto", tmp_path), counters, clock):
        clock.sleep(30.0)
        assert told(counters) == {}
    assert "joules are not counted: ina3221: " in caplog.text
    assert "rapl: no RAPL package counter" in caplog.text
