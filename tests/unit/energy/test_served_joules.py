"""Joules of a server: counted once, only where they can be trusted, and absent without a meter."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from edge.energy.discovery import find_meter
from edge.energy.ina3221 import find_ina3221
from server.metrics import Metrics
from server.processes.energy import EnergySampling
from studies.simulated_sensor import SquareWave

JOULES, UNTRUSTED_S = "inference_energy_joules_total", "inference_energy_untrusted_seconds_total"
WAVE = SquareWave(low_w=2.0, high_w=6.0, period_s=0.7)


@pytest.fixture
def counters(tmp_path: Path) -> Path:
    path = tmp_path / "counters"
    path.mkdir()
    return path


def told(folder: Path) -> dict[str, float]:
    """Return what workers tell Prometheus of the energy, whichever is asked."""
    answers = []
    for slot in range(2):
        text = Metrics(folder, slot).exposition().decode()
        answers.append(
            {
                sample.name: sample.value
                for family in text_string_to_metric_families(text)
                for sample in family.samples
                if "energy" in sample.name and sample.labels == {"meter": "ina3221"}
            }
        )
    assert answers[0] == answers[1], "it is counted once, not for each worker"
    return answers[0]


def test_joules_are_those_of_the_machine(
    tmp_path: Path, counters: Path, clock: Any, play: Any
) -> None:
    play("iio", WAVE)
    with EnergySampling(counters, find_ina3221(tmp_path), clock):
        assert told(counters) == {JOULES: 0.0, UNTRUSTED_S: 0.0}
        begin_s = clock.now_s()
        clock.sleep(65.0)
        found = told(counters)
        assert found[UNTRUSTED_S] == 0.0
        # Windows of 10.5 s: the sixth one has ended after 63 s.
        assert found[JOULES] == pytest.approx(WAVE.energy_j(begin_s, begin_s + 63.0), rel=0.01)
    assert Metrics(counters, 0).totals() == {}, "it belongs to no model"


def test_what_cannot_be_trusted_is_no_joules_but_seconds(
    tmp_path: Path, counters: Path, clock: Any, play: Any
) -> None:
    sensor = play("iio", WAVE)
    with EnergySampling(counters, find_ina3221(tmp_path), clock):
        clock.sleep(11.0)
        before = told(counters)
        hidden = sensor.power_file.rename(tmp_path / "hidden")
        clock.sleep(10.5)
        hidden.rename(sensor.power_file)
        after = told(counters)
        assert after[JOULES] == before[JOULES]
        assert after[UNTRUSTED_S] == pytest.approx(10.5, abs=0.6)


def test_without_a_meter_there_is_no_number_but_a_reason(
    tmp_path: Path, counters: Path, clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="server")
    with EnergySampling(counters, find_meter("auto", tmp_path), clock):
        clock.sleep(30.0)
        assert told(counters) == {}
    assert "joules are not counted: ina3221: " in caplog.text
    assert "rapl: no RAPL package counter" in caplog.text
