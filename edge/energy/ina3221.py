"""The power monitor INA3221 of Jetson modules, read from the kernel's files.

There are two layouts. JetPack 4 (kernel 4.9) has an IIO driver with ready milliwatts::

    /sys/bus/i2c/drivers/ina3221x/6-0040/iio:device0/{rail_name_0, in_power0_input, ...}

JetPack 5 and later have the mainline hwmon driver with millivolts and milliamperes::

    /sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon3/{in1_label, in1_input, curr1_input, ...}

The rail that carries the module's whole input is looked up by its name. It already contains the
other rails, so rails are never added up. Standard library only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bicameral.errors import MeterError
from edge.energy.meter import MeterInfo, NoMeter
from edge.energy.system_files import read_integer, read_text, require_integer

NAME = "ina3221"

#: Rails that carry everything that the module draws: POM_5V_IN on the Nano, VDD_IN on TX2, Xavier
#: NX, Orin NX and Orin Nano. The AGX modules have none: their VIN_SYS_5V0 feeds only a part and
#: lies beside the CPU's and the GPU's rails (rbonghi/jetson_stats#344).
TOTAL_RAILS = ("POM_5V_IN", "VDD_IN")

_IIO = "sys/bus/i2c/drivers/ina3221x/*/iio:device*/rail_name_*"
_HWMON = (
    "sys/bus/i2c/drivers/ina3221*/*/hwmon/hwmon*/in*_label",
    "sys/class/hwmon/hwmon*/in*_label",
)

#: One step of the shunt's voltage (datasheet SBOS576: 13 bits with sign, 163.8 mV full scale).
_SHUNT_STEP_V = 40e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Rail:
    """One channel of a monitor.

    Attributes:
        name: What the board calls it.
        label_file: The file that holds the name.
        power_file: Milliwatts; None in the hwmon layout.
        voltage_file: Millivolts.
        current_file: Milliamperes.
        shunt_file: Micro-ohms of the shunt; absent in the IIO layout.
        interval_file: Milliseconds of one conversion of all channels; absent in the IIO layout.
    """

    name: str
    label_file: Path
    power_file: Path | None
    voltage_file: Path
    current_file: Path
    shunt_file: Path
    interval_file: Path


class Ina3221:
    """`edge.energy.meter.Meter` over one rail."""

    wraps = 0

    def __init__(self, rail: Rail) -> None:
        """Read it once.

        Raises:
            MeterError: If it cannot be read.
        """
        self._rail = rail
        self.read()
        interval_ms = read_integer(rail.interval_file)
        self.info = MeterInfo(
            name=NAME,
            source=f"rail {rail.name} ({rail.label_file.parent})",
            covers=(
                "the module's whole input as this rail carries it; not the power supply's own "
                "losses, nor what the carrier board draws before the shunt"
            ),
            kind="power",
            update_period_s=interval_ms / 1e3 if interval_ms else None,
            resolution=self._step_w(),
        )

    def read(self) -> float:
        """Return the rail's power in watts.

        Raises:
            MeterError: If a file cannot be read or holds no integer.
        """
        rail = self._rail
        if rail.power_file is not None:
            return require_integer(rail.power_file) / 1e3
        return require_integer(rail.voltage_file) * require_integer(rail.current_file) / 1e6

    def close(self) -> None:
        """Hold nothing, release nothing."""

    def _step_w(self) -> float | None:
        """Return the power of one step of the converter, if the shunt's resistance is known."""
        shunt_uohm = read_integer(self._rail.shunt_file)
        voltage_mv = read_integer(self._rail.voltage_file)
        if not shunt_uohm or not voltage_mv:
            return None
        return _SHUNT_STEP_V / (shunt_uohm * 1e-6) * voltage_mv * 1e-3


def find_ina3221(root: Path = Path("/")) -> Ina3221 | NoMeter:
    """Return the meter of the module's whole input, or why there is none.

    Args:
        root: Folder that holds ``sys`` and ``proc``.
    """
    rails = find_rails(root)
    if not rails:
        return NoMeter(name=NAME, reason=_why_none(root))
    by_name = {rail.name: rail for rail in reversed(rails)}
    total = next((by_name[name] for name in TOTAL_RAILS if name in by_name), None)
    if total is None:
        return NoMeter(
            name=NAME,
            reason=(
                f"the INA3221 has the rails {', '.join(by_name)}, none of which carries the whole "
                f"module (expected one of {', '.join(TOTAL_RAILS)}); their sum would be a guess, "
                "use an external meter"
            ),
        )
    try:
        return Ina3221(total)
    except MeterError as error:
        return NoMeter(name=NAME, reason=str(error))


def _why_none(root: Path) -> str:
    """Tell why a board has no INA3221: it is no Jetson, or one with another monitor or none."""
    board = read_text(root / "proc/device-tree/model") or ""
    if "2GB" in board and "Nano" in board:
        return f"{board} has no power monitor; use an external meter"
    if "Thor" in board:
        return f"{board} has INA238 power monitors, which are not read; use an external meter"
    if "jetson" in board.lower():
        return f"no INA3221 power monitor is visible on {board}; in a container, hand in /sys"
    return "no INA3221 power monitor (this is no Jetson)"


def find_rails(root: Path = Path("/")) -> list[Rail]:
    """Return all named rails of all monitors, in the order of their files.

    Args:
        root: Folder that holds ``sys``.
    """
    return [*_iio_rails(root), *_hwmon_rails(root)]


def _iio_rails(root: Path) -> Iterator[Rail]:
    for label_file in sorted(root.glob(_IIO)):
        name, channel = read_text(label_file), label_file.name.removeprefix("rail_name_")
        if name:
            folder = label_file.parent
            yield Rail(
                name=name,
                label_file=label_file,
                power_file=folder / f"in_power{channel}_input",
                voltage_file=folder / f"in_voltage{channel}_input",
                current_file=folder / f"in_current{channel}_input",
                shunt_file=folder / f"shunt{channel}_resistor",
                interval_file=folder / "update_interval",
            )


def _hwmon_rails(root: Path) -> Iterator[Rail]:
    for pattern in _HWMON:
        rails = [rail for file in sorted(root.glob(pattern)) if (rail := _hwmon_rail(file))]
        if rails:  # the second way leads to the same monitors
            yield from rails
            return


def _hwmon_rail(label_file: Path) -> Rail | None:
    """Return a channel that is connected; None for the sum over channels and other chips."""
    folder = label_file.parent
    channel = re.fullmatch(r"in([123])_label", label_file.name)
    name = read_text(label_file)
    if channel is None or not name or name == "NC" or read_text(folder / "name") != NAME:
        return None
    return Rail(
        name=name,
        label_file=label_file,
        power_file=None,
        voltage_file=folder / f"in{channel[1]}_input",
        current_file=folder / f"curr{channel[1]}_input",
        shunt_file=folder / f"shunt{channel[1]}_resistor",
        interval_file=folder / "update_interval",
    )
