"""What a device says about itself, and when it was slowed down."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.energy.device_state import read_device_state, read_throttling, throttling_between


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture
def jetson(tmp_path: Path) -> Path:
    write(
        tmp_path,
        {
            "proc/device-tree/model": "NVIDIA Jetson Nano Developer Kit\0",
            "proc/cpuinfo": "processor\t: 0\nmodel name\t: ARMv8 Processor rev 1 (v8l)\n",
            "proc/loadavg": "0.52 0.58 0.59 1/273 4242\n",
            "etc/nv_tegra_release": "# R32 (release), REVISION: 7.1\n",
            "sys/devices/system/cpu/cpu0/cpufreq/scaling_min_freq": "1479000\n",
            "sys/devices/system/cpu/cpu0/cpufreq/scaling_max_freq": "1479000\n",
            "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "1479000\n",
            "sys/class/devfreq/57000000.gpu/cur_freq": "921600000\n",
            "sys/kernel/debug/clk/emc/clk_rate": "1600000000\n",
            "sys/class/thermal/thermal_zone0/type": "AO-therm\n",
            "sys/class/thermal/thermal_zone0/temp": "41500\n",
            "sys/class/thermal/cooling_device0/type": "pwm-fan\n",
            "sys/class/thermal/cooling_device0/cur_state": "2\n",
            "sys/class/thermal/cooling_device1/type": "cpu-balanced\n",
            "sys/class/thermal/cooling_device1/cur_state": "0\n",
            "sys/class/hwmon/hwmon1/oc3_event_cnt": "7\n",
        },
    )
    return tmp_path


def test_everything_that_decides_the_power_is_read(jetson: Path) -> None:
    state = read_device_state(jetson)
    assert state.board == "NVIDIA Jetson Nano Developer Kit"
    assert state.processor == "ARMv8 Processor rev 1 (v8l)"
    assert "L4T # R32 (release), REVISION: 7.1" in state.system
    assert state.clocks_pinned is True
    assert state.cpu_frequencies_hz == {"cpu0": 1_479_000_000}
    assert state.other_frequencies_hz == {
        "57000000.gpu": 921_600_000,
        "memory (emc)": 1_600_000_000,
    }
    assert state.temperatures_c == {"AO-therm (thermal_zone0)": 41.5}
    assert state.load_average == 0.52


def test_clocks_that_may_move_are_not_pinned(jetson: Path) -> None:
    write(jetson, {"sys/devices/system/cpu/cpu0/cpufreq/scaling_min_freq": "102000\n"})
    assert read_device_state(jetson).clocks_pinned is False


def test_the_power_mode_is_what_nvpmodel_says(
    jetson: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = tmp_path / "bin/nvpmodel"
    write(
        tmp_path, {"bin/nvpmodel": "#!/bin/sh\n[ $1 = -q ] && printf 'Power Mode: MAXN\\n0\\n'\n"}
    )
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{command.parent}:/usr/bin:/bin")
    assert read_device_state(jetson).power_mode == "Power Mode: MAXN 0"


def test_what_nothing_tells_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    state = read_device_state(tmp_path)
    assert state.board is state.power_mode is state.clocks_pinned is state.load_average is None
    assert state.cpu_frequencies_hz == state.temperatures_c == state.throttling == {}


def test_a_fan_is_no_throttling(jetson: Path) -> None:
    assert read_throttling(jetson) == {
        "sys/class/hwmon/hwmon1/oc3_event_cnt": 7,
        "cpu-balanced (cooling_device1)": 0,
    }


def test_a_counter_that_rises_is_throttling_and_one_that_is_high_is_history(jetson: Path) -> None:
    before = read_throttling(jetson)
    assert throttling_between(before, read_throttling(jetson)) == ()
    write(jetson, {"sys/class/hwmon/hwmon1/oc3_event_cnt": "8\n"})
    (fault,) = throttling_between(before, read_throttling(jetson))
    assert fault == "throttled: sys/class/hwmon/hwmon1/oc3_event_cnt rose from 7 to 8"


def test_a_device_that_is_slowed_down_all_the_time_is_throttled(jetson: Path) -> None:
    write(jetson, {"sys/class/thermal/cooling_device1/cur_state": "3\n"})
    before = read_throttling(jetson)
    (fault,) = throttling_between(before, before)
    assert fault == "throttled: cpu-balanced (cooling_device1) was 3"
