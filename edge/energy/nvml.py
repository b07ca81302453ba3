"""NVML: the energy counter of NVIDIA's graphics cards, or their power where they do not count.

On Jetson modules the library loads and initialises, but tells neither power nor energy. That is
no meter, not a meter that reads nothing.
"""

from __future__ import annotations

import importlib
from typing import Any

from bicameral.errors import MeterError
from edge.energy.meter import MeterInfo, NoMeter

NAME = "nvml"

#: Boards average over tens of milliseconds, and the driver renews the figures every 20 to 100 ms.
_UPDATE_PERIOD_S = 0.1

_COVERS = (
    "the whole graphics card {index} of {count} with its memory; not the processor, the main "
    "memory nor the power supply"
)


class NvmlCounter:
    """`edge.energy.meter.EnergyCounter` of one card; millijoules since the driver was loaded."""

    def __init__(self, library: Any, device: Any, info: MeterInfo) -> None:
        """Read it once.

        Raises:
            MeterError: If the card does not count.
        """
        self._library, self._device, self._info = library, device, info
        self.read_j()

    @property
    def info(self) -> MeterInfo:
        """What it is."""
        return self._info

    def read_j(self) -> float:
        """Return joules since the driver was loaded.

        Raises:
            MeterError: If the library refuses.
        """
        try:
            return float(self._library.nvmlDeviceGetTotalEnergyConsumption(self._device)) / 1e3
        except self._library.NVMLError as error:
            raise MeterError(f"NVML's energy counter: {error}") from error

    def close(self) -> None:
        """Release the library."""
        self._library.nvmlShutdown()


class NvmlPower:
    """`edge.energy.meter.PowerMeter` of one card that does not count energy."""

    def __init__(self, library: Any, device: Any, info: MeterInfo) -> None:
        """Read it once.

        Raises:
            MeterError: If the card does not tell its power.
        """
        self._library, self._device, self._info = library, device, info
        self.read_w()

    @property
    def info(self) -> MeterInfo:
        """What it is."""
        return self._info

    def read_w(self) -> float:
        """Return watts.

        Raises:
            MeterError: If the library refuses.
        """
        try:
            return float(self._library.nvmlDeviceGetPowerUsage(self._device)) / 1e3
        except self._library.NVMLError as error:
            raise MeterError(f"NVML's power reading: {error}") from error

    def close(self) -> None:
        """Release the library."""
        self._library.nvmlShutdown()


def find_nvml() -> NvmlCounter | NvmlPower | NoMeter:
    """Return the meter of the first graphics card, or why there is none."""
    try:
        library: Any = importlib.import_module("pynvml")
    except ImportError:
        return NoMeter(
            name=NAME, reason="nvidia-ml-py is not installed (pip install 'bicameral[nvidia]')"
        )
    try:
        library.nvmlInit()
    except library.NVMLError as error:
        return NoMeter(name=NAME, reason=f"no NVIDIA driver: {error}")
    try:
        return _open(library)
    except (MeterError, library.NVMLError) as error:
        library.nvmlShutdown()
        return NoMeter(
            name=NAME, reason=f"the card tells neither energy nor power, as on Jetson: {error}"
        )


def _open(library: Any) -> NvmlCounter | NvmlPower:
    """Open the first card: its counter if it has one."""
    device = library.nvmlDeviceGetHandleByIndex(0)
    name = library.nvmlDeviceGetName(device)

    def info(kind: Any) -> MeterInfo:
        return MeterInfo(
            name=NAME,
            source=f"{kind} of {name}",
            covers=_COVERS.format(index=0, count=library.nvmlDeviceGetCount()),
            kind=kind,
            update_period_s=_UPDATE_PERIOD_S,
            resolution=1e-3,
        )

    try:
        return NvmlCounter(library, device, info("counter"))
    except MeterError:
        return NvmlPower(library, device, info("power"))
