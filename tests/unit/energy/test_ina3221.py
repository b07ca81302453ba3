"""The reader of the INA3221 finds the module's whole input, and says why it cannot."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.energy.ina3221 import Ina3221, find_ina3221, find_rails
from edge.energy.meter import NoMeter
from tests.simulated_sensor import STEP_W, Layout, SimulatedIna3221

LAYOUTS: tuple[Layout, ...] = ("iio", "hwmon")


@pytest.mark.parametrize(("layout", "total"), [("iio", "POM_5V_IN"), ("hwmon", "VDD_IN")])
def test_the_total_rail_is_found_by_name_and_nothing_is_added_to_it(
    tmp_path: Path, layout: Layout, total: str
) -> None:
    sensor = SimulatedIna3221(tmp_path, layout)
    sensor.show(6.0)
    meter = find_ina3221(tmp_path)
    assert not isinstance(meter, NoMeter)
    assert meter.info.kind == "power"
    assert f"rail {total} " in meter.info.source
    assert meter.read() == pytest.approx(6.0)
    sensor.show(2.5)
    assert meter.read() == pytest.approx(2.5, abs=STEP_W)


def test_the_total_rail_may_be_any_channel_of_any_monitor(tmp_path: Path) -> None:
    sensor = SimulatedIna3221(tmp_path, "iio")
    sensor.show(6.0)
    (sensor.folder / "rail_name_0").write_text("POM_5V_GPU")
    (sensor.folder / "rail_name_2").write_text("POM_5V_IN")
    second = tmp_path / "sys/bus/i2c/drivers/ina3221x/1-0041/iio:device1"
    second.mkdir(parents=True)
    (second / "rail_name_0").write_text("VDD_OTHER")
    meter = find_ina3221(tmp_path)
    assert isinstance(meter, Ina3221)
    assert meter.read() == pytest.approx(2.4)


def test_the_shunt_tells_the_step_where_the_driver_shows_it(tmp_path: Path) -> None:
    SimulatedIna3221(tmp_path, "hwmon")
    meter = find_ina3221(tmp_path)
    assert isinstance(meter, Ina3221)
    # 40 uV over 5 milliohms are 8 mA, at 5 V
    assert meter.info.resolution == pytest.approx(0.040)
    assert meter.info.update_period_s is None


def test_the_step_is_unknown_where_the_driver_does_not_show_the_shunt(tmp_path: Path) -> None:
    SimulatedIna3221(tmp_path, "iio")
    meter = find_ina3221(tmp_path)
    assert isinstance(meter, Ina3221)
    assert meter.info.resolution is None


def test_the_time_of_a_conversion_is_read_where_the_driver_shows_it(tmp_path: Path) -> None:
    sensor = SimulatedIna3221(tmp_path, "hwmon")
    (sensor.folder / "update_interval").write_text("35\n")
    meter = find_ina3221(tmp_path)
    assert isinstance(meter, Ina3221)
    assert meter.info.update_period_s == pytest.approx(0.035)


def test_sums_other_chips_and_free_channels_are_no_rails(tmp_path: Path) -> None:
    sensor = SimulatedIna3221(tmp_path, "hwmon")
    (sensor.folder / "in2_label").write_text("NC\n")
    fan = tmp_path / "sys/class/hwmon/hwmon0"
    fan.mkdir(parents=True)
    (fan / "name").write_text("pwmfan\n")
    (fan / "in1_label").write_text("VDD_IN\n")
    assert [rail.name for rail in find_rails(tmp_path)] == ["VDD_IN", "VDD_SOC"]


def test_a_monitor_is_found_by_its_class_where_the_drivers_folder_is_hidden(tmp_path: Path) -> None:
    sensor = SimulatedIna3221(tmp_path / "hidden", "hwmon")
    sensor.show(4.0)
    visible = tmp_path / "sys/class/hwmon/hwmon3"
    visible.parent.mkdir(parents=True)
    visible.symlink_to(sensor.folder)
    meter = find_ina3221(tmp_path)
    assert isinstance(meter, Ina3221)
    assert meter.read() == pytest.approx(4.0)


def test_no_monitor_is_a_reason_not_an_error(tmp_path: Path) -> None:
    assert find_ina3221(tmp_path) == NoMeter(
        name="ina3221", reason="no INA3221 power monitor (this is no Jetson)"
    )


@pytest.mark.parametrize(
    ("board", "message"),
    [
        ("NVIDIA Jetson Nano 2GB Developer Kit", "no power monitor; use an external meter"),
        ("NVIDIA Jetson AGX Thor Developer Kit", "INA238"),
        ("NVIDIA Jetson Nano Developer Kit", "in a container, hand in /sys"),
    ],
)
def test_a_jetson_without_a_monitor_that_is_read_is_called_by_its_name(
    board: str, message: str, tmp_path: Path
) -> None:
    model = tmp_path / "proc/device-tree/model"
    model.parent.mkdir(parents=True)
    model.write_bytes(board.encode() + b"\0")
    found = find_ina3221(tmp_path)
    assert isinstance(found, NoMeter)
    assert board in found.reason
    assert message in found.reason


def test_rails_without_a_total_are_named_and_not_summed(tmp_path: Path) -> None:
    """An AGX module: its VIN_SYS_5V0 lies beside the processor's rails and is no total."""
    sensor = SimulatedIna3221(tmp_path, "hwmon")
    for channel, name in enumerate(("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"), start=1):
        (sensor.folder / f"in{channel}_label").write_text(name)
    found = find_ina3221(tmp_path)
    assert isinstance(found, NoMeter)
    for name in ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0", "POM_5V_IN", "external meter"):
        assert name in found.reason


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, layout: Layout) -> None:
    sensor = SimulatedIna3221(tmp_path, layout)
    sensor.power_file.unlink()
    sensor.power_file.mkdir()  # reading it fails for root too
    found = find_ina3221(tmp_path)
    assert isinstance(found, NoMeter)
    assert str(sensor.power_file) in found.reason
    assert "Is a directory" in found.reason


def test_a_reading_that_is_refused_asks_for_root(tmp_path: Path) -> None:
    sensor = SimulatedIna3221(tmp_path, "iio")
    sensor.power_file.unlink()
    # A file of the kernel that nobody may read, not even root.
    sensor.power_file.symlink_to("/proc/sys/vm/drop_caches")
    found = find_ina3221(tmp_path)
    assert isinstance(found, NoMeter)
    assert f"cannot read {sensor.power_file}: Permission denied; run as root" in found.reason


def test_content_that_is_no_number_is_shown(tmp_path: Path) -> None:
    sensor = SimulatedIna3221(tmp_path, "iio")
    sensor.power_file.write_text("-- mW")
    found = find_ina3221(tmp_path)
    assert isinstance(found, NoMeter)
    assert "'-- mW', expected an integer" in found.reason
