"""The check in real time: its truth, and its table."""

from __future__ import annotations

import pytest

from edge.energy import sensor_check
from edge.energy.sensor_check import Shown, main


def test_the_truth_is_what_the_sensor_showed_from_moment_to_moment() -> None:
    shown = Shown()
    for time_s, power_w in ((0.0, 2.0), (1.0, 6.0), (3.0, 4.0)):
        shown.add(time_s, power_w)
    assert shown.energy_j(0.0, 1.0) == pytest.approx(2.0)
    assert shown.energy_j(0.5, 2.0) == pytest.approx(1.0 + 6.0)
    assert shown.energy_j(1.2, 1.7) == pytest.approx(3.0)
    assert shown.energy_j(2.5, 5.5) == pytest.approx(3.0 + 10.0)


def test_the_table_has_a_row_for_every_waveform_and_duration(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sensor_check, "DURATIONS_S", (0.2, 0.4))
    assert main(["--windows", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = [line.split(" | ") for line in lines[2:8]]
    assert [row[0].removeprefix("| ") for row in rows] == [
        name for name in sensor_check.WAVEFORMS for _ in range(2)
    ]
    assert {row[4] for row in rows} == {"0 of 1"}  # too short to be trusted
    assert {row[5] for row in rows} == {"- |"}
    assert lines[-1].startswith("cost of sampling: ")
