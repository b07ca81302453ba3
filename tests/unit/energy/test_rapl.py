"""RAPL: packages only, wrap-arounds made good, a refusal that says what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bicameral.errors import MeterError
from edge.energy.counting import counter_faults
from edge.energy.meter import MeterInfo, NoMeter
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


def test_a_window_over_several_wrap_arounds_is_whole(
    tmp_path: Path, clock: Any, measured: Any
) -> None:
    """500 W for 40 minutes are 1.2 MJ, nearly five times round."""
    counter = add_zone(tmp_path, "intel-rapl:0", "package-0", 0)
    begin_s = clock.now_s()

    def count() -> None:
        counter.write_text(f"{round((clock.now_s() - begin_s) * 5e8) % RANGE_UJ}\n")

    clock.every(0.5, count)
    window = measured(find_rapl(tmp_path), 2400.0)
    assert window.energy.valid, window.energy.reason
    assert window.energy.value == pytest.approx(1.2e6, rel=0.01)


def test_a_counter_that_does_not_move_is_stuck(tmp_path: Path, measured: Any) -> None:
    add_zone(tmp_path, "intel-rapl:0", "package-0", 5)
    window = measured(find_rapl(tmp_path), 10.0)
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


@pytest.fixture
def window_of(tmp_path: Path, clock: Any, measured: Any) -> Any:
    """Measure 11 s of a counter of 20 W with which something happens after 6 s."""

    def measure(fault: Any, begin_uj: int) -> Any:
        counter = add_zone(tmp_path, "intel-rapl:0", "package-0", begin_uj)
        begin_s = clock.now_s()
        state = {"uj": float(begin_uj), "s": begin_s, "wrong": False}

        def count() -> None:
            state["uj"] += 20e6 * (clock.now_s() - state["s"])
            state["s"] = clock.now_s()
            if not state["wrong"] and state["s"] - begin_s > 6.0:
                state["wrong"] = True
                state["uj"] = fault(state["uj"])
            state["uj"] %= RANGE_UJ
            counter.write_text(f"{round(state['uj'])}\n")

        clock.every(0.01, count)
        return measured(find_rapl(tmp_path), 11.0)

    return measure


@pytest.mark.parametrize("begin_uj", [50_000_000_000, RANGE_UJ - 1_000_000_000])
def test_a_counter_that_was_set_back_is_no_wrap_around(window_of: Any, begin_uj: int) -> None:
    window = window_of(lambda uj: 1000.0, begin_uj)
    assert not window.energy.valid
    assert "set back" in window.energy.reason


def test_a_counter_that_jumps_is_not_valid(window_of: Any) -> None:
    window = window_of(lambda uj: uj + 3e9, 0)
    assert not window.energy.valid
    assert "jumped" in window.energy.reason


def test_the_kernel_tells_what_a_package_can_draw(tmp_path: Path, clock: Any) -> None:
    folder = tmp_path / "sys/class/powercap/intel-rapl:0"
    folder.mkdir(parents=True)
    limit = folder / "constraint_0_power_limit_uw"
    limit.write_text("15000000\n")
    (folder / "constraint_1_power_limit_uw").write_text("0\n")
    (folder / "name").write_text("package-0\n")
    (folder / "max_energy_range_uj").write_text(f"{RANGE_UJ}\n")
    (folder / "energy_uj").write_text("5\n")
    meter = find_rapl(tmp_path)
    assert not isinstance(meter, NoMeter)
    assert meter.info.max_power_w == 60.0


def test_a_true_wrap_around_within_a_window_is_valid(window_of: Any) -> None:
    window = window_of(lambda uj: uj, RANGE_UJ - 130_000_000)
    assert window.energy.valid, window.energy.reason
    assert window.energy.value == pytest.approx(220.0, rel=0.01)


def test_a_counter_that_freezes_within_a_window_is_stuck(
    tmp_path: Path, clock: Any, measured: Any
) -> None:
    counter = add_zone(tmp_path, "intel-rapl:0", "package-0", 0)
    begin_s = clock.now_s()
    clock.every(
        0.01, lambda: counter.write_text(f"{round(min(clock.now_s() - begin_s, 6.0) * 2e7)}\n")
    )
    window = measured(find_rapl(tmp_path), 11.0)
    assert not window.energy.valid
    assert "stood still" in window.energy.reason


def test_a_counter_outside_of_its_range_is_a_failed_reading(tmp_path: Path, window_of: Any) -> None:
    window = window_of(lambda uj: uj, 0)
    assert window.energy.valid, window.energy.reason
    counter = tmp_path / "sys/class/powercap/intel-rapl:0/energy_uj"
    meter = find_rapl(tmp_path)
    assert not isinstance(meter, NoMeter)
    counter.write_text(f"{RANGE_UJ + 1}\n")
    with pytest.raises(MeterError, match=r"expected 0\.\."):
        meter.read()


@pytest.mark.parametrize(
    ("joules", "word"),
    [
        ([0, 50, 100, 20, 70, 120, 170, 220, 270, 320, 370], "set back"),
        ([0, 50, 100, 9000, 9050, 9100, 9150, 9200, 9250, 9300, 9350], "jumped"),
        ([0, 50, 100, 150, 150, 150, 150, 150, 150, 150, 200], "stood still"),
        ([0, 50, 100, 150, 200, 250, 300, 350, 400, 450, 500], ""),
    ],
)
def test_every_fault_of_a_slow_counter_is_found(joules: list[float], word: str) -> None:
    """A graphics card renews its counter ten times a second; readings come off their grid."""
    info = MeterInfo(
        name="nvml",
        source="",
        covers="",
        kind="counter",
        update_period_s=0.1,
        resolution=1e-3,
        max_power_w=2500.0,
    )
    times_s = [second + (0.25 if second % 2 else -0.25) for second in range(len(joules))]
    faults = counter_faults(times_s, joules, [0] * len(joules), info)
    assert (not faults) if not word else any(word in fault for fault in faults)
