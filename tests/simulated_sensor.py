"""A made-up INA3221 whose energy is known, to check what reads it.

The tree of files is that of a Jetson in either layout. Whoever plays it decides what time it is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

Layout = Literal["iio", "hwmon"]

#: Step of the power at 5 V with a shunt of 5 milliohms, as on the Nano: 8 mA.
STEP_W = 0.04

_SUPPLY_MV = 5000
_SHUNT_UOHM = 5000

#: What a board's rails are called: the total first, then what the others draw all the time.
_RAILS: dict[Layout, tuple[tuple[str, float], ...]] = {
    "iio": (("POM_5V_IN", 0.0), ("POM_5V_GPU", 1.2), ("POM_5V_CPU", 2.4)),
    "hwmon": (("VDD_IN", 0.0), ("VDD_CPU_GPU_CV", 2.0), ("VDD_SOC", 0.8)),
}


class Waveform(Protocol):
    """Power over time."""

    def power_w(self, time_s: float) -> float:
        """Return the power at a time."""

    def energy_j(self, begin_s: float, end_s: float) -> float:
        """Return the exact energy between two times."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SquareWave:
    """High for the first part of every period, then low."""

    low_w: float
    high_w: float
    period_s: float
    duty: float = 0.5

    def power_w(self, time_s: float) -> float:
        """Return the power at a time."""
        high = (time_s / self.period_s) % 1.0 < self.duty
        return self.high_w if high else self.low_w

    def energy_j(self, begin_s: float, end_s: float) -> float:
        """Return the exact energy between two times."""
        return self._until(end_s) - self._until(begin_s)

    def _until(self, time_s: float) -> float:
        periods, part = divmod(time_s / self.period_s, 1.0)
        high = (periods * self.duty + min(part, self.duty)) * self.period_s
        return self.low_w * time_s + (self.high_w - self.low_w) * high


@dataclass(frozen=True, slots=True, kw_only=True)
class Ramp:
    """Rises evenly in every period, then falls back at once."""

    low_w: float
    high_w: float
    period_s: float

    def power_w(self, time_s: float) -> float:
        """Return the power at a time."""
        return self.low_w + (self.high_w - self.low_w) * ((time_s / self.period_s) % 1.0)

    def energy_j(self, begin_s: float, end_s: float) -> float:
        """Return the exact energy between two times."""
        return self._until(end_s) - self._until(begin_s)

    def _until(self, time_s: float) -> float:
        periods, part = divmod(time_s / self.period_s, 1.0)
        rise_s = (periods + part * part) * self.period_s / 2.0
        return self.low_w * time_s + (self.high_w - self.low_w) * rise_s


class SimulatedIna3221:
    """The files of one monitor.

    Args:
        root: Folder that gets ``sys``.
        layout: Which driver's files.
    """

    def __init__(self, root: Path, layout: Layout) -> None:
        self._layout = layout
        self._values: dict[Path, int] = {}
        driver, inner = {
            "iio": ("ina3221x/6-0040", "iio:device0"),
            "hwmon": ("ina3221/1-0040", "hwmon/hwmon3"),
        }[layout]
        self.folder = root / "sys/bus/i2c/drivers" / driver / inner
        if not self.folder.exists():  # else another process made it, and this one plays it
            self._make()

    @property
    def power_file(self) -> Path:
        """The file that follows the power of the total rail."""
        return self.folder / {"iio": "in_power0_input", "hwmon": "curr1_input"}[self._layout]

    def show(self, power_w: float) -> None:
        """Let the files of the total rail tell a power, in the steps of the converter."""
        self._show(0, power_w)

    def _show(self, channel: int, power_w: float) -> None:
        power_mw = 1000 * STEP_W * math.floor(power_w / STEP_W + 0.5)
        current_ma = round(1000 * power_mw / _SUPPLY_MV)
        if self._layout == "iio":
            self._write(f"in_power{channel}_input", round(power_mw))
            self._write(f"in_voltage{channel}_input", _SUPPLY_MV)
            self._write(f"in_current{channel}_input", current_ma)
        else:
            self._write(f"in{channel + 1}_input", _SUPPLY_MV)
            self._write(f"curr{channel + 1}_input", current_ma)

    def _make(self) -> None:
        self.folder.mkdir(parents=True)
        for channel, (rail, power_w) in enumerate(_RAILS[self._layout]):
            self._name_rail(channel, rail)
            self._show(channel, power_w)
        if self._layout == "hwmon":
            (self.folder / "name").write_text("ina3221\n")
            (self.folder / "in7_label").write_text("sum of shunt voltages\n")

    def _name_rail(self, channel: int, rail: str) -> None:
        if self._layout == "iio":
            (self.folder / f"rail_name_{channel}").write_text(f"{rail}\n")
        else:
            (self.folder / f"in{channel + 1}_label").write_text(f"{rail}\n")
            (self.folder / f"shunt{channel + 1}_resistor").write_text(f"{_SHUNT_UOHM}\n")

    def _write(self, name: str, value: int) -> None:
        """Replace the file, if it changed: a reader must never see half of it."""
        path = self.folder / name
        if self._values.get(path) == value:
            return
        self._values[path] = value
        fresh = self.folder / f".{name}"
        fresh.write_text(f"{value}\n")
        fresh.replace(path)
