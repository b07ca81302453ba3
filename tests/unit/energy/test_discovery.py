"""Which meter is taken, and the reasons where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from bicameral.errors import UserError
from edge.energy.discovery import find_meter
from edge.energy.ina3221 import Ina3221
from edge.energy.meter import NoMeter
from tests.simulated_sensor import SimulatedIna3221


def test_the_jetsons_monitor_is_taken_without_asking(tmp_path: Path) -> None:
    SimulatedIna3221(tmp_path, "iio")
    assert isinstance(find_meter(root=tmp_path), Ina3221)
    assert isinstance(find_meter("ina3221", root=tmp_path), Ina3221)


def test_without_any_meter_every_kind_gives_its_reason(tmp_path: Path) -> None:
    found = find_meter(root=tmp_path)
    assert isinstance(found, NoMeter)
    assert "ina3221: no INA3221" in found.reason
    assert "rapl: no RAPL" in found.reason


def test_a_graphics_card_is_only_measured_when_asked(tmp_path: Path) -> None:
    """The networks run on the processor; joules of an idle card would look like an answer."""
    automatic, asked = find_meter(root=tmp_path), find_meter("nvml", root=tmp_path)
    assert isinstance(automatic, NoMeter)
    assert isinstance(asked, NoMeter)
    assert "nvml" not in automatic.reason
    assert asked.reason.startswith("nvml: ")


def test_no_meter_can_be_asked_for(tmp_path: Path) -> None:
    SimulatedIna3221(tmp_path, "iio")
    assert find_meter("none", root=tmp_path) == NoMeter(name="none", reason="no meter was wanted")


def test_an_unknown_kind_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"unknown meter 'rapel'.*Did you mean 'rapl'"):
        find_meter("rapel", root=tmp_path)
