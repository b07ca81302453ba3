"""RAPL: packages only, wrap-arounds made good, a refusal that says what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edge.energy.meter import NoMeter
from edge.energy.rapl import find_rapl
from edge.energy.recorder import EnergyRecorder

RANGE_UJ = 262_143_328_850


def add_zone(root: Path, zone: str, name: str, energy_uj: int) -> Path:
    """Write a powercap zone; return its counter."""
    folder = root / "sys/class/powercap" / zone
    folder.mkdir(parents=True)
    (folder / "name").write_text(f"{name}\n")
    (folder / "max_energy_range_uj").write_text(f"{RANGE_UJ}\n")
    (folder / "energy_uj").write_text(f"{energy_uj}\n")
    return folder / "energy_uj"


def test_packages_are_added_and_what_lies_inside_them_is_not(tmp_path: Path) -> None:
    first = add_zone(tmp_path, "intel-rapl:0", "package-0", 1_000_000)
    second = add_zone(tmp_path, "intel-rapl:1", "package-1", 7_000_000)
    others = [
        add_zone(tmp_path, "intel-rapl:0:0", "core", 5),
        add_zone(tmp_path, "intel-rapl:0:1", "dram", 5),
        add_zone(tmp_path, "intel-rapl:2", "psys", 5),
        add_zone(tmp_path, "intel-rapl-mmio:0", "package-0", 5),
    ]
    meter = find_rapl(tmp_path)
    assert not isinstance(meter, NoMeter)
    assert "package-0 " in meter.info.source
    assert "package-1 " in meter.info.source
    assert meter.read() == 0.0
    first.write_text("3500000\n")
    second.write_text("7250000\n")
    for other in others:
        other.write_text("900000000\n")
    assert meter.read() == pytest.approx(2.75)


def test_a_counter_that_begins_again_goes_on(tmp_path: Path) -> None:
    counter = add_zone(tmp_path, "intel-rapl:0", "package-0", RANGE_UJ - 2_000_000)
    meter = find_rapl(tmp_path)
    assert not isinstance(meter, NoMeter)
    counter.write_text("1500000\n")
    assert meter.read() == pytest.approx(3.5)
    counter.write_text("2500000\n")
    assert meter.read() == pytest.approx(4.5)


def test_a_window_over_several_wrap_arounds_is_whole(tmp_path: Path, clock: Any) -> None:
    """2 kW for 10 minutes are 1.2 MJ, nearly five times round."""
    counter = add_zone(tmp_path, "intel-rapl:0", "package-0", 0)
    begin_s = clock.now_s()

    def count() -> None:
        counter.write_text(f"{round((clock.now_s() - begin_s) * 2e9) % RANGE_UJ}\n")

    clock.every(5.0, count)
    with EnergyRecorder(find_rapl(tmp_path), clock=clock) as recorder:
        recorder.begin()
        clock.sleep(600.0)
        window = recorder.end()
    assert window.energy.valid, window.energy.reason
    assert window.energy.value == pytest.approx(1.2e6, rel=0.01)


def test_a_counter_that_does_not_move_is_stuck(tmp_path: Path, clock: Any) -> None:
    add_zone(tmp_path, "intel-rapl:0", "package-0", 5)
    with EnergyRecorder(find_rapl(tmp_path), clock=clock) as recorder:
        recorder.begin()
        clock.sleep(10.0)
        window = recorder.end()
    assert not window.energy.valid
    assert "stuck" in window.energy.reason


def test_a_counter_needs_no_hundred_seconds(tmp_path: Path, clock: Any) -> None:
    """Its period is the millisecond in which it moves, not the second in which it is looked at."""
    add_zone(tmp_path, "intel-rapl:0", "package-0", 5)
    assert EnergyRecorder(find_rapl(tmp_path), clock=clock).least_window_s == 10.0


def test_the_counters_of_root_ask_for_root(tmp_path: Path) -> None:
    counter = add_zone(tmp_path, "intel-rapl:0", "package-0", 5)
    counter.unlink()
    counter.symlink_to("/proc/sys/vm/drop_caches")  # nobody may read it, not even root
    found = find_rapl(tmp_path)
    assert isinstance(found, NoMeter)
    assert f"cannot read {counter}: Permission denied; run as root" in found.reason


def test_no_counter_is_a_reason(tmp_path: Path) -> None:
    found = find_rapl(tmp_path)
    assert isinstance(found, NoMeter)
    assert "virtual machine" in found.reason
