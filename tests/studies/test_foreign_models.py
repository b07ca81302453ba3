"""Graphs that others ship in wheels: the answers of ONNX Runtime, and no sidecar."""

from __future__ import annotations

import csv
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest

from studies.foreign_models import STUDY

RECORD = Path(__file__).parents[2] / "studies" / "serving" / "foreign_models.csv"


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def values(path: Path, measure: str) -> list[float]:
    return [float(row["value"]) for row in rows(path) if row["measure"].startswith(measure)]


def test_those_of_two_wheels_are_served_and_described(tmp_path: Path) -> None:
    try:
        distribution("silero-vad")
        distribution("rapidocr-onnxruntime")
    except PackageNotFoundError:
        pytest.skip("requirements/foreign.txt is not installed; make test installs it")
    assert STUDY.run(tmp_path, True) == 0
    found = tmp_path / "foreign_models.csv"
    assert len(values(found, "difference_json")) == 9
    assert set(values(found, "difference")) == {0.0}
    assert values(found, "packed_for_nano") == [1.0]


def test_the_record_has_fourteen_graphs_and_says_what_a_nano_refuses() -> None:
    for way in ("binary", "json", "grpc"):
        assert len(values(RECORD, f"difference_{way}")) >= 14
    assert set(values(RECORD, "difference")) == set(values(RECORD, "sidecars")) == {0.0}
    notes = [row["note"] for row in rows(RECORD) if row["measure"] == "exported_for_nano"]
    assert len(notes) >= 3
    assert any("HardSwish" in note for note in notes)
