"""Recorded pictures to controls, for the shipped agents: nothing between them may drift."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

pytestmark = pytest.mark.golden


def _load_drive() -> ModuleType:
    path = Path(__file__).with_name("agent_drive.py")
    spec = importlib.util.spec_from_file_location("agent_drive", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


DRIVE = _load_drive()
RECORD = json.loads(DRIVE.CONTROLS.read_text("utf-8")) if DRIVE.CONTROLS.exists() else {}


def test_every_shipped_agent_is_recorded() -> None:
    assert DRIVE.agent_names(), "agents ship in models/weights"
    assert {name: RECORD.get(name, {}).get("fingerprint") for name in DRIVE.agent_names()} == {
        name: DRIVE.fingerprint(name) for name in DRIVE.agent_names()
    }, "weights changed: run python tests/golden/agent_drive.py"


@pytest.mark.parametrize(
    ("name", "correction"),
    [(name, rule) for name, entry in RECORD.items() for rule in entry["controls"]],
)
def test_recorded_pictures_give_the_recorded_controls(name: str, correction: str) -> None:
    recorded = RECORD[name]["controls"][correction]
    driven = DRIVE.drive_recorded(name, correction)
    assert [row["branch"] for row in driven] == [row["branch"] for row in recorded]
    for row, expected in zip(driven, recorded, strict=True):
        for column in ("throttle", "steer", "brake", "confidence"):
            # Another processor may sum in another order.
            assert row[column] == pytest.approx(expected[column], abs=2e-5)
