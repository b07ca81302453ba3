"""The check in real time: its truth, and its table."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from studies.sensor_check import QUICK_DURATIONS_S, WAVEFORMS, Shown, run


def test_the_truth_is_what_the_sensor_showed_from_moment_to_moment() -> None:
    shown = Shown()
    for time_s, power_w in ((0.0, 2.0), (1.0, 6.0), (3.0, 4.0)):
        shown.add(time_s, power_w)
    assert shown.energy_j(0.0, 1.0) == pytest.approx(2.0)
    assert shown.energy_j(0.5, 2.0) == pytest.approx(1.0 + 6.0)
    assert shown.energy_j(1.2, 1.7) == pytest.approx(3.0)
    assert shown.energy_j(2.5, 5.5) == pytest.approx(3.0 + 10.0)


def test_there_is_a_row_for_every_window_and_short_ones_are_not_trusted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, quick=True) == 0
    rows = list(csv.DictReader((tmp_path / "windows.csv").read_text().splitlines()))
    assert [row["power"] for row in rows] == [name for name in WAVEFORMS for _ in QUICK_DURATIONS_S]
    assert {row["trusted"] for row in rows} == {"False"}
    assert {row["zeus_error"] for row in rows} == {""}
    assert "cost of sampling: " in capsys.readouterr().out
