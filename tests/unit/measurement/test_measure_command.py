"""`bicameral measure` as it is typed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bicameral.cli.app import app
from models.measurement.record import MEASUREMENT_NAME, MeasurePlan, read_measurement
from models.measurement.report import REPORT_NAME


def words(plan: MeasurePlan, output: Path, *more: str) -> list[str]:
    models = (plan.models[0], plan.models[3])
    return [
        "measure", "--models", *models, "--streams", "100", "--data", plan.data,
        "--images", "8", "--rounds", "1", "--sessions", "1",
        "--meter", "none", "--output", str(output), *more,
    ]  # fmt: skip


def test_a_measurement_becomes_tables_a_record_and_a_report(
    plan: MeasurePlan,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "250")
    assert app(words(plan, tmp_path)) == 0
    printed = capsys.readouterr().out
    for text in ("100 % again", "large.onnx", "+memory", "null", "no meter was wanted"):
        assert text in printed
    measured = read_measurement(tmp_path / MEASUREMENT_NAME)
    # What is complete is only reported, not measured again.
    assert app(words(plan, tmp_path, "--resume")) == 0
    assert read_measurement(tmp_path / MEASUREMENT_NAME) == measured
    page = (tmp_path / REPORT_NAME).read_text()
    assert "no meter was wanted" in page
    assert "<svg" in page


def test_without_its_packages_the_report_alone_is_missing(
    plan: MeasurePlan,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "models.measurement.report", None)
    assert app(words(plan, tmp_path)) == 0
    assert "no report.html" in capsys.readouterr().out
    assert (tmp_path / MEASUREMENT_NAME).exists()
    assert not (tmp_path / REPORT_NAME).exists()
